package rest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/rest"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestTheDocumentIsTheGoldenOne(t *testing.T) {
	w := newWorld(t, "")
	file := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(file, w.doc.text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(w.doc.text)); diff != "" {
		t.Errorf("the document has changed; if that is meant, run the test with -update: %s", diff)
	}
}

// The operations of the Power Platform API and those of Pathgrant's own, as they are meant
// to be.
func TestTheOperations(t *testing.T) {
	want := []string{
		"GET /authorization/roleDefinitions",
		"GET /authorization/roleAssignments", "POST /authorization/roleAssignments", "DELETE /authorization/roleAssignments/{roleAssignmentId}",
		"GET /authorization/environmentGroups/{environmentGroupId}/roleAssignments",
		"POST /authorization/environmentGroups/{environmentGroupId}/roleAssignments",
		"DELETE /authorization/environmentGroups/{environmentGroupId}/roleAssignments/{roleAssignmentId}",
		"GET /authorization/environments/{environmentId}/roleAssignments",
		"POST /authorization/environments/{environmentId}/roleAssignments",
		"DELETE /authorization/environments/{environmentId}/roleAssignments/{roleAssignmentId}",
		"POST /authorization/listRoleAssignments",
		"POST /authorization/environments/{environmentId}/listRoleAssignments",
		"POST /authorization/environments/{environmentId}/checkPrincipalPermissionForScope",
		"POST /usermanagement/environments/{environmentId}/user/applyAdminRole",
		"POST /pathgrant/v1/checkPrincipalPermissionForScope",
		"GET /pathgrant/v1/audit/entries", "POST /pathgrant/v1/audit/verify",
		"POST /pathgrant/v1/bootstrap (operator)", "GET /pathgrant/v1/openapi.json (public)",
	}
	var got, ids []string
	for _, o := range rest.Operations() {
		line := o.Method + " " + o.Path
		if o.Operator {
			line += " (operator)"
		}
		if o.Public {
			line += " (public)"
		}
		got, ids = append(got, line), append(ids, o.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(got) {
		t.Errorf("an operation's identifier is there twice: %v", ids)
	}
}

// Each template's parameters are described, each reference leads somewhere, and what needs
// no credentials says so.
func TestTheDocumentIsWhole(t *testing.T) {
	w := newWorld(t, "")
	count := 0
	for path, methods := range w.doc.Paths {
		for method, o := range methods {
			count++
			var inPath []string
			version := false
			for _, p := range o.Parameters {
				if p.In == "path" {
					inPath = append(inPath, "{"+p.Name+"}")
				}
				version = version || p.Name == "api-version"
			}
			var want []string
			for _, segment := range strings.Split(path, "/") {
				if strings.HasPrefix(segment, "{") {
					want = append(want, segment)
				}
			}
			if diff := cmp.Diff(want, inPath); diff != "" {
				t.Errorf("%s %s: %s", method, path, diff)
			}
			if version == strings.HasPrefix(path, "/pathgrant/") {
				t.Errorf("%s %s: it has a version: %v", method, path, version)
			}
			if public := len(o.Security) == 0; public != (o.ID == "getOpenAPI") {
				t.Errorf("%s: it needs no credentials: %v", o.ID, public)
			}
			for status, response := range o.Responses {
				if len(response.Content) != 1 || response.Content["application/json"].Schema == nil {
					t.Errorf("%s %s: it has no schema", o.ID, status)
				}
			}
		}
	}
	if count != len(rest.Operations()) {
		t.Errorf("it describes %d operations of %d", count, len(rest.Operations()))
	}
	for _, reference := range references(t, w.doc.text) {
		if _, ok := w.doc.Parts.Schemas[strings.TrimPrefix(reference, "#/components/schemas/")]; !ok {
			t.Errorf("the reference %s leads nowhere", reference)
		}
	}
}

func references(t *testing.T, text []byte) (all []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	next := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return all
		}
		word, _ := token.(string)
		if next {
			all = append(all, word)
		}
		next = word == "$ref"
	}
}

