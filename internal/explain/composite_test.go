package explain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const flows = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments: [{id: e1, dataverse: true}]
    tables: [{environment: e1, name: Order, classes: [custom], ownership: User, entitySet: new_orders}]
    users:
      - {environment: e1, principalType: User, principalObjectId: runner}
      - {environment: e1, principalType: User, principalObjectId: maker}
    roleDefinitions:
      - {roleDefinitionId: orders, roleDefinitionName: Order clerk, environment: e1, privileges: ["Dataverse.Order.{Read,Append,AppendTo}@User"]}
      - {roleDefinitionId: all-orders, roleDefinitionName: Order manager, environment: e1, privileges: ["Dataverse.Order.ALL8@Organization"]}
    flows:
      - {id: f1, environment: e1, displayName: Approve an order, maker: {principalType: User, principalObjectId: maker}, connections: [{name: db, connector: dataverse, provider: RunOnlyUser, tables: [{table: Order}]}]}
      - {id: f2, environment: e1, displayName: By the maker, maker: {principalType: User, principalObjectId: maker}, runOnlyUsers: [{principalType: User, principalObjectId: runner}], connections: [{name: db, connector: dataverse, provider: Maker, tables: [{table: Order}]}]}
...
`

func runOnly(t testing.TB, flow string) *ask.CompositeRequest {
	t.Helper()
	return &ask.CompositeRequest{
		Adapter: "test", Composite: "run-only-flow", Scope: "/tenants/t1/environments/e1", Object: flow,
		Subject: user(t, "runner"), Facts: map[string]bool{"licence": true},
	}
}

func (w *world) composite(r *ask.CompositeRequest) *explain.Composite {
	w.t.Helper()
	e, err := w.explainer.ExplainComposite(w.t.Context(), r, everything)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(e.Layers) != len(e.Answer.Layers) {
		w.t.Fatalf("%d layers are explained, %d were decided", len(e.Layers), len(e.Answer.Layers))
	}
	return e
}

// states are the layers in short, with the roles of their mends.
func states(e *explain.Composite) []string {
	var all []string
	for i, layer := range e.Answer.Layers {
		text := layer.Name + " " + layer.State.String()
		if m := e.Layers[i].Mend; m != nil {
			for _, p := range m.Assignments {
				text += fmt.Sprintf(", %s to %s", p.RoleName, p.Principal.ID)
			}
			if len(m.Assignments) == 0 {
				text += ", advice"
			}
		}
		all = append(all, text)
	}
	return all
}

// Somebody is told "insufficient permissions" and nothing else. The explanation names the
// layers that fail and what mends each, and each mend applied in turn ends in an allow.
func TestARunOnlyUserIsHelpedLayerByLayer(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(flows)
	r := runOnly(t, "f1")
	for i, step := range []struct {
		want []string
		mend func(e *explain.Composite)
	}{
		{
			[]string{"environment FAILED, App Opener to runner", "flow FAILED, advice", "connection PASSED", "data FAILED, Order clerk to runner", "licence PASSED"},
			func(e *explain.Composite) { w.make(e.Layers[0].Mend.Assignments) },
		},
		{
			[]string{"environment PASSED", "flow FAILED, advice", "connection PASSED", "data FAILED, Order clerk to runner", "licence PASSED"},
			func(e *explain.Composite) {
				if advice := strings.Join(e.Layers[1].Mend.Advice, " "); !strings.Contains(advice, "hare the flow") {
					t.Errorf("advice %q", advice)
				}
				w.shareFlow("f1", principal(authz.User, "runner"))
			},
		},
		{
			[]string{"environment PASSED", "flow PASSED", "connection PASSED", "data FAILED, Order clerk to runner", "licence PASSED"},
			func(e *explain.Composite) { w.make(e.Layers[3].Mend.Assignments) },
		},
		{[]string{"environment PASSED", "flow PASSED", "connection PASSED", "data PASSED", "licence PASSED"}, nil},
	} {
		e := w.composite(r)
		if diff := cmp.Diff(step.want, states(e)); diff != "" {
			t.Fatalf("step %d (-want +got):\n%s", i, diff)
		}
		if allowed := step.mend == nil; e.Answer.Allowed() != allowed {
			t.Fatalf("step %d: %s", i, e.Answer.Reason)
		}
		if step.mend != nil {
			step.mend(e)
		}
	}
	var a ask.CompositeAnswer
	if w.gate.CheckComposite(t.Context(), r, &a); !a.Allowed() {
		t.Errorf("in the end the gate says %s %s", a.Reason, a.Detail)
	}
}

// Where the maker provides the connection, it is the maker who lacks the data.
func TestAMakersConnectionIsMendedForTheMaker(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(flows)
	e := w.composite(runOnly(t, "f2"))
	if got := states(e)[3]; got != "data FAILED, Order clerk to maker" {
		t.Errorf("layer %q", got)
	}
	unstated := runOnly(t, "f2")
	unstated.Facts = nil
	if got := states(w.composite(unstated))[4]; got != "licence UNKNOWN, advice" {
		t.Errorf("layer %q", got)
	}
}

func (w *world) shareFlow(id string, with authz.Principal) {
	w.t.Helper()
	_, err := w.store.Update(w.t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
		f, _, err := e.Flow("t1", "e1", id)
		if err != nil {
			return err
		}
		f.RunOnly = append(slices.Clone(f.RunOnly), with)
		return e.PutFlow("t1", f)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
