package insiders_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// authors is a tenant with one environment, which has no database yet.
const authors = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments: [{id: e1}]
    roleAssignments:
      - {roleAssignmentId: as-owner, principalType: User, principalObjectId: owner, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
...
`

// authoring is the published matrix and what its cells ask for. EM, EA, SC and SA are a
// maker, an Environment Admin, a System Customizer and a System Administrator: X may author,
// - may not, n only outside of solutions.
var authoring = []struct {
	resource, marks, permission string
	inSolution                  string // where that is another permission
}{
	//                      EM EA SC SA
	{"Canvas app        ", "X  X  X  X", "PowerApps.Apps.Create", ""},
	{"Cloud flow        ", "n  X  X  X", "PowerAutomate.Flows.Create", "PowerAutomate.SolutionFlows.Create"},
	{"Connector         ", "n  X  X  X", "Connectivity.Connectors.Create", "Connectivity.SolutionConnectors.Create"},
	{"Connection        ", "X  X  X  X", "Connectivity.Connections.Create", ""},
	{"Data gateway      ", "-  X  -  X", "Connectivity.Gateways.Create", ""},
	{"Dataflow          ", "X  X  X  X", "PowerApps.Dataflows.Create", ""},
	{"Dataverse tables  ", "-  -  X  X", "Dataverse.Entity.Create", ""},
	{"Model-driven app  ", "X  -  X  X", "Dataverse.AppModule.Create", ""},
	{"Solution framework", "X  -  X  X", "Dataverse.Solution.Create", ""},
	{"Desktop flow      ", "-  -  X  X", "PowerAutomate.DesktopFlows.Create", ""},
	{"AI Builder        ", "-  -  X  X", "Dataverse.AIModel.Create", ""},
}

var authorColumns = []string{"EM", "EA", "SC", "SA"}

// authorRoles are the roles that are assigned to those of a column, and in a database with
// the first comes another.
var authorRoles = map[string]string{"EM": "Environment Maker", "EA": "Environment Admin", "SC": "System Customizer", "SA": "System Administrator"}

// openAuthors serves a product with the roles given, and has an administrator make the
// authors by calls alone: EA before there is a database, which later would be refused.
func openAuthors(t *testing.T, shipped []authz.RoleDefinition) pathgrantv1.AuthorizationServiceClient {
	t.Helper()
	o := openWith(t, authors, shipped)
	assigned := func(who string) {
		t.Helper()
		o.tries(who, "owner", "CreateRoleAssignment", assign(user(who), authorRoles[who], "/tenants/t1/environments/e1"), "OK")
	}
	assigned("EA")
	o.tries("a database", "owner", "PutEnvironment", `{"environment":{"id":"e1","dataverse":true},"ifMatch":"*"}`, "OK")
	for _, who := range authorColumns {
		o.tries(who, "owner", "PutItem", `{"item":{"environment":"e1","user":{"principal":`+user(who)+`}}}`, "OK")
	}
	assigned("EM")
	assigned("SC")
	assigned("SA")
	if t.Failed() {
		t.FailNow()
	}
	return o.checks()
}

// askAuthors asks a running server every question of the matrix, and returns the marks of
// each resource. A cell that is refused for anything but a role that is lacking says so.
func askAuthors(t *testing.T, checks pathgrantv1.AuthorizationServiceClient) (marks map[string]string, asked int) {
	t.Helper()
	marks = map[string]string{}
	for _, row := range authoring {
		var cells []string
		for _, who := range authorColumns {
			answers := reason(t, checks, who, row.permission, "e1")
			asked++
			if row.inSolution != "" {
				answers += " " + reason(t, checks, who, row.inSolution, "e1")
				asked++
			}
			switch answers {
			case "GRANTED", "GRANTED GRANTED":
				cells = append(cells, "X")
			case "NO_ASSIGNMENT", "NO_ASSIGNMENT NO_ASSIGNMENT":
				cells = append(cells, "-")
			case "GRANTED NO_ASSIGNMENT":
				cells = append(cells, "n")
			default:
				cells = append(cells, answers)
			}
		}
		marks[row.resource] = strings.Join(cells, "  ")
	}
	return marks, asked
}

func publishedMarks() map[string]string {
	marks := map[string]string{}
	for _, row := range authoring {
		marks[row.resource] = row.marks
	}
	return marks
}

func TestTheAuthoringMatrixOfARunningServer(t *testing.T) {
	got, asked := askAuthors(t, openAuthors(t, roles.All()))
	if diff := cmp.Diff(publishedMarks(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// 46 questions fill the 44 cells: the two that are limited are asked both ways. So are here
	// the other six of their rows.
	if asked != 52 {
		t.Errorf("%d questions were asked", asked)
	}
	var permissions []string
	for _, row := range authoring {
		permissions = append(permissions, row.permission)
		if row.inSolution != "" {
			permissions = append(permissions, row.inSolution)
		}
	}
	var published []string
	for _, question := range roles.AuthoringQuestions() {
		published = append(published, question.Permission)
	}
	if diff := cmp.Diff(permissions, published); diff != "" {
		t.Errorf("what the product says that the cells ask for (-want +got):\n%s", diff)
	}
}

// Whatever permission behind a cell is given or taken in the roles that the product comes
// with, that cell of a running server's matrix changes, and no other.
func TestARunningServersAuthoringMatrixBreaksWhenOneCellIsFlipped(t *testing.T) {
	flips := 0
	for _, row := range authoring {
		for column, who := range authorColumns {
			for _, permission := range []string{row.permission, row.inSolution} {
				if permission == "" {
					continue
				}
				flips++
				mark := strings.Fields(row.marks)[column]
				had := mark == "X" || mark == "n" && permission == row.permission
				t.Run(fmt.Sprintf("%s of %s becomes %v", permission, who, !had), func(t *testing.T) {
					got, _ := askAuthors(t, openAuthors(t, flipped(t, who, permission, !had)))
					for resource, want := range publishedMarks() {
						for i, mark := range strings.Fields(want) {
							changed := strings.Split(got[resource], "  ")[i] != mark
							if here := resource == row.resource && i == column; changed != here {
								t.Errorf("%s, %s: %q in place of %q", resource, authorColumns[i], got[resource], want)
							}
						}
					}
				})
			}
		}
	}
	if flips != 52 {
		t.Errorf("%d flips, want 52", flips)
	}
}

// Privileges of a role that is no security role give nothing: so does Environment Admin,
// whatever is written into it.
func TestEnvironmentAdminHasNoDataWhateverItsDefinitionSays(t *testing.T) {
	shipped := roles.All()
	for i := range shipped {
		if shipped[i].Name == "Environment Admin" {
			shipped[i].Privileges = []string{"Dataverse.{any}.ALL8@Organization"}
		}
	}
	got, _ := askAuthors(t, openAuthors(t, shipped))
	if diff := cmp.Diff(publishedMarks(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// flipped are the roles that the product comes with, but for one permission that the role of
// a column gives, or no longer does.
func flipped(t *testing.T, who, permission string, give bool) []authz.RoleDefinition {
	t.Helper()
	name := authorRoles[who]
	table, inDatabase := strings.CutPrefix(permission, "Dataverse.")
	if inDatabase && who == "EM" {
		name = "Environment Maker (Dataverse)"
	}
	shipped := roles.All()
	i := slices.IndexFunc(shipped, func(def authz.RoleDefinition) bool { return def.Name == name })
	if i < 0 {
		t.Fatalf("the product has no role %q", name)
	}
	def := &shipped[i]
	switch {
	case inDatabase && give:
		def.Category = authz.DataverseRoles // the privileges of no other role count
		def.Privileges = append(def.Privileges, permission+"@Organization")
	case inDatabase:
		def.Privileges = append(def.Privileges, permission+"@User") // a line that names the table outranks one for its class
		table, _, _ = strings.Cut(table, ".")
		def.Privileges = slices.DeleteFunc(def.Privileges, func(line string) bool {
			return strings.HasPrefix(line, "Dataverse."+table+".") && line != permission+"@User"
		})
	case give:
		def.Permissions = append(def.Permissions, permission)
		def.PermissionsExceptions = slices.DeleteFunc(def.PermissionsExceptions, func(line string) bool { return line == permission })
	default:
		def.PermissionsExceptions = append(def.PermissionsExceptions, permission)
	}
	return shipped
}
