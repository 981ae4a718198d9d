// Package admin is the one way to a change: it validates, authorises, guards, records and
// commits, as one revision. It knows nothing of any wire format; the gRPC services, the REST
// API and the command are thin adapters over it.
//
// Who may change what is decided by the data that is changed. The caller's permission is
// evaluated in the transaction that commits the change, on the state just before it, by the
// same decision that everybody else gets; the guards are evaluated in that transaction on
// the state that would result:
//
//   - nobody raises themselves: a change after which the caller, or anything that it belongs
//     to or owns, gains a permission, a scope or a duration is refused;
//   - nobody undercuts a DENY: an ALLOW beneath a DENY that covers it needs
//     Authorization.RoleAssignments.Write at the DENY's scope;
//   - nobody locks a tenant: a tenant that has an administrator who is enabled, undenied and
//     does not expire keeps one.
//
// Every change has an entry in the change audit, written in the same transaction (see
// [Verifier] for its format). A change that cannot be recorded is refused.
//
// What a caller may not see is not told: permission is checked before existence. In doubt,
// a change is refused.
package admin
