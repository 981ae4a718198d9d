// Package insiders holds tests alone: administration as it is served, attacked over the wire
// by people who have some permissions and want more, and by people who have none.
package insiders
