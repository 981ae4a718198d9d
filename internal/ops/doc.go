// Package ops answers the operator's questions about a running process over HTTP: is it
// alive, is it ready, what does it hold, and what has it counted.
//
// In doubt it reports the worse: the zero [Status] is not ready.
package ops
