package rpc_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// ada reads role assignments at the tenant, and a FORBID keeps her from those at e1. So she is
// not told of anybody else that they are allowed something there.
func TestWhereSomebodyIsAllowedIsForWhoeverMayReadItEverywhere(t *testing.T) {
	client := newExplain(t, explained, true)
	for _, c := range []struct {
		caller, about string
		code          codes.Code
		scopes        int
	}{
		{"user:root", "root", codes.OK, 3}, // the tenant, e1 and e2
		{"user:root", "ada", codes.OK, 2},
		{"user:ada", "ada", codes.OK, 2},
		{"user:ada", "root", codes.PermissionDenied, 0},
		{"user:lea", "root", codes.PermissionDenied, 0},
		{"Operator x", "root", codes.OK, 3},
	} {
		out, err := client.WhereCan(as(t.Context(), c.caller), &pathgrantv1.WhereCanRequest{Permission: "PowerApps.Apps.Read", Subject: &pathgrantv1.Subject{
			Tenant: "t1", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: c.about},
		}})
		if status.Code(err) != c.code || len(out.GetScopes()) != c.scopes {
			t.Errorf("%s about %s: %v %v, want %s and %d scopes", c.caller, c.about, err, out.GetScopes(), c.code, c.scopes)
		}
	}
}
