package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/engine"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const policy = `apiVersion: pathgrant/v1
tenants:
  - id: contoso
    environments: [{id: e1}, {id: e2}]
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Contributor, scope: /tenants/contoso}
      - {roleAssignmentId: a2, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Contributor, scope: /tenants/contoso/environments/e2, effect: DENY}
...
`

// withoutAda is a later policy.
const withoutAda = `apiVersion: pathgrant/v1
tenants:
  - id: contoso
    environments: [{id: e1}, {id: e2}]
...
`

// importBundle does what pathgrant import does, with restore pathgrant import --restore.
func importBundle(ctx context.Context, dir, text string, restore bool) (_ authz.Revision, err error) {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		return authz.Revision{}, err
	}
	data, err := bundle.Parse("policy.yaml", []byte(text), bundle.Options{
		FoldCase: catalogues.FoldCase(), Vocabulary: catalogues.Vocabulary(), Now: time.Now(),
	})
	if err != nil {
		return authz.Revision{}, err
	}
	store, err := snapshot.Open(ctx, snapshot.Options{
		Dir: dir, Vocabulary: catalogues.Vocabulary(), FoldCase: catalogues.FoldCase(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), Restore: restore,
	})
	if err != nil {
		return authz.Revision{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Replace(ctx, data, snapshot.Change{Source: "import"})
}

func mustImport(t testing.TB, dir, text string, restore bool) authz.Revision {
	t.Helper()
	revision, err := importBundle(context.Background(), dir, text, restore)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func open(t testing.TB, dir string, o engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func subject(t testing.TB, e *engine.Engine, id string) *authz.Subject {
	t.Helper()
	s, err := e.Subject(authz.SubjectSpec{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: id}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(who *authz.Subject, path string) engine.Question {
	return engine.Question{Subject: who, Request: &naming.Request{Method: "GET", Path: path}}
}
