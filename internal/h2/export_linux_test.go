package h2

// Quick is how a connection is read and written.
var Quick = quick

// MostInARow is after how many reads one is an ordinary one.
const MostInARow = mostInARow
