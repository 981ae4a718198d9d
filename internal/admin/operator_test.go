package admin_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func readSecret(t *testing.T, s *admin.Secret) string {
	t.Helper()
	text, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestTheSecretIsUsedOnce(t *testing.T) {
	w := newWorld(t, company)
	info, err := os.Stat(w.secret.Path())
	if err != nil || info.Mode().Perm() != 0o600 || filepath.Base(w.secret.Path()) != "operator-secret" {
		t.Errorf("the file: %v, %v", info, err)
	}
	first := readSecret(t, w.secret)
	if len(first) != 52 { // 256 bits, 5 in a character
		t.Errorf("the secret has %d characters", len(first))
	}
	c, err := w.Prove(ctx(), first, "192.0.2.1", "curl")
	want(t, "the right one", err, nil)
	if diff := cmp.Diff(admin.Caller{Kind: admin.Operator, From: "192.0.2.1", Agent: "curl"}, c); diff != "" {
		t.Errorf("the operator (-want +got):\n%s", diff)
	}
	second := readSecret(t, w.secret)
	if second == first {
		t.Error("the secret is the same after its use")
	}
	_, err = w.Prove(ctx(), first, "", "")
	want(t, "the used one", err, admin.ErrUnauthenticated)
	_, err = w.Prove(ctx(), second+"\n", "", "")
	want(t, "the next one, with the line feed of its file", err, nil)
	reopened, err := admin.OpenSecret(filepath.Dir(w.secret.Path()))
	if err != nil || readSecret(t, reopened) == second {
		t.Errorf("a start keeps the secret: %v", err)
	}
	for _, secret := range []string{first, second} {
		if strings.Contains(w.log.String(), secret) || strings.Contains(export(t, w), secret) {
			t.Error("a secret is in the log or in the audit")
		}
	}
}

func TestASecretThatCannotBeReplacedDoesNotCount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	secret, err := admin.OpenSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := readSecret(t, secret)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, company, func(o *admin.Options) { o.Secret = secret })
	if c, err := w.Prove(ctx(), text, "", ""); err == nil || c.Kind == admin.Operator {
		t.Errorf("proved with a secret that stays as it is: %+v", c)
	}
	if _, err := w.Prove(ctx(), "", "", ""); err == nil {
		t.Error("proved with nothing")
	}
}

func TestWrongSecretsAreCountedAndSlowed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		secret, err := admin.OpenSecret(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, err := admin.New(admin.Options{Store: nothing{}, Vocabulary: vocabulary(), Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Duration
		for range 9 {
			start := time.Now()
			_, err := a.Prove(ctx(), "wrong", "", "")
			want(t, "a wrong one", err, admin.ErrUnauthenticated)
			got = append(got, time.Since(start))
		}
		const ms = time.Millisecond
		if diff := cmp.Diff([]time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 5000 * ms}, got); diff != "" {
			t.Errorf("how long each took (-want +got):\n%s", diff)
		}
		if secret.Wrong() != 9 {
			t.Errorf("%d wrong ones were counted", secret.Wrong())
		}
		// Many at once are no quicker, and no more than a bounded number waits.
		answers := make(chan error, 40)
		for range 40 {
			go func() { _, err := a.Prove(ctx(), "wrong", "", ""); answers <- err }()
		}
		throttled := 0
		for range 40 {
			if admin.KindOf(<-answers) == admin.Throttled {
				throttled++
			}
		}
		if throttled != 24 {
			t.Errorf("%d were turned away at once, want 24", throttled)
		}
		ended, cancel := context.WithCancel(ctx())
		cancel()
		_, err = a.Prove(ended, "wrong", "", "")
		want(t, "a call that has ended", err, admin.ErrUnavailable)
		start := time.Now()
		_, err = a.Prove(ctx(), readSecret(t, secret), "", "")
		want(t, "the right one", err, nil)
		if time.Since(start) != 0 {
			t.Error("the right one is slowed")
		}
		_, err = a.Prove(ctx(), "wrong", "", "")
		want(t, "a wrong one", err, admin.ErrUnauthenticated)
		if time.Since(start) != 100*ms {
			t.Error("the right one does not end the row of wrong ones")
		}
	})
}

type nothing struct{ admin.Store }

