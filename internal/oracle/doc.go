// Package oracle decides the same questions as pkg/authz, slowly and obviously.
//
// It is what the real decision is compared with in tests: written from the rules
// alone, with plain maps, slices and strings, without an index, a cache, a bit set or
// anything else that is there for speed. It imports the standard library only, so that
// a fault of the product cannot hide in it. Every sentence of the rules is one function
// here; whoever doubts a decision can read it off.
//
// Where the rules leave room, it takes them so:
//
//   - Of several pairs of permission and scope the permissions are the outer loop. The
//     first pair that is not allowed gives the reason; where all are, the first pair
//     names the assignment.
//   - Unmapped permissions, other tenants and unlisted scopes are looked for in the
//     whole question before any assignment is read.
//   - Where groups are unknown and the directory is not complete, a live DENY or FORBID
//     of any group of the tenant on the chain that covers the permission denies, and
//     every denial says GROUPS_UNKNOWN. With a complete directory nothing is unknown.
//   - A group in the token brings the groups that the directory nests it in, and the
//     directory counts also where the token lists groups.
//   - A User and an ApplicationUser with one identifier are one caller; Group,
//     DirectoryRole and Team are kinds of their own.
//   - Implications are followed through names that the catalogue does not know (ReadWrite
//     gives Create where no Write is declared), but only known names are granted or taken.
//
// [Generate] makes small worlds that are dense in corner cases, the same for the same
// seed, and [World.Questions] asks about them. [Mistakes] are deciders that get one rule
// wrong each: a comparison that does not catch all of them is not worth much.
package oracle
