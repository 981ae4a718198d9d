package h2

// Quick is how a connection is read and written.
var Quick = quick

// MostInARow is after how many reads one is an ordinary one.
const MostInARow = mostInARow

// ReadEach reads a connection until it ends.
var ReadEach = readEach
