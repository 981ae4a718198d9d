package admin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// verifyExport is a second implementation of the audit's format, written from the text of
// its documentation alone. It returns the number of entries, or why the export is not whole.
func verifyExport(export string) (int, error) {
	if !strings.HasSuffix(export, "\n") {
		return 0, errors.New("no line feed at the end")
	}
	lines := strings.Split(strings.TrimSuffix(export, "\n"), "\n")
	if lines[0] != "pathgrant-audit 1" || len(lines) < 2 {
		return 0, errors.New("first line")
	}
	previous := make([]byte, 32)
	entries := lines[1 : len(lines)-1]
	for i, line := range entries {
		hash, text, found := strings.Cut(line, " ")
		if !found {
			return 0, fmt.Errorf("line %d", i)
		}
		sum := sha256.Sum256(append(bytes.Clone(previous), text...))
		if hash != hex.EncodeToString(sum[:]) {
			return 0, fmt.Errorf("hash of entry %d", i+1)
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			return 0, err
		}
		if object["number"] != float64(i+1) || object["previous"] != hex.EncodeToString(previous) {
			return 0, fmt.Errorf("number or previous of entry %d", i+1)
		}
		store, _ := object["store"].(string)
		if (i == 0) != (len(store) == 32) {
			return 0, fmt.Errorf("store of entry %d", i+1)
		}
		previous = sum[:]
	}
	if want := "head " + strconv.Itoa(len(entries)) + " " + hex.EncodeToString(previous); lines[len(lines)-1] != want {
		return 0, errors.New("head")
	}
	return len(entries), nil
}

// chain makes a world with so many entries in its change audit.
func chain(t *testing.T, entries int) (*world, string) {
	t.Helper()
	w := newWorld(t, company)
	for i := range entries {
		q := admin.CreateRoleAssignmentRequest{
			Context:   admin.Context{Justification: fmt.Sprintf("ticket %d: \"<ü>\"", i)},
			Principal: user(fmt.Sprintf("x%d", i)), Role: reader, Scope: envE1,
		}
		if _, err := w.CreateRoleAssignment(ctx(), w.as("root"), q); err != nil {
			t.Fatal(err)
		}
	}
	return w, export(t, w)
}

