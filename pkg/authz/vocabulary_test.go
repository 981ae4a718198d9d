package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestParsePermission(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, namespace, resourceType, action string }{
		{"PowerApps.Apps.Read", "PowerApps", "Apps", "Read"},
		{"Agent365.Observability.AllAgents.Read", "Agent365", "Observability.AllAgents", "Read"},
		{"a-b.c_d.9", "a-b", "c_d", "9"},
	} {
		p, err := authz.ParsePermission(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		if p.Namespace() != c.namespace || p.ResourceType() != c.resourceType || p.Action() != c.action {
			t.Errorf("%q is %q, %q and %q", c.text, p.Namespace(), p.ResourceType(), p.Action())
		}
	}
	for _, text := range []string{
		"", ".", "..", "Read", "Apps.Read", "PowerApps..Read", ".Apps.Read", "PowerApps.Apps.", "*", "PowerApps.*.Read",
		"PowerApps.Apps.Re ad", "PowerApps.Apps.Read\n", "PowerApps.Äpps.Read", "PowerApps/Apps/Read",
		"PowerApps.Apps.\u212Aey", // the Kelvin sign, which folds to k elsewhere
	} {
		if p, err := authz.ParsePermission(text); err == nil || p != "" {
			t.Errorf("%q is a permission", text)
		}
	}
	if p := authz.Permission("Apps.Read"); p.ResourceType() != "" || p.Namespace() != "Apps" || p.Action() != "Read" {
		t.Errorf("two parts are %q, %q and %q", p.Namespace(), p.ResourceType(), p.Action())
	}
}

func TestVocabularyFindsNamesInAnyCase(t *testing.T) {
	t.Parallel()
	v, err := authz.NewVocabulary([]authz.Permission{"PowerApps.Apps.Read", "flow.Flows.Read", "PowerApps.Apps.Play", "PowerApps.Apps.Read"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]authz.Permission{"flow.Flows.Read", "PowerApps.Apps.Play", "PowerApps.Apps.Read"}, v.Names()); diff != "" || v.Len() != 3 {
		t.Errorf("%d names (-want +got):\n%s", v.Len(), diff)
	}
	for _, text := range []string{"PowerApps.Apps.Read", "powerapps.apps.read", "POWERAPPS.APPS.READ"} {
		if id, ok := v.ID(text); !ok || v.Name(id) != "PowerApps.Apps.Read" {
			t.Errorf("%q is not found", text)
		}
	}
	for _, text := range []string{"", "*", "PowerApps.Apps.ReadWrite", "PowerApps.Apps", "PowerApps.Apps.Read ", "All.All.ReadWrite"} {
		if id, ok := v.ID(text); ok {
			t.Errorf("%q is found as %s", text, v.Name(id))
		}
	}
	names := v.Names()
	names[0] = "Changed.By.Caller"
	if v.Name(0) != "flow.Flows.Read" {
		t.Error("a caller can change the vocabulary")
	}
}

func TestVocabularyReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := authz.NewVocabulary([]authz.Permission{
		"PowerApps.Apps.Read", "powerapps.apps.read", "PowerApps", "All.All.ReadWrite", "dataverse.Account.Read", "ALL.all.readwrite",
	}, authz.Implications{"Fly": {"Read"}, "PowerApps.Apps.Read": {"Write"}, "Read": {"Swim"}, "PowerApps.Apps.Play": {"PowerApps.Apps.Read"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`"powerapps.apps.read" is declared as "PowerApps.Apps.Read" too`,
		`"PowerApps" is not {Namespace}.{ResourceType}.{Action}`,
		`"All.All.ReadWrite" is reserved`, `"dataverse.Account.Read" is reserved`, `"ALL.all.readwrite" is reserved`,
		`"fly", which no permission has`, `"swim", which no permission has`, `"powerapps.apps.play", which no permission has`,
		"PowerApps.Apps.Read: [Write] mixes an action with a full permission",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestImplicationsInACircleAreRefused(t *testing.T) {
	t.Parallel()
	names := []authz.Permission{"A.B.Read", "A.B.Write", "A.B.Play", "A.C.Read"}
	for _, implications := range []authz.Implications{
		{"Read": {"Read"}},
		{"Create": {"Write"}},
		{"Read": {"ReadWrite"}},
		{"Read": {"Play"}, "Play": {"ReadWrite"}},
		{"A.B.Read": {"A.C.Read"}, "A.C.Read": {"A.B.Read"}},
		{"A.B.Read": {"A.B.Play"}, "Play": {"Read"}},
	} {
		if _, err := authz.NewVocabulary(names, implications); err == nil || !strings.Contains(err.Error(), "circle") {
			t.Errorf("%v: got the error %v", implications, err)
		}
	}
	// Nearly circles: two ways to one name, and the default said again.
	for _, implications := range []authz.Implications{
		nil, {}, {"Write": {"Create"}, "readwrite": {"write"}}, {"Play": {"Read", "Write"}, "ReadWrite": {"Play"}},
	} {
		if _, err := authz.NewVocabulary(names, implications); err != nil {
			t.Errorf("%v: %v", implications, err)
		}
	}
}

func TestEmptyVocabularyKnowsNothing(t *testing.T) {
	t.Parallel()
	v, err := authz.NewVocabulary(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	role, err := v.Compile(authz.RoleDefinition{Permissions: []string{"*"}})
	if err != nil || v.Len() != 0 || role.Size() != 0 || role.Grants(0) {
		t.Errorf("%d names, %d granted, error %v", v.Len(), role.Size(), err)
	}
}

// Sets hold numbers at and beyond the borders of their words.
func TestSetsAcrossWords(t *testing.T) {
	t.Parallel()
	var names []authz.Permission
	for i := range 130 {
		names = append(names, authz.Permission(fmt.Sprintf("A.T%03d.Play", i)))
	}
	v, err := authz.NewVocabulary(names, nil)
	if err != nil {
		t.Fatal(err)
	}
	chosen := map[authz.Permission]bool{"A.T000.Play": true, "A.T063.Play": true, "A.T064.Play": true, "A.T127.Play": true, "A.T129.Play": true}
	s := v.Select(func(p authz.Permission) bool { return chosen[p] })
	for i, name := range names {
		if s.Has(authz.PermissionID(i)) != chosen[name] {
			t.Errorf("%s: %v", name, !chosen[name])
		}
	}
	if s.Len() != 5 || s.Has(130) || s.Has(192) || s.Has(1<<31) || authz.Set(nil).Has(0) || authz.Set(nil).Len() != 0 || v.NewSet().Len() != 0 {
		t.Errorf("the set of %d has what it was not given", s.Len())
	}
}
