// Package audit keeps the decision log: one line of JSON for each decision that is to be
// kept, written aside from the decision itself.
//
// The log never slows a decision and never changes one. What does not fit into its ring
// is dropped and counted. Lines hold no token and no query string.
package audit