func TestBootstrapMakesTheFirstAdministratorOfAnEmptyStore(t *testing.T) {
	w := newWorld(t, "")
	q := admin.BootstrapRequest{Context: admin.Context{Tenant: "t1", Justification: "first start", RequestID: "b1"}, Principal: user("root")}
	_, err := w.Bootstrap(ctx(), operator, admin.BootstrapRequest{Principal: user("root")})
	want(t, "without a tenant", err, admin.ErrInvalid)
	_, err = w.Bootstrap(ctx(), operator, admin.BootstrapRequest{Context: q.Context, Principal: group("g")})
	want(t, "for a group", err, admin.ErrInvalid)
	made, err := w.Bootstrap(ctx(), operator, q)
	want(t, "bootstrap", err, nil)
	if as := made.RoleAssignment; as.RoleDefinitionName != administrator || as.Expires != 0 || as.Scope != tenantT1 {
		t.Errorf("made %+v", as)
	}
	again, err := w.Bootstrap(ctx(), operator, q)
	want(t, "the same request again", err, nil)
	if !again.Replayed || again.RoleAssignment != made.RoleAssignment {
		t.Errorf("again: %+v", again)
	}
	_, err = w.assign(w.as("root"), user("x"), reader, tenantT1)
	want(t, "the administrator assigns", err, nil)
	for _, tenant := range []string{"t1", "t2"} {
		_, err = w.Bootstrap(ctx(), operator, admin.BootstrapRequest{Context: admin.Context{Tenant: tenant}, Principal: user("eve")})
		want(t, "a second time, tenant "+tenant, err, admin.ErrNotEmpty)
	}
	v, err := w.AuditVerify(ctx(), operator)
	if err != nil || !v.Intact || v.Verified != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestBootstrapCanMakeAnOwner(t *testing.T) {
	w := newWorld(t, "  - {id: t1}\n")
	made, err := w.Bootstrap(ctx(), operator, admin.BootstrapRequest{Context: admin.Context{Tenant: "t1"}, Principal: app("a"), Owner: true})
	want(t, "bootstrap", err, nil)
	if made.RoleAssignment.RoleDefinitionName != owner {
		t.Errorf("made %+v", made.RoleAssignment)
	}
}

func TestBreakingGlassIsShortJustifiedLoudAndShown(t *testing.T) {
	w := newWorld(t, company)
	broken := func(d time.Duration, why string, p authz.Principal) (admin.RoleAssignmentResult, error) {
		return w.BreakGlass(ctx(), operator, admin.BreakGlassRequest{Context: admin.Context{Tenant: "t1", Justification: why}, Principal: p, Duration: d})
	}
	_, err := broken(0, "", user("eve"))
	want(t, "without a justification", err, admin.ErrInvalid)
	_, err = broken(8*time.Hour+1, "outage", user("eve"))
	want(t, "for too long", err, admin.ErrInvalid)
	_, err = broken(0, "outage", user("gone"))
	want(t, "for somebody disabled", err, admin.ErrPrincipalDisabled)
	made, err := broken(0, "outage", user("eve"))
	want(t, "for somebody", err, nil)
	if made.RoleAssignment.Expires != begin.Add(time.Hour).Unix() {
		t.Errorf("it expires at %v", time.Unix(made.RoleAssignment.Expires, 0))
	}
	_, err = w.assign(w.as("eve"), user("x"), reader, envE1)
	want(t, "she assigns", err, nil)
	if log := w.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "glass was broken") || !strings.Contains(log, "outage") {
		t.Errorf("the log says:\n%s", log)
	}
	shown := func() []string {
		t.Helper()
		all, err := w.Emergencies(ctx())
		want(t, "emergencies", err, nil)
		var who []string
		for _, e := range all {
			who = append(who, e.RoleAssignment.Principal.ID+" "+e.Justification)
		}
		return who
	}
	_, err = broken(8*time.Hour, "worse", user("fay"))
	want(t, "for somebody else", err, nil)
	if diff := cmp.Diff([]string{"eve outage", "fay worse"}, shown()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	w.clock.move(time.Hour)
	if diff := cmp.Diff([]string{"fay worse"}, shown()); diff != "" {
		t.Errorf("shown an hour later (-want +got):\n%s", diff)
	}
	_, err = w.assign(w.as("eve"), user("y"), reader, envE1)
	want(t, "she assigns an hour later", err, admin.ErrForbidden)
	_, err = w.unassign(w.as("root"), w.find(user("fay"), tenantT1))
	want(t, "it is ended", err, nil)
	if got := shown(); len(got) != 0 {
		t.Errorf("shown after it was ended: %v", got)
	}
}

func TestAnImportReplacesEverythingAndIsRecorded(t *testing.T) {
	w := newWorld(t, company)
	smaller := parse(t, `
  - id: t1
    environments: [{id: e1}]
    roleAssignments:
      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {principalType: User, principalObjectId: newcomer, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
`)
	before := w.revision()
	dry, err := w.Import(ctx(), operator, admin.ImportRequest{Data: smaller, ValidateOnly: true})
	want(t, "to validate", err, nil)
	if w.revision() != before {
		t.Error("to validate changes something")
	}
	// Added: newcomer's assignment. Changed: root's, whose identifier stays, does not differ;
	// environment e1, which leaves its group. Removed: 2 groups of environments, 2
	// environments, 1 principal, 2 groups, 3 members, 4 assignments.
	wantCounts := admin.ImportResult{Added: 1, Changed: 1, Removed: 14}
	got := dry
	got.Outcome = admin.Outcome{}
	if diff := cmp.Diff(wantCounts, got); diff != "" {
		t.Errorf("to validate says (-want +got):\n%s", diff)
	}
	made, err := w.Import(ctx(), operator, admin.ImportRequest{Context: admin.Context{Justification: "move"}, Data: smaller})
	want(t, "import", err, nil)
	if made.Revision != w.revision() || made.Revision == before {
		t.Errorf("imported as %v, now at %v", made.Revision, w.revision())
	}
	for _, part := range []string{`"action":"Import"`, `"whole":true`, `"beforeSum":"`, `"afterSum":"`, `"roleAssignments":2`, `"justification":"move"`} {
		if text := lastEntry(t, w); !strings.Contains(text, part) {
			t.Errorf("the entry lacks %s:\n%s", part, text)
		}
	}
	again, err := w.Import(ctx(), operator, admin.ImportRequest{Data: smaller})
	want(t, "import again", err, nil)
	if again.Revision != made.Revision || again.Added+again.Changed+again.Removed != 0 {
		t.Errorf("importing again: %+v", again)
	}
	locked := parse(t, "  - {id: t1}\n")
	_, err = w.Import(ctx(), operator, admin.ImportRequest{Data: locked})
	want(t, "an import that locks the tenant", err, admin.ErrLastAdministrator)
	_, err = w.Import(ctx(), operator, admin.ImportRequest{Data: locked, LockOut: true})
	want(t, "one that may", err, nil)
	if n, err := verifyExport(export(t, w)); n != 2 || err != nil {
		t.Errorf("the audit: %d entries, %v", n, err)
	}
}

func TestAnImportIntoAnEmptyStore(t *testing.T) {
	w := newWorld(t, "")
	made, err := w.Import(ctx(), operator, admin.ImportRequest{Data: parse(t, company)})
	want(t, "import", err, nil)
	if made.Revision != w.revision() || made.Added == 0 || made.Removed != 0 {
		t.Errorf("imported: %+v", made)
	}
	if n, err := verifyExport(export(t, w)); n != 1 || err != nil {
		t.Errorf("the audit: %d entries, %v", n, err)
	}
}

func TestWhatAFileDeliversIsRecorded(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) { o.Writable = false })
	d := parse(t, company+`
      - {principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
`)
	if _, err := w.store.Replace(ctx(), d, snapshot.Change{Source: "file", Record: w.Delivered("file")}); err != nil {
		t.Fatal(err)
	}
	text := lastEntry(t, w)
	for _, part := range []string{`"action":"Deliver"`, `"whole":true`, `"source":"file"`, `"callerKind":"Nobody"`} {
		if !strings.Contains(text, part) {
			t.Errorf("the entry lacks %s:\n%s", part, text)
		}
	}
	if n, err := verifyExport(export(t, w)); n != 1 || err != nil {
		t.Errorf("the audit: %d entries, %v", n, err)
	}
}

