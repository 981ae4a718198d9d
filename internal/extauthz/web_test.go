package extauthz_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// webServer answers with a real gate for a caller who holds a role with the privileges in the
// environment e1.
func webServer(t *testing.T, privileges ...string) *extauthz.Server {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped(), naming.ShippedDataverse())
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 1 << 20, Vocabulary: catalogues.Vocabulary(), FoldCase: catalogues.FoldCase(),
		ShippedRoles: roles.All(), StandardTables: roles.StandardTables(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	ada := subject(t).Principal()
	if _, err := store.Replace(t.Context(), &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID: "t1", Environments: []snapshot.Environment{{ID: "e1", Dataverse: true}},
		Users:           []snapshot.EnvironmentUser{{Environment: "e1", Principal: ada}},
		RoleDefinitions: []authz.RoleDefinition{{ID: "r", Name: "Role", Environment: "e1", Privileges: privileges}},
		RoleAssignments: []snapshot.RoleAssignment{{ID: "a", Principal: ada, RoleDefinitionID: "r", Scope: "/tenants/t1/environments/e1", Effect: authz.AssignAllow}},
	}}}, snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	g := gate.New(gate.Options{Catalogues: catalogues, Snapshots: store, Log: log, Identity: always{subject(t)}})
	return extauthz.New(extauthz.Options{Decider: g, Headers: extauthz.DefaultHeaders(), Log: log})
}

// web is what Envoy asks where the route's configuration says that the request is one to
// Dataverse's Web API of an environment.
func web(method, path string, headers ...string) *authv3.CheckRequest {
	in := rawHeaders(get(path, nil), append([]string{":method", method}, headers...)...)
	in.Attributes.Request.Http.Method = method
	in.Attributes.ContextExtensions = map[string]string{"catalogue": "dataverse", "environment": "e1"}
	return in
}

func TestWebAPIRequestsAreAnsweredByTheirHeadersToo(t *testing.T) {
	const record = "/api/data/v9.2/accounts(00000000-0000-0000-0000-0000000000aa)"
	s := webServer(t, "Dataverse.Account.{Read,Write}@Organization")
	for _, test := range []struct {
		name string
		in   *authv3.CheckRequest
		want string // part of the denial; empty: allowed
	}{
		{"read", web("GET", record+"?$select=name"), ""},
		{"change or create", web("PATCH", record), "missing required permissions, all of: [Dataverse.Account.Create]"},
		{"change", web("PATCH", record, "if-match", "*"), ""},
		{"create", web("PATCH", record, "if-none-match", "*"), "missing required permissions, all of: [Dataverse.Account.Create]"},
		{"another table", web("GET", "/api/data/v9.2/contacts"), "missing required permissions, all of: [Dataverse.Contact.Read]"},
		{"for another", web("GET", record, "mscrmcallerid", "00000000-0000-0000-0000-0000000000bb"), "acts for another user by the header mscrmcallerid"},
		{"for another, said twice", web("GET", record, "callerobjectid", "", "callerobjectid", "00000000-0000-0000-0000-0000000000bb"), "acts for another user by the header callerobjectid"},
		{"another environment", func() *authv3.CheckRequest {
			in := web("GET", record)
			in.Attributes.ContextExtensions["environment"] = "e2"
			return in
		}(), "the tenant lists no such environment"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response := check(t, s, test.in)
			body := response.GetDeniedResponse().GetBody()
			if (response.GetStatus().GetCode() == 0) != (test.want == "") || !strings.Contains(body, test.want) {
				t.Errorf("%d: %s", response.GetStatus().GetCode(), body)
			}
		})
	}
	allowed := check(t, s, web("GET", record+"?$select=name"))
	if got := allowed.GetDynamicMetadata().GetFields()["permission"].GetStringValue(); got != "Dataverse.Account.Read" {
		t.Errorf("the metadata names %q: %v", got, allowed.GetDynamicMetadata())
	}
}

// always is a source of identity that knows one caller.
type always struct{ subject *authz.Subject }

func (a always) Identify(context.Context, *ask.Credentials) (identity.Identity, error) {
	return identity.Identity{Subject: a.subject}, nil
}

func (a always) Recall(*ask.Credentials, time.Time) (identity.Identity, error) {
	return identity.Identity{Subject: a.subject}, nil
}
