// Package reverse answers the questions that a check does not: who can do something at a
// scope, what a caller can do there, and where it can do something.
//
// Every answer is what the decision says: whoever is listed was decided about by the
// [authz.Decide] or [authz.DecideRecord] that everybody gets, on what the same walk of the
// snapshot finds. The indexes only say whom to ask about. DENY, FORBID, exceptions, expiry
// and disabled principals therefore count as they do in a check.
//
// Answers come in pages. A page is read in one transaction, at one revision, and the work
// that is done for it is bounded: where the bound is met first, a page is shorter than was
// asked for, and may be empty, and says where the next one begins. Only a page that says
// nothing of a next one is the last. All pages of an answer are decided as of the time of the
// first. Where the data changed between two pages, the later one says so: whoever the change
// concerns may then be listed twice, or not at all.
//
// What cannot be understood is refused, never answered with a shorter list.
package reverse
