package gate_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A column that nobody secured is open. So no other spelling of one that is secured may be
// taken for such.
func TestNoSpellingOfASecuredColumnIsOpen(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	for column, want := range map[string]authz.Reason{
		"name":                    authz.Granted,
		"_ownerid_value":          authz.Granted,
		"_value":                  authz.Granted,
		"__value":                 authz.Granted,
		"rating":                  authz.NoAssignment,
		"RATING":                  authz.NoAssignment,
		"_parentaccountid_value":  authz.NoAssignment,
		"_ParentAccountId_value":  authz.NoAssignment,
		"rating ":                 authz.BadRequest,
		" rating":                 authz.BadRequest,
		"rating\x00":              authz.BadRequest,
		"rat\u0131ng":             authz.BadRequest,
		"Account/rating":          authz.BadRequest,
		"rating,name":             authz.BadRequest,
		"rating@odata.annotation": authz.BadRequest,
		"*":                       authz.BadRequest,
	} {
		for _, columns := range [][]string{{column}, {"name", column, column}} {
			r := ask.Request{Permission: "Dataverse.Account.Read", Scope: env, Subject: user(t, "ann"), Record: record(person("bob"), "sales"), Columns: columns}
			var a ask.Answer
			if f.gate.Decide(t.Context(), &r, &a); a.Reason != want {
				t.Errorf("%q: %v (%s), want %v", columns, a.Reason, a.Detail, want)
			}
		}
	}
}
