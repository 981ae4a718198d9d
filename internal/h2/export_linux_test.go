package h2

// Quick and Poll return a connection as it is read and written.
var (
	Quick = quick
	Poll  = poll
)

// MostInARow is after how many reads one is an ordinary one.
const MostInARow = mostInARow

// MostPollers is how many pollers there may be.
var MostPollers = &mostPollers

// ReadEach reads a connection until it ends.
var ReadEach = readEach
