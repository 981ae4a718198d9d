package admin_test

import (
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Owners are part of the data: exported, imported, and reckoned with whichever way they came.
func TestOwnersGoWithTheData(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	_, err := w.PutPrincipal(ctx(), root, admin.PutPrincipalRequest{Principal: admin.Principal{Principal: app("a1"), Owners: []authz.Principal{user("second"), app("second")}}})
	want(t, "an application with owners", err, nil)
	_, err = w.PutGroup(ctx(), root, admin.PutGroupRequest{Group: admin.Group{ID: "staff", Owners: []authz.Principal{group("team")}}, Etag: admin.AnyEtag})
	want(t, "a group with owners", err, nil)
	d, _, err := w.Export(ctx(), operator, "")
	want(t, "export", err, nil)
	var text strings.Builder
	if err := bundle.Write(&text, d, bundle.YAML); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"{principalType: ApplicationUser, principalObjectId: a1, owners: [{principalType: User, principalObjectId: second}, {principalType: ApplicationUser, principalObjectId: second}]}",
		"{principalType: Group, principalObjectId: team}], owners: [{principalType: Group, principalObjectId: team}]}",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("%s is not in\n%s", line, text.String())
		}
	}

	other := newWorld(t, "")
	again, err := bundle.Parse("exported.yaml", []byte(text.String()), bundle.Options{Vocabulary: vocabulary(), Now: begin})
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Import(ctx(), operator, admin.ImportRequest{Data: again})
	want(t, "import", err, nil)
	if a, b := w.store.Current().DataSum(), other.store.Current().DataSum(); a != b {
		t.Errorf("what was imported differs: %x and %x", a, b)
	}
	_, err = other.assign(other.as("second"), app("a1"), contributor, envE1)
	want(t, "what second owns", err, admin.ErrSelfEscalation)
	g, _, err := other.Group(ctx(), other.as("root"), "t1", "staff")
	if err != nil || len(g.Owners) != 1 || g.Owners[0] != group("team") {
		t.Errorf("the group is shown with the owners %v, %v", g.Owners, err)
	}
	// A change of the members keeps the owners.
	_, err = other.AddMembers(ctx(), other.as("root"), admin.MembersRequest{Group: "staff", Members: []authz.Principal{user("new")}})
	want(t, "a member", err, nil)
	if g, _, err := other.Group(ctx(), other.as("root"), "t1", "staff"); err != nil || len(g.Owners) != 1 {
		t.Errorf("after a change of the members the owners are %v, %v", g.Owners, err)
	}
	// Who is deleted is owned by nobody.
	_, err = other.DeletePrincipal(ctx(), other.as("root"), admin.DeletePrincipalRequest{Principal: app("a1"), Etag: admin.AnyEtag})
	want(t, "deleted", err, nil)
	_, err = other.assign(other.as("second"), app("a1"), reader, envE1)
	want(t, "what second owned", err, nil)
}
