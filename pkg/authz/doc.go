// Package authz decides whether a subject holds permissions at scopes.
//
// A decision is a pure function of [Grants], a [Request] and a time in seconds: no
// I/O, no clock, no allocation. The package holds the words that the rest of
// Pathgrant speaks ([Permission], [Scope], [Principal], [Subject], [RoleDefinition],
// [Grant], [Reason]) and imports the standard library only, so that it can be used
// without any server:
//
//   - a [Vocabulary] numbers the known permissions and closes the implications
//     between them (Write gives Create and Update);
//   - [Vocabulary.Compile] turns a [RoleDefinition] with its patterns and exceptions
//     into a [Role], a set of permissions;
//   - a [Hierarchy] says which scope inherits from which;
//   - [NewGrants] indexes what a subject was given, and [Decide] answers.
//
// What this package cannot understand, it denies: the zero [Decision], the zero
// [Reason], the zero [AssignmentEffect] and the zero [PrincipalType] give nothing.
package authz
