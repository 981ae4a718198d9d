package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// walkLikeReading compares the two readers of what principals hold.
func walkLikeReading(t *testing.T, payloads ...string) {
	t.Helper()
	want, wantErr := snapshot.ReadRecords(payloads...)
	var roles []string
	for _, r := range want {
		for i, parent := range r.Parents {
			r.Parents[i] = parent.Key() // by which a walk goes on
		}
		for _, g := range r.Grants {
			roles = append(roles, g.Role)
		}
	}
	got, err := snapshot.WalkRecords(roles, payloads...)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("a walk: %v; a change: %v", err, wantErr)
	}
	if err == nil {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("a walk reads something else (-change +walk):\n%s", diff)
		}
	}
}

// walkData has grants of every form: texts that are packed and that are not, long scopes,
// more roles and scopes than a walk remembers, and some that come back later.
func walkData() *snapshot.Data {
	random := rand.New(rand.NewPCG(3, 4))
	d := sample()
	t := &d.Tenants[0]
	guid := func(kind, i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, i) }
	custom := append([]string{readerRole}, make([]string, 20)...)
	for i := range custom[1:] {
		custom[i+1] = guid(1, i)
		if i%4 == 0 {
			custom[i+1] = fmt.Sprintf("role %d", i)
		}
		t.RoleDefinitions = append(t.RoleDefinitions, authz.RoleDefinition{
			ID: custom[i+1], Name: fmt.Sprintf("Role %d", i), Permissions: []string{"PowerApps.Apps.Read"}, AssignableScopes: []string{"/tenants/{0}"},
		})
	}
	for i := range 600 {
		who, id := user(fmt.Sprintf("user-%d", i%7)), guid(2, i)
		if i%3 == 0 {
			who, id = user(guid(3, i%5)), fmt.Sprintf("assignment %d", i)
		}
		place := ""
		switch random.IntN(4) {
		case 0:
			place = "/environments/e1"
		case 1:
			place = fmt.Sprintf("/environments/e1/apps/%s", guid(4, random.IntN(12)))
		case 2:
			place = fmt.Sprintf("/environments/e1/apps/app-%0*d", 1+random.IntN(200), i)
		}
		a := allow(id, who, custom[random.IntN(len(custom))], place)
		a.Effect = []authz.AssignmentEffect{authz.AssignAllow, authz.AssignAllow, authz.AssignDeny, authz.AssignForbid}[random.IntN(4)]
		a.Expires = int64(random.IntN(3)) << random.IntN(40)
		t.RoleAssignments = append(t.RoleAssignments, a)
	}
	return d
}

func walkPayloads(t testing.TB) []string {
	t.Helper()
	all, err := snapshot.PayloadsOf(walkData())
	if err != nil {
		t.Fatal(err)
	}
	payloads := all[snapshot.GrantsSection]
	if len(payloads) < 12 {
		t.Fatalf("%d records only", len(payloads))
	}
	return payloads
}

func TestAWalkReadsWhatAChangeReads(t *testing.T) {
	payloads := walkPayloads(t)
	walkLikeReading(t, payloads...)
	for _, payload := range payloads {
		walkLikeReading(t, payload)
		for cut := range min(len(payload), 300) {
			walkLikeReading(t, payload[:cut])
			changed := []byte(payload)
			changed[cut] ^= 1 << (cut % 8)
			walkLikeReading(t, string(changed))
		}
	}
}

func TestAWalkRefusesARoleThatDoesNotExist(t *testing.T) {
	payloads := walkPayloads(t)
	if _, err := snapshot.WalkRecords([]string{readerRole}, payloads...); err == nil {
		t.Error("grants of roles that do not exist were taken")
	}
}

func FuzzWalk(f *testing.F) {
	for _, payload := range walkPayloads(f) {
		f.Add(payload)
	}
	f.Add("")
	f.Add("\x02\x00\x00\x01\x00")
	f.Fuzz(func(t *testing.T, payload string) { walkLikeReading(t, payload) })
}