func TestAnExportReadsBack(t *testing.T) {
	w := newWorld(t, company)
	all, revision, err := w.Export(ctx(), operator, "")
	want(t, "export by the operator", err, nil)
	own, _, err := w.Export(ctx(), w.as("root"), "")
	want(t, "export by the tenant's owner", err, nil)
	if diff := cmp.Diff(all, own); diff != "" || revision != w.revision() {
		t.Errorf("the exports differ (-all +own):\n%s", diff)
	}
	_, _, err = w.Export(ctx(), w.as("ena"), "")
	want(t, "export by an environment's administrator", err, admin.ErrForbidden)
	var b bytes.Buffer
	want(t, "the audit by a token", w.AuditExport(ctx(), w.as("root"), &b), admin.ErrOperatorRequired)
}

// Who breaks off while being slowed gets no more tries than who stays.
func TestWhoBreaksOffIsSlowedToo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		secret, err := admin.OpenSecret(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, err := admin.New(admin.Options{Store: nothing{}, Vocabulary: vocabulary(), Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			hasty, cancel := context.WithTimeout(ctx(), time.Millisecond)
			_, err := a.Prove(hasty, "wrong", "", "")
			cancel()
			want(t, "a hasty try", err, admin.ErrUnavailable)
		}
		if secret.Wrong() != 1 {
			t.Errorf("%d of 50 hasty tries were looked at within 50 ms, want 1", secret.Wrong())
		}
		start := time.Now()
		_, err = a.Prove(ctx(), readSecret(t, secret), "", "")
		want(t, "the right one", err, nil)
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("the right one took %s, want the 100 ms that are owed", waited)
		}
	})
}
