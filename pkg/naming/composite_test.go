package naming_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// layers writes a composite's layers, one a line.
func layers(c *naming.Catalogues, composite *naming.Composite) []string {
	var lines []string
	for _, l := range composite.Layers {
		line := l.Name + ": " + l.Kind.String()
		for _, id := range l.Permissions {
			line += " " + string(c.Vocabulary().Name(id))
		}
		for _, p := range l.Privileges {
			line += " " + p.String()
		}
		if l.TablePrivileges != 0 {
			line += " " + l.TablePrivileges.String()
		}
		if l.Fact != "" {
			line += " " + l.Fact
		}
		lines = append(lines, line)
	}
	return lines
}

func TestShippedComposites(t *testing.T) {
	t.Parallel()
	c := loadWeb(t, naming.Shipped(), naming.ShippedDataverse())
	flow, ok := c.Composite("run-only-flow")
	if !ok || flow.Target != naming.FlowTarget || flow.DisplayName == "" || flow.Description == "" {
		t.Fatalf("run-only-flow is %+v", flow)
	}
	want := []string{
		"environment: privileges Dataverse.Process.Read@User Dataverse.ConnectionReference.Read@User Dataverse.EnvironmentVariableDefinition.Read@User",
		"flow: shared",
		"connection: connections",
		"data: data {Read,Append,AppendTo}",
		"licence: fact licence",
	}
	if diff := cmp.Diff(want, layers(c, flow)); diff != "" {
		t.Errorf("run-only-flow: -want +got\n%s", diff)
	}
	app, ok := c.Composite("run-app")
	if !ok || app.Target != naming.AppTarget {
		t.Fatalf("run-app is %+v", app)
	}
	want = []string{
		"app: shared",
		"permission: permissions PowerApps.Apps.Play",
		"environment: privileges Dataverse.{system}.Read@User Dataverse.UserEntityUISettings.{Create,Read,Write}@User",
		"data: data Read",
		"licence: fact licence",
	}
	if diff := cmp.Diff(want, layers(c, app)); diff != "" {
		t.Errorf("run-app: -want +got\n%s", diff)
	}
	for _, composite := range []*naming.Composite{flow, app} {
		for _, l := range composite.Layers {
			if l.Mend == "" || l.Description == "" {
				t.Errorf("the layer %s of %s does not say what it is about and what to do", l.Name, composite.Name)
			}
		}
	}
	if all := c.Composites(); len(all) != 2 || all[0] != app || all[1] != flow {
		t.Errorf("the composites are %v", all)
	}
	if _, ok := c.Composite("Run-App"); ok {
		t.Error("names are compared exactly")
	}
}

// Basic User holds what the environment layers ask for, and so does App Opener: the
// published answers say that either is enough.
func TestShippedCompositesAskForWhatTheRolesHold(t *testing.T) {
	t.Parallel()
	db, err := authz.NewDatabase(authz.DatabaseSpec{Tables: roles.StandardTables()})
	if err != nil {
		t.Fatal(err)
	}
	c := loadWeb(t, naming.Shipped())
	for _, name := range []string{"Basic User", "App Opener"} {
		definition, ok := roles.FindPredefined(name)
		if !ok {
			t.Fatalf("no role %s", name)
		}
		role, err := db.Compile(definition)
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, composite := range c.Composites() {
			for _, l := range composite.Layers {
				for _, p := range l.Privileges {
					for i := range db.Len() {
						id := authz.TableID(i + 1)
						table, _ := db.Table(id)
						if !strings.EqualFold(table.Name, p.Table) && table.Classes&p.Class == 0 {
							continue
						}
						for _, privilege := range authz.TablePrivileges() {
							if !p.Privileges.Has(privilege) {
								continue
							}
							if checked++; role.Reach(id, privilege) < p.Reach {
								t.Errorf("%s lacks %v on %s, which %s asks for", name, privilege, table.Name, composite.Name)
							}
						}
					}
				}
			}
		}
		if checked < 20 {
			t.Errorf("only %d privileges were looked at", checked)
		}
	}
}

// Composites of all catalogues are found, and no two have one name.
func TestCompositesOfSeveralCatalogues(t *testing.T) {
	t.Parallel()
	const one = "catalogue: %s\ncomposites:\n  %s: {target: app, layers: [{name: a, permissions: [Shop.Orders.Read, Shop.Orders.Ship]}, {name: b, fact: paid}]}\n"
	source := func(catalogue, composite string) naming.Source {
		return naming.Source{File: catalogue + ".yaml", Text: fmt.Appendf(nil, one, catalogue, composite)}
	}
	c, err := naming.Load(source("first", "buy"), source("second", "sell"))
	if err != nil {
		t.Fatal(err)
	}
	sell, ok := c.Composite("sell")
	if !ok {
		t.Fatal("sell was not found")
	}
	if diff := cmp.Diff([]string{"a: permissions Shop.Orders.Read Shop.Orders.Ship", "b: fact paid"}, layers(c, sell)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	_, err = naming.Load(source("first", "buy"), source("second", "buy"))
	if want := "second.yaml:3:3: composites: first.yaml has a composite buy too: give each a name of its own"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What was never set is nothing, and texts that name nothing are refused.
func TestCompositeWords(t *testing.T) {
	t.Parallel()
	var target naming.CompositeTarget
	var kind naming.CompositeKind
	if target.String() != "" || kind.String() != "" {
		t.Errorf("the zero values are %q and %q", target, kind)
	}
	if target.UnmarshalText(nil) == nil || kind.UnmarshalText([]byte("")) == nil || kind.UnmarshalText([]byte("Shared")) == nil {
		t.Error("a text that names nothing was read")
	}
	for _, text := range []string{"flow", "app"} {
		if err := target.UnmarshalText([]byte(text)); err != nil || target.String() != text {
			t.Errorf("%s: %v, %v", text, target, err)
		}
	}
	for _, text := range []string{"permissions", "privileges", "shared", "connections", "data", "fact"} {
		if err := kind.UnmarshalText([]byte(text)); err != nil || kind.String() != text {
			t.Errorf("%s: %v, %v", text, kind, err)
		}
	}
	if got := naming.CompositeKind(77).String(); got != "CompositeKind(77)" {
		t.Errorf("an unknown kind prints %q", got)
	}
}

// What the authoring matrix and the environment roles name beyond the permission reference
// is in the shipped catalogue, and marked.
func TestPermissionsBeyondTheReferenceAreMarked(t *testing.T) {
	t.Parallel()
	c := loadWeb(t, naming.Shipped())
	for _, name := range []string{
		"Governance.DlpPolicies.Read", "Governance.DlpPolicies.Create", "Governance.DlpPolicies.Update", "Governance.DlpPolicies.Delete",
		"PowerApps.Dataflows.Create", "PowerAutomate.SolutionFlows.Create", "Connectivity.SolutionConnectors.Create", "PowerAutomate.DesktopFlows.Create",
	} {
		id, ok := c.Vocabulary().ID(name)
		if !ok {
			t.Errorf("%s is not there", name)
			continue
		}
		if _, description := c.Default().Describe(id); !strings.HasPrefix(description, "Ours:") {
			t.Errorf("%s is not marked: %q", name, description)
		}
	}
}