func export(t *testing.T, w *world) string {
	t.Helper()
	var b bytes.Buffer
	if err := w.AuditExport(ctx(), operator, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func intact(t *testing.T, export string) bool {
	t.Helper()
	v, err := admin.VerifyAuditExport(strings.NewReader(export))
	if err != nil {
		t.Fatal(err)
	}
	if v.Intact != (v.Problem == "") {
		t.Errorf("%+v", v)
	}
	return v.Intact
}

func TestASecondImplementationVerifiesAnExport(t *testing.T) {
	w, text := chain(t, 50)
	n, err := verifyExport(text)
	if n != 50 || err != nil {
		t.Errorf("the second implementation: %d entries, %v", n, err)
	}
	if !intact(t, text) {
		t.Error("ours says that it is not intact")
	}
	v, err := w.AuditVerify(ctx(), operator)
	if err != nil || !v.Intact || v.Verified != 50 || v.Head.Number != 50 {
		t.Errorf("%+v, %v", v, err)
	}
	if want := fmt.Sprintf("head 50 %x\n", v.Head.Hash); !strings.HasSuffix(text, want) {
		t.Errorf("the export does not end with %s", want)
	}
}

func TestEveryByteOfAChainThatIsChangedIsFound(t *testing.T) {
	_, text := chain(t, 50)
	lines := strings.Split(text, "\n")
	var before admin.Verifier
	for _, line := range lines[1:51] {
		hash, err := hex.DecodeString(line[:64])
		if err != nil {
			t.Fatal(err)
		}
		entry := []byte(line[65:])
		for i := range entry {
			for bit := range 8 {
				entry[i] ^= 1 << bit
				v := before
				if v.Next(entry, [32]byte(hash)) == nil {
					t.Fatalf("bit %d of byte %d of an entry changed is not found: %s", bit, i, entry)
				}
				entry[i] ^= 1 << bit
			}
		}
		for i := range hash {
			hash[i] ^= 1
			v := before
			if v.Next(entry, [32]byte(hash)) == nil {
				t.Fatalf("byte %d of a hash changed is not found", i)
			}
			hash[i] ^= 1
		}
		if err := before.Next(entry, [32]byte(hash)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryByteOfAnExportThatIsChangedIsFound(t *testing.T) {
	_, text := chain(t, 2)
	raw := []byte(text)
	for i := range raw {
		for _, flip := range []byte{0x01, 0x20} { // 0x20 makes a letter an upper-case one
			raw[i] ^= flip
			if intact(t, string(raw)) {
				t.Fatalf("byte %d changed from %q to %q is not found", i, raw[i]^flip, raw[i])
			}
			raw[i] ^= flip
		}
	}
	if !intact(t, string(raw)) {
		t.Fatal("the export itself is not intact")
	}
}

func TestEveryFieldOfAnEntryThatIsChangedIsFound(t *testing.T) {
	_, text := chain(t, 3)
	lines := strings.Split(text, "\n")
	hash, entry, _ := strings.Cut(lines[2], " ")
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(entry), &fields); err != nil {
		t.Fatal(err)
	}
	if len(fields) < 12 {
		t.Errorf("an entry has %d fields: %s", len(fields), entry)
	}
	for name, value := range fields {
		changed := strings.Replace(entry, `"`+name+`":`+string(value), `"`+name+`":"x"`, 1)
		if changed == entry {
			t.Fatalf("%s not found", name)
		}
		all := append([]string(nil), lines...)
		all[2] = hash + " " + changed
		if intact(t, strings.Join(all, "\n")) {
			t.Errorf("the field %s changed is not found", name)
		}
	}
}

func TestEntriesTakenAwayOrMovedAreFound(t *testing.T) {
	_, text := chain(t, 6)
	lines := strings.SplitAfter(text, "\n") // frame, 6 entries, head, ""
	first, last := lines[1], lines[6]
	oldHead := "head 5 " + strings.Fields(lines[5])[0] + "\n"
	for name, changed := range map[string][]string{
		"the last one removed":               {lines[0], lines[1], lines[2], lines[3], lines[4], lines[5], lines[7]},
		"the last ones removed":              {lines[0], lines[1], lines[7]},
		"the first one removed":              {lines[0], lines[2], lines[3], lines[4], lines[5], last, lines[7]},
		"one in the middle removed":          {lines[0], first, lines[2], lines[4], lines[5], last, lines[7]},
		"two exchanged":                      {lines[0], first, lines[3], lines[2], lines[4], lines[5], last, lines[7]},
		"one twice":                          {lines[0], first, lines[2], lines[2], lines[3], lines[4], lines[5], last, lines[7]},
		"the head replaced by an older one":  {lines[0], first, lines[2], lines[3], lines[4], lines[5], last, oldHead},
		"the head missing":                   {lines[0], first, lines[2], lines[3], lines[4], lines[5], last},
		"something after the head":           append(append([]string(nil), lines...), "x"),
		"all of them removed, the head kept": {lines[0], lines[7]},
	} {
		all := strings.Join(changed, "")
		if intact(t, all) {
			t.Errorf("%s: not found", name)
		}
		if _, err := verifyExport(all); err == nil {
			t.Errorf("%s: the second implementation does not find it", name)
		}
	}
	// Whoever removes the last entry and the head with it is found by the head that was kept.
	cut := strings.Join([]string{lines[0], first, lines[2], lines[3], lines[4], lines[5], oldHead}, "")
	v, err := admin.VerifyAuditExport(strings.NewReader(cut))
	if err != nil || !v.Intact || v.Head.Number != 5 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAnEmptyAuditIsWhole(t *testing.T) {
	w := newWorld(t, company)
	text := export(t, w)
	if text != "pathgrant-audit 1\nhead 0 "+strings.Repeat("0", 64)+"\n" || !intact(t, text) {
		t.Errorf("an empty audit is %q", text)
	}
	v, err := w.AuditVerify(ctx(), operator)
	if err != nil || !v.Intact || v.Verified != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A tampering store changes what a transaction reads and writes.
type tampering struct {
	admin.Store
	edit func(admin.Edit) admin.Edit
	read func(admin.Reader) admin.Reader
}

func (s tampering) Update(ctx context.Context, change snapshot.Change, edit func(admin.Edit) error) (authz.Revision, error) {
	return s.Store.Update(ctx, change, func(e admin.Edit) error {
		if s.edit != nil {
			e = s.edit(e)
		}
		return edit(e)
	})
}

func (s tampering) Read(ctx context.Context, read func(admin.Reader) error) error {
	return s.Store.Read(ctx, func(r admin.Reader) error {
		if s.read != nil {
			r = s.read(r)
		}
		return read(r)
	})
}

type noLog struct{ admin.Edit }

func (noLog) AppendLog([]byte) (uint64, error) { return 0, errors.New("the disk is full") }

func TestAChangeThatCannotBeRecordedIsRefused(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) {
		o.Store = tampering{Store: o.Store, edit: func(e admin.Edit) admin.Edit { return noLog{e} }}
	})
	before := w.revision()
	_, err := w.assign(w.as("root"), user("x"), reader, envE1)
	if admin.KindOf(err) != admin.Internal || err == nil {
		t.Errorf("assign: %v", err)
	}
	if w.revision() != before {
		t.Error("the change was made all the same")
	}
	_, all, err := w.store.AssignmentsAt(ctx(), "t1", envE1)
	if err != nil || len(all) != 1 {
		t.Errorf("assignments at the environment: %v, %v", all, err)
	}
	if !strings.Contains(w.log.String(), "the disk is full") {
		t.Error("the log does not say why")
	}
}

// shifted reads a log in which one record was changed, or a head that was replaced.
type shifted struct {
	admin.Reader
	at   uint64
	head []byte
}

func (s shifted) Log(n uint64) ([]byte, bool, error) {
	record, ok, err := s.Reader.Log(n)
	if n == s.at && ok {
		record = bytes.Clone(record)
		record[len(record)/2] ^= 1
	}
	return record, ok, err
}

func (s shifted) Note(bucket, key string) ([]byte, error) {
	if s.head != nil && key == "head" {
		return s.head, nil
	}
	return s.Reader.Note(bucket, key)
}

func TestVerificationFindsAChangedRecordAndAReplacedHead(t *testing.T) {
	w, text := chain(t, 5)
	hash := strings.Fields(strings.Split(text, "\n")[3])[0]
	for name, r := range map[string]func(admin.Reader) admin.Reader{
		"a record":          func(r admin.Reader) admin.Reader { return shifted{Reader: r, at: 3} },
		"an older head":     func(r admin.Reader) admin.Reader { return shifted{Reader: r, head: []byte("3 " + hash)} },
		"a head of nothing": func(r admin.Reader) admin.Reader { return shifted{Reader: r, head: []byte("x")} },
	} {
		o := w.options
		o.Store = tampering{Store: o.Store, read: r}
		a, err := admin.New(o)
		if err != nil {
			t.Fatal(err)
		}
		v, err := a.AuditVerify(ctx(), operator)
		if err != nil || v.Intact || v.Problem == "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestAnEntrySaysWhoDidWhat(t *testing.T) {
	w := newWorld(t, company)
	r, err := w.CreateRoleAssignment(ctx(), w.as("root"), admin.CreateRoleAssignmentRequest{
		Context: admin.Context{RequestID: "req-1", Justification: "ticket 7"}, Principal: user("x"), Role: reader, Scope: envE1,
	})
	want(t, "assign", err, nil)
	var got map[string]any
	if err := json.Unmarshal([]byte(lastEntry(t, w)), &got); err != nil {
		t.Fatal(err)
	}
	store, _ := got["store"].(string)
	if len(store) != 32 {
		t.Errorf("store is %q", store)
	}
	delete(got, "store")
	diff := cmp.Diff(map[string]any{
		"format": "pathgrant/v1 change", "number": 1.0, "previous": strings.Repeat("0", 64), "time": "2026-11-22T08:00:00Z",
		"revision": map[string]any{"epoch": float64(r.Revision.Epoch), "number": float64(r.Revision.Number)},
		"action":   "CreateRoleAssignment", "tenant": "t1", "callerKind": "Token", "callerTenant": "t1",
		"caller": map[string]any{"principalType": "User", "principalObjectId": "root"}, "from": "192.0.2.7", "agent": "test/1",
		"requestId": "req-1", "justification": "ticket 7", "scopes": []any{envE1},
		"changes": []any{map[string]any{
			"target": "roleAssignments/" + r.RoleAssignment.ID,
			"after": map[string]any{
				"roleAssignmentId": r.RoleAssignment.ID, "principalType": "User", "principalObjectId": "x",
				"roleDefinitionId": "c886ad2e-27f7-4874-8381-5849b8d8a090", "scope": envE1, "effect": "ALLOW",
				"createdOn": "2026-11-22T08:00:00Z", "createdByPrincipalType": "User", "createdByPrincipalObjectId": "root",
			},
		}},
	}, got)
	if diff != "" {
		t.Errorf("the entry (-want +got):\n%s", diff)
	}
}

func TestACallerSeesTheEntriesOfItsTenantAlone(t *testing.T) {
	w := newWorld(t, company+`
  - id: t2
    roleAssignments:
      - {principalType: User, principalObjectId: root2, roleDefinitionName: Power Platform Owner, scope: /tenants/t2}
`)
	root2 := w.caller(authz.SubjectSpec{Tenant: "t2", Principal: user("root2")})
	_, err := w.assign(w.as("root"), user("x"), reader, envE1)
	want(t, "assign in t1", err, nil)
	_, err = w.assign(root2, user("x"), reader, "/tenants/t2")
	want(t, "assign in t2", err, nil)
	for name, c := range map[string]struct {
		caller admin.Caller
		tenant string
		want   []uint64
	}{
		"t1": {w.as("root"), "", []uint64{1}}, "t2": {root2, "", []uint64{2}},
		"the operator": {operator, "", []uint64{1, 2}}, "the operator, of t2": {operator, "t2", []uint64{2}},
	} {
		page, err := w.Audit(ctx(), c.caller, admin.AuditRequest{Tenant: c.tenant})
		want(t, name, err, nil)
		var got []uint64
		for _, e := range page.Entries {
			got = append(got, e.Number)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, err = w.Audit(ctx(), w.as("ena"), admin.AuditRequest{})
	want(t, "the administrator of an environment", err, admin.ErrForbidden)
	_, err = w.AuditVerify(ctx(), w.as("eve"))
	want(t, "verification by somebody without a role", err, admin.ErrForbidden)
}

func TestARequestThatIsSentAgainIsMadeOnce(t *testing.T) {
	w := newWorld(t, company)
	q := admin.CreateRoleAssignmentRequest{Context: admin.Context{RequestID: "r1"}, Principal: user("x"), Role: reader, Scope: envE1}
	first, err := w.CreateRoleAssignment(ctx(), w.as("root"), q)
	want(t, "the first time", err, nil)
	at := w.revision()
	again, err := w.CreateRoleAssignment(ctx(), w.as("root"), q)
	want(t, "again", err, nil)
	if !again.Replayed || first.Replayed || again.Revision != first.Revision || w.revision() != at {
		t.Errorf("again: %+v, revision %v; the first time: %+v, %v", again.Outcome, w.revision(), first.Outcome, at)
	}
	if diff := cmp.Diff(first.RoleAssignment, again.RoleAssignment); diff != "" {
		t.Errorf("the answers differ (-first +again):\n%s", diff)
	}
	other := q
	other.Scope = envE2
	_, err = w.CreateRoleAssignment(ctx(), w.as("root"), other)
	want(t, "another request with the same id", err, admin.ErrRequestIDReused)
	_, err = w.CreateRoleAssignment(ctx(), w.as("second"), other)
	want(t, "another request with the same id, by somebody else", err, nil)
	_, err = w.DeleteRoleAssignment(ctx(), w.as("root"), admin.DeleteRoleAssignmentRequest{Context: admin.Context{RequestID: "r1"}, ID: first.RoleAssignment.ID})
	want(t, "another kind of request with the same id", err, admin.ErrRequestIDReused)
	_, err = w.assign(w.as("ada"), user("x"), reader, envE3, func(q *admin.CreateRoleAssignmentRequest) { q.RequestID = "r2" })
	want(t, "what was refused", err, admin.ErrForbidden)

	w.clock.move(24 * time.Hour)
	_, err = w.CreateRoleAssignment(ctx(), w.as("root"), q)
	want(t, "a day later it is made anew", err, admin.ErrDuplicate)
	_, err = w.CreateRoleAssignment(ctx(), w.as("root"), admin.CreateRoleAssignmentRequest{Context: admin.Context{RequestID: "r3"}, Principal: user("y"), Role: reader, Scope: envE1})
	want(t, "another", err, nil)
	n := 0
	err = w.options.Store.Read(ctx(), func(r admin.Reader) error {
		for _, err := range r.Notes("admin/answers", "") {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("%d answers are kept, %v; want the newest alone", n, err)
	}
}

func TestOnlySoManyAnswersAreRemembered(t *testing.T) {
	w := newWorld(t, company)
	w.RememberMost(3)
	ask := func(i int) (admin.RoleAssignmentResult, error) {
		return w.CreateRoleAssignment(ctx(), w.as("root"), admin.CreateRoleAssignmentRequest{
			Context: admin.Context{RequestID: fmt.Sprintf("r%d", i)}, Principal: user(fmt.Sprintf("x%d", i)), Role: reader, Scope: envE1,
		})
	}
	for i := range 5 {
		_, err := ask(i)
		want(t, "a request", err, nil)
	}
	for i := range 5 {
		r, err := ask(i)
		if i < 2 { // forgotten
			want(t, "an old request again", err, admin.ErrDuplicate)
		} else if want(t, "a newer request again", err, nil); !r.Replayed {
			t.Errorf("request %d was made again", i)
		}
	}
}

func TestAChangeThatIsTooLargeToBeRecordedIsRefused(t *testing.T) {
	w := newWorld(t, company)
	for i := range 9 {
		q := admin.MembersRequest{Group: "team"}
		for j := range 1000 {
			q.Members = append(q.Members, user(fmt.Sprintf("%s-%d-%d", strings.Repeat("m", 40), i, j)))
		}
		_, err := w.AddMembers(ctx(), w.as("root"), q)
		want(t, "add", err, nil)
	}
	before := w.revision()
	_, err := w.DeleteGroup(ctx(), w.as("root"), admin.DeleteGroupRequest{ID: "team", Etag: "*"})
	want(t, "remove a group of 9,000", err, admin.ErrInUse)
	if w.revision() != before {
		t.Error("the change was made all the same")
	}
}

func TestARequestThatChangesNothingIsRememberedToo(t *testing.T) {
	w := newWorld(t, company)
	q := admin.MembersRequest{Context: admin.Context{RequestID: "r1"}, Group: "team", Members: []authz.Principal{user("bob")}}
	first, err := w.AddMembers(ctx(), w.as("root"), q)
	want(t, "add who is a member", err, nil)
	_, err = w.RemoveMembers(ctx(), w.as("root"), admin.MembersRequest{Group: "team", Members: q.Members})
	want(t, "remove", err, nil)
	again, err := w.AddMembers(ctx(), w.as("root"), q)
	want(t, "the first request again", err, nil)
	if !again.Replayed || again.Revision != first.Revision {
		t.Errorf("again: %+v, the first time: %+v", again, first)
	}
}
