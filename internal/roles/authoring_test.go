package roles_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// authoringMatrix is the published matrix: X may author, - may not, n only outside of
// solutions.
const authoringMatrix = `
                    EM EA SC SA
Canvas app          X  X  X  X
Cloud flow          n  X  X  X
Connector           n  X  X  X
Connection          X  X  X  X
Data gateway        -  X  -  X
Dataflow            X  X  X  X
Dataverse tables    -  -  X  X
Model-driven app    X  -  X  X
Solution framework  X  -  X  X
Desktop flow        -  -  X  X
AI Builder          -  -  X  X
`

// authoringColumns are the roles behind the columns. Where there is a database, with
// Environment Maker comes the security role of that name.
var authoringColumns = []struct {
	name  string
	roles []string
}{
	{"EM", []string{"Environment Maker", "Environment Maker (Dataverse)"}},
	{"EA", []string{"Environment Admin"}},
	{"SC", []string{"System Customizer"}},
	{"SA", []string{"System Administrator"}},
}

// author answers authoring questions from compiled roles.
type author struct {
	vocabulary *authz.Vocabulary
	db         *authz.Database
}

func newAuthor(t *testing.T) author {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return author{catalogues.Vocabulary(), newDatabase(t)}
}

// may tells whether a user who holds the roles at the environment may author the resource.
func (a author) may(t *testing.T, defs []authz.RoleDefinition, question roles.AuthoringQuestion) bool {
	t.Helper()
	if table, privilege, ok := a.db.Permission(question.Permission); ok {
		return a.mayInDatabase(t, defs, table, privilege)
	}
	id, known := a.vocabulary.ID(question.Permission)
	if !known {
		t.Fatalf("nobody knows the permission %s", question.Permission)
	}
	var grants []authz.Grant
	for i := range defs {
		role, err := a.vocabulary.Compile(defs[i])
		if err != nil {
			t.Fatal(err)
		}
		grants = append(grants, authz.Grant{AssignmentID: defs[i].ID, Role: role, Scope: "/tenants/t/environments/e", Effect: authz.AssignAllow})
	}
	return authz.Decide(authz.NewGrants(grants), authz.Request{
		Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{{"/tenants/t/environments/e", "/tenants/t"}},
	}, 0).Allowed()
}

func (a author) mayInDatabase(t *testing.T, defs []authz.RoleDefinition, table authz.TableID, privilege authz.Privilege) bool {
	t.Helper()
	spec := authz.RecordSubjectSpec{User: authz.Principal{Type: authz.User, ID: "u"}, BusinessUnit: "root"}
	for i := range defs {
		role, err := a.db.Compile(defs[i])
		if err != nil {
			t.Fatal(err)
		}
		spec.Holdings = append(spec.Holdings, authz.RoleHolding{AssignmentID: defs[i].ID, Role: role, BusinessUnit: "root"})
	}
	subject, err := a.db.Subject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return authz.DecideRecord(a.db, authz.RecordRequest{Caller: subject, Table: table, Privilege: privilege}, 0).Allowed()
}

// matrix answers all cells, keyed by resource and column.
func (a author) matrix(t *testing.T, columns map[string][]authz.RoleDefinition) map[string]string {
	t.Helper()
	may := map[string][]bool{}
	for _, question := range roles.AuthoringQuestions() {
		for column, defs := range columns {
			cell := question.Resource + "/" + column
			may[cell] = append(may[cell], a.may(t, defs, question)) // outside a solution first
		}
	}
	marks := map[string]string{}
	for cell, answers := range may {
		switch outside, inside := answers[0], answers[len(answers)-1]; {
		case outside && inside:
			marks[cell] = "X"
		case outside:
			marks[cell] = "n"
		case inside:
			marks[cell] = "inside solutions only"
		default:
			marks[cell] = "-"
		}
	}
	return marks
}

