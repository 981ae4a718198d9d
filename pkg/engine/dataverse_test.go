package engine_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/engine"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const withDatabase = `apiVersion: pathgrant/v1
tenants:
  - id: contoso
    environments: [{id: e1, dataverse: true}]
    users:
      - {environment: e1, principalType: User, principalObjectId: ada}
      - {environment: e1, principalType: User, principalObjectId: del}
    flows:
      - id: f1
        environment: e1
        runOnlyUsers: [{principalType: User, principalObjectId: ada}]
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: ada, roleDefinitionName: Basic User, scope: /tenants/contoso/environments/e1}
      - {roleAssignmentId: a2, principalType: User, principalObjectId: del, roleDefinitionName: System Administrator, scope: /tenants/contoso/environments/e1}
...
`

const e1 = "/tenants/contoso/environments/e1"

func TestQuestionsAboutRecordsAndComposites(t *testing.T) {
	dir := t.TempDir()
	revision := mustImport(t, dir, withDatabase, false)
	e := open(t, dir, engine.Options{})
	ada, del := authz.Principal{Type: authz.User, ID: "ada"}, authz.Principal{Type: authz.User, ID: "del"}
	for _, test := range []struct {
		name   string
		who    string
		q      *engine.DataverseQuestion
		reason authz.Reason
	}{
		{"all of the table", "ada", nil, authz.NoAssignment},
		{"all of the table, for the administrator", "del", nil, authz.Granted},
		{"one's own record", "ada", &engine.DataverseQuestion{Record: &engine.Record{Owner: ada}}, authz.Granted},
		{"another's", "ada", &engine.DataverseQuestion{Record: &engine.Record{Owner: del}}, authz.NoAssignment},
		{"for another", "del", &engine.DataverseQuestion{Record: &engine.Record{Owner: ada}, OnBehalfOf: subject(t, e, "ADA")}, authz.Granted},
		{"for another who may not", "del", &engine.DataverseQuestion{OnBehalfOf: subject(t, e, "ada")}, authz.NoAssignment},
		{"relating without Append", "del", &engine.DataverseQuestion{Relate: &engine.Relate{Table: "Contact"}}, authz.BadRequest},
		{"no column", "del", &engine.DataverseQuestion{Columns: []string{""}}, authz.BadRequest},
	} {
		d := e.Check(t.Context(), engine.Question{Subject: subject(t, e, test.who), Permission: "Dataverse.Account.Read", Scope: e1, Dataverse: test.q})
		if d.Reason != test.reason || (d.Record != nil) != (test.reason != authz.BadRequest) || d.Allowed() && d.Revision != revision {
			t.Errorf("%s: %+v", test.name, d)
		}
	}
	d := e.Check(t.Context(), engine.Question{Subject: subject(t, e, "del"), Request: &naming.Request{Method: "GET", Path: "/x"}, Dataverse: &engine.DataverseQuestion{}})
	if d.Reason != authz.BadRequest {
		t.Errorf("a record of a request: %+v", d)
	}
	web := naming.Request{Method: "GET", Path: "/api/data/v9.2/accounts?$select=name", ContextExtension: func(name string) string { return map[string]string{"environment": "e1"}[name] }}
	if d := e.Check(t.Context(), engine.Question{Subject: subject(t, e, "del"), Request: &web, Catalogue: "dataverse"}); !d.Allowed() {
		t.Errorf("the Web API: %+v", d)
	}

	q := engine.CompositeQuestion{Subject: subject(t, e, "ada"), Composite: "run-only-flow", Scope: e1, Object: "f1"}
	c := e.CheckComposite(t.Context(), q)
	if c.Allowed() || len(c.Layers) != 5 || c.Layers[4].State != engine.LayerUnknown || c.Layers[1].State != engine.LayerPassed || c.Revision != revision || len(c.ID) != 32 {
		t.Errorf("%+v", c)
	}
	q.Facts = map[string]bool{"licence": true}
	if c := e.CheckComposite(t.Context(), q); !c.Allowed() {
		t.Errorf("%+v", c)
	}
	q.Subject = nil
	if c := e.CheckComposite(t.Context(), q); c.Reason != authz.Unauthenticated {
		t.Errorf("%+v", c)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if c := e.CheckComposite(t.Context(), q); c.Allowed() || c.Reason != authz.NotReady {
		t.Errorf("closed: %+v", c)
	}
}
