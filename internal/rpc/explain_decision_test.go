package rpc_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/audit"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// recentDecisions are found by their identifiers.
type recentDecisions map[string]audit.Remembered

func (r recentDecisions) Find(id string) (audit.Remembered, bool) {
	d, ok := r[id]
	return d, ok
}

// remembered are the decisions that the tests of ExplainService know: of ada at e1, and of
// somebody of another tenant.
var remembered = recentDecisions{
	"of-ada": {Entry: audit.Entry{
		Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "ada"}, Adapter: "grpc",
		Permissions: []authz.Permission{"PowerApps.Apps.Read"}, Scopes: []authz.Scope{"/tenants/t1/environments/e1"}, Reason: authz.Forbidden,
	}},
	"of-another-tenant": {Entry: audit.Entry{
		Tenant: "t2", Principal: authz.Principal{Type: authz.User, ID: "ada"}, Adapter: "grpc",
		Permissions: []authz.Permission{"PowerApps.Apps.Read"}, Scopes: []authz.Scope{"/tenants/t2/environments/secret"}, Reason: authz.NoAssignment,
	}},
}

// Identifiers of decisions are counted up, so that anybody can try those next to their own.
func TestADecisionThatIsNotTheirsToReadIsOneThatNeverWas(t *testing.T) {
	client := newExplain(t, explained, true)
	explain := func(caller, id string) error {
		_, err := client.Explain(as(t.Context(), caller), &pathgrantv1.ExplainRequest{What: &pathgrantv1.ExplainRequest_DecisionId{DecisionId: id}})
		return err
	}
	for _, caller := range []string{"user:ada", "user:lea", "user:root", "Operator x"} {
		if err := explain(caller, "of-ada"); err != nil {
			t.Errorf("%s about ada's decision: %v", caller, err)
		}
	}
	unknown := explain("user:bob", "of-nobody")
	if status.Code(unknown) != codes.NotFound {
		t.Fatal(unknown)
	}
	for caller, id := range map[string]string{"user:bob": "of-ada", "user:ada": "of-another-tenant", "user:root": "of-another-tenant"} {
		if err := explain(caller, id); status.Code(err) != codes.NotFound || err.Error() != unknown.Error() || strings.Contains(err.Error(), "environments") {
			t.Errorf("%s about %s: %v, want what is said of one that never was: %v", caller, id, err, unknown)
		}
	}
}