func wantMatrix(t *testing.T) map[string]string {
	t.Helper()
	want := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(authoringMatrix), "\n")[1:] {
		resource, marks := strings.TrimSpace(line[:20]), strings.Fields(line[20:])
		if len(marks) != len(authoringColumns) {
			t.Fatalf("the line of %q has the marks %v", resource, marks)
		}
		for i, column := range authoringColumns {
			want[resource+"/"+column.name] = marks[i]
		}
	}
	return want
}

// shippedColumns are the definitions behind the columns.
func shippedColumns(t *testing.T) map[string][]authz.RoleDefinition {
	t.Helper()
	columns := map[string][]authz.RoleDefinition{}
	for _, column := range authoringColumns {
		for _, name := range column.roles {
			columns[column.name] = append(columns[column.name], mustFind(t, name))
		}
	}
	return columns
}

func TestAuthoringMatrix(t *testing.T) {
	want := wantMatrix(t)
	count := map[string]int{}
	for _, mark := range want {
		count[mark]++
	}
	// 34 marks, two of them limited, and 10 blanks; the limited cells are asked both ways.
	if diff := cmp.Diff(map[string]int{"X": 32, "n": 2, "-": 10}, count); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if cells, questions := len(want), len(want)+count["n"]; cells != 44 || questions != 46 {
		t.Errorf("%d cells and %d questions, want 44 and 46", cells, questions)
	}
	if diff := cmp.Diff(want, newAuthor(t).matrix(t, shippedColumns(t))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever permission behind a cell is given or taken in the shipped roles, that cell of the
// matrix changes, and no other.
func TestAuthoringMatrixBreaksWhenOneCellIsFlipped(t *testing.T) {
	a, want := newAuthor(t), wantMatrix(t)
	flips := 0
	for _, question := range roles.AuthoringQuestions() {
		for _, column := range authoringColumns {
			columns := shippedColumns(t)
			had := a.may(t, columns[column.name], question)
			flip(columns[column.name], question.Permission, !had)
			flips++
			var changed []string
			for cell, mark := range a.matrix(t, columns) {
				if mark != want[cell] {
					changed = append(changed, cell)
				}
			}
			if cell := question.Resource + "/" + column.name; len(changed) != 1 || changed[0] != cell {
				t.Errorf("%s of %s flipped to %v changes the cells %v, want %s alone", question.Permission, column.name, !had, changed, cell)
			}
		}
	}
	if flips != 52 { // 44 cells, two rows of them asked both ways
		t.Errorf("%d flips, want 52", flips)
	}
}

// flip gives the permission to the first of the definitions, or takes it from all.
func flip(defs []authz.RoleDefinition, permission string, give bool) {
	table, _, inDatabase := strings.Cut(strings.TrimPrefix(permission, "Dataverse."), ".")
	inDatabase = inDatabase && strings.HasPrefix(permission, "Dataverse.")
	switch {
	case inDatabase && give:
		defs[0].Privileges = append(defs[0].Privileges, permission+"@Organization")
	case give:
		defs[0].Permissions = append(defs[0].Permissions, permission)
		defs[0].PermissionsExceptions = slices.DeleteFunc(defs[0].PermissionsExceptions, func(e string) bool { return e == permission })
	}
	for i := range defs {
		switch {
		case give:
		case inDatabase:
			defs[i].Privileges = slices.DeleteFunc(defs[i].Privileges, func(line string) bool { return strings.HasPrefix(line, "Dataverse."+table+".") })
			defs[i].Privileges = append(defs[i].Privileges, permission+"@User")
		default:
			defs[i].PermissionsExceptions = append(defs[i].PermissionsExceptions, permission)
		}
	}
}

func TestOnlyDesktopFlowsAreClosedInEnvironmentsOfTypeTeams(t *testing.T) {
	var got []string
	for _, question := range roles.AuthoringQuestions() {
		if question.NotInTeams {
			got = append(got, question.Resource)
		}
	}
	if diff := cmp.Diff([]string{"Desktop flow"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