// Every operation is carried out, and refused in each way that needs no accident; helpers
// compare each answer with the document.
func TestEveryOperationAnswersAsItsDocumentSays(t *testing.T) {
	w := newWorld(t, company)
	const check = `{"PrincipalObjectId":"ada","PrincipalType":"User","Permissions":["PowerApps.Apps.Read"],"Scope":"/tenants/t1/environments/e1"}`
	bodies := map[string]string{
		"createRoleAssignment":                 role(readerID, "User", "new", "/tenants/t1"),
		"createEnvironmentGroupRoleAssignment": role(readerID, "User", "new", "/tenants/t1/environmentGroups/g1"),
		"createEnvironmentRoleAssignment":      role(readerID, "User", "new", "/tenants/t1/environments/e1"),
		"queryRoleAssignments":                 `{"Scope":"/tenants/t1"}`,
		"queryEnvironmentRoleAssignments":      `{"Scope":"/tenants/t1/environments/e1"}`,
		"checkEnvironmentPrincipalPermission":  check,
		"checkPrincipalPermission":             check,
		"bootstrap":                            bootstrapBody,
	}
	ids := map[string]string{"/authorization/roleAssignments": "as-ada", "/authorization/environmentGroups/g1/roleAssignments": "as-staff", "/authorization/environments/e1/roleAssignments": "as-ena"}
	for _, o := range rest.Operations() {
		environment := "e1"
		if o.ID == "applyAdminRole" {
			environment = "d1" // which has a database
		}
		path := strings.NewReplacer("{environmentId}", environment, "{environmentGroupId}", "g1").Replace(o.Path)
		if at, ok := strings.CutSuffix(path, "/{roleAssignmentId}"); ok {
			path = at + "/" + ids[at]
		}
		unversioned := path
		if !strings.HasPrefix(path, "/pathgrant/") {
			path += v
		}
		for _, who := range []string{"", "other-audience", "stranger", "undelegated"} {
			w.as(who, o.Method, path, bodies[o.ID])
		}
		w.as("root", o.Method, unversioned+"?unknown=1", bodies[o.ID])
		if o.Method == http.MethodPost {
			w.as("root", o.Method, path, "[]")
		}
		var got answer
		if o.Operator { // there is something to bootstrap in a world of its own alone
			w.want(o.ID, w.operator(o.Method, path, bodies[o.ID]), "Conflict Conflict NotEmpty")
			empty := newWorld(t, "")
			empty.doc = w.doc
			got = empty.operator(o.Method, path, bodies[o.ID])
		} else {
			got = w.as("root", o.Method, path, bodies[o.ID])
		}
		w.want(o.ID, got, "OK")
		statuses := w.doc.answered[o.ID]
		for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
			if !statuses[status] {
				t.Errorf("%s was never answered with %d", o.ID, status)
			}
		}
		if !o.Public && (!statuses[http.StatusUnauthorized] || !statuses[http.StatusForbidden]) {
			t.Errorf("%s was never refused: %v", o.ID, statuses)
		}
	}
}

// The validator itself finds faults; else it would prove nothing.
func TestTheValidatorFindsFaults(t *testing.T) {
	w := newWorld(t, "")
	good := map[string]any{
		"roleAssignmentId": "a", "scope": "/tenants/t1", "principalType": "User", "principalObjectId": "u", "roleDefinitionId": "r",
		"createdByPrincipalType": nil, "createdByPrincipalObjectId": nil, "createdOn": nil, "expiresOn": "2027-01-01T00:00:00Z",
	}
	schema := map[string]any{"$ref": "#/components/schemas/RoleAssignment"}
	if problems := w.doc.validate("good", schema, good); len(problems) > 0 {
		t.Errorf("%v", problems)
	}
	for name, value := range map[string]any{
		"principalType": "Team", "scope": nil, "expiresOn": "2027-01-01", "createdOn": 7.0, "createdByPrincipalType": "Nobody", "surplus": "x",
	} {
		bad := map[string]any{name: value}
		for key, value := range good {
			if key != name {
				bad[key] = value
			}
		}
		if problems := w.doc.validate("bad", schema, bad); len(problems) != 1 {
			t.Errorf("%s %v: %v", name, value, problems)
		}
		delete(bad, name)
		if problems := w.doc.validate("bad", schema, bad); name != "surplus" && len(problems) != 1 {
			t.Errorf("without %s: %v", name, problems)
		}
	}
	if problems := w.doc.validate("list", map[string]any{"type": "array", "items": schema, "pattern": "x"}, []any{nil}); len(problems) != 2 {
		t.Errorf("a list: %v", problems)
	}
}
