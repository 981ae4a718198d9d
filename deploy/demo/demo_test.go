package main

import (
	"strings"
	"testing"
)

func TestColumnsAreAligned(t *testing.T) {
	var got strings.Builder
	printTable(&got, [][]string{
		{"WHO", "PATH", "HTTP"},
		{"rita", "/a", "200"},
		{"o", "/grün", "403", "<== want 200"},
		{"o", "/a", ""},
	})
	want := `WHO   PATH   HTTP
rita  /a     200
o     /grün  403   <== want 200
o     /a
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestPermissionsOfOneTypeAreJoined(t *testing.T) {
	for permissions, want := range map[string]string{
		"":                  "",
		"A.B.Create":        "A.B.Create",
		"A.B.Create A.B.Up": "A.B.{Create,Up}",
		"A.B.Create A.C.Up": "A.B.Create A.C.Up",
		"A.B.X A.B.C.X":     "A.B.X A.B.C.X",
	} {
		if got := joined(permissions); got != want {
			t.Errorf("joined(%q) = %q, want %q", permissions, got, want)
		}
	}
}

func TestScopesAreShownWithoutTheirTenant(t *testing.T) {
	for scope, want := range map[string]string{
		"/tenants/" + tenant:                            "(tenant)",
		"/tenants/" + tenant + "/environments/e1":       "environments/e1",
		"/tenants/other/environments/e1":                "/tenants/other/environments/e1",
		"/tenants/" + tenant + "x/environmentGroups/g1": "/tenants/" + tenant + "x/environmentGroups/g1",
	} {
		if got := relative([]string{scope}); got != want {
			t.Errorf("relative(%q) = %q, want %q", scope, got, want)
		}
	}
}

func TestARowThatIsNotAsItMustBeIsMarkedAndCounted(t *testing.T) {
	s := &show{}
	r := request{want: outcome{403, "NO_ASSIGNMENT", "A.B.Read", "environments/e1"}}
	if wrong := s.judge(r, r.want, nil); wrong != "" || s.bad != 0 {
		t.Errorf("what is as it must be is marked %q", wrong)
	}
	got := r.want
	got.status = 200
	if wrong := s.judge(r, got, nil); wrong != "want 403 NO_ASSIGNMENT A.B.Read environments/e1" || s.bad != 1 {
		t.Errorf("marked %q, %d bad", wrong, s.bad)
	}
	if err := s.summary(0); err == nil {
		t.Error("the summary is no error")
	}
}

func TestOneAssignmentIsRemovedFromTheBundle(t *testing.T) {
	changed, err := without(policy, "principalObjectId: "+revoked.who)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(policy, "\n")-strings.Count(changed, "\n") != 1 || !strings.HasSuffix(changed, "\n...\n") {
		t.Errorf("changed to\n%s", changed)
	}
	if _, err := without(policy, "principalObjectId: carl"); err == nil {
		t.Error("two assignments were removed without an error")
	}
}
