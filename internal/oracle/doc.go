// Package oracle decides the same questions as pkg/authz, slowly and obviously.
//
// It is what the real decision is compared with in tests: written from the rules
// alone, with plain maps, slices and strings, without an index, a cache, a bit set or
// anything else that is there for speed. It imports the standard library only, so that
// a fault of the product cannot hide in it. Every sentence of the rules is one function
// here; whoever doubts a decision can read it off.
//
// [Generate] makes small worlds that are dense in corner cases, the same for the same
// seed, and [World.Questions] asks about them. [Mistakes] are deciders that get one rule
// wrong each: a comparison that does not catch all of them is not worth much.
package oracle
