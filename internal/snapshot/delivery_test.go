package snapshot_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// deliveryOf delivers data one role assignment after the other, those of the last tenant
// first. Lines are counted from 1.
func deliveryOf(d *snapshot.Data) *snapshot.Delivery {
	out := &snapshot.Delivery{}
	for _, t := range d.Tenants {
		t.RoleAssignments = nil
		out.Tenants = append(out.Tenants, t)
	}
	out.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
		line := 0
		for i := range slices.Backward(d.Tenants) {
			for j, a := range d.Tenants[i].RoleAssignments {
				line++
				if err := yield(&snapshot.DeliveredAssignment{RoleAssignment: a, Tenant: i, Place: snapshot.Place{Line: line, Index: j}}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out
}

func deliver(t testing.TB, s *snapshot.Store, d *snapshot.Delivery) authz.Revision {
	t.Helper()
	r, err := s.Deliver(t.Context(), d, snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func noTemporaryFiles(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestADeliveryIsWhatAReplacementIs(t *testing.T) {
	for _, buffer := range []int{64 << 20, 4096, 100} { // in memory, in some runs, in very many
		t.Run(fmt.Sprint(buffer), func(t *testing.T) {
			for name, d := range map[string]*snapshot.Data{"sample": sample(), "many": many(2000), "nothing": {}} {
				replaced, delivered := open(t, options(t.TempDir())), open(t, options(t.TempDir()))
				replace(t, replaced, d)
				delivered.SetSortBuffer(buffer)
				first := deliver(t, delivered, deliveryOf(d))
				if delivered.HeldSum() != replaced.HeldSum() {
					t.Errorf("%s: the files hold different records", name)
				}
				got, err := delivered.Export(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want, err := replaced.Export(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-replaced +delivered):\n%s", name, diff)
				}
				noTemporaryFiles(t, delivered.Dir())
				if again := deliver(t, delivered, deliveryOf(d)); again != first {
					t.Errorf("%s: delivered again, it is revision %v after %v", name, again, first)
				}
				noTemporaryFiles(t, delivered.Dir())
			}
		})
	}
}

// Whatever is delivered, in whatever order, the records are those of a replacement.
func TestAnyDeliveryIsWhatAReplacementIs(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		d := sample()
		first := &d.Tenants[0]
		first.RoleAssignments = nil
		ids := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"a", "b", "aa", "~", "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15", "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d16",
			"7F1D9A3C-5B2E-4D68-9C41-0A8E6F3B2D16", "/tenants/x", strings.Repeat("x", 200),
		}), 0, 9, rapid.ID[string]).Draw(rt, "ids")
		for _, id := range ids {
			a := allow(id, authz.Principal{
				Type: rapid.SampledFrom([]authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team}).Draw(rt, "type"),
				ID:   rapid.SampledFrom([]string{"ada", "eve", "bot", "g1", "g2", "zoe", "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"}).Draw(rt, "principal"),
			}, rapid.SampledFrom([]string{readerRole, contributorRole, "r1"}).Draw(rt, "role"),
				rapid.SampledFrom([]string{"", "/environments/e1", "/environmentGroups/eg1", "/environments/e2/powerapps/7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"}).Draw(rt, "scope"))
			a.Effect = rapid.SampledFrom([]authz.AssignmentEffect{authz.AssignAllow, authz.AssignDeny, authz.AssignForbid}).Draw(rt, "effect")
			a.Expires = rapid.Int64Range(0, 2_000_000_000).Draw(rt, "expires")
			first.RoleAssignments = append(first.RoleAssignments, a)
		}
		o := options(fmt.Sprintf("%s/%d", dir, n))
		s, err := snapshot.Open(t.Context(), o)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				rt.Error(err)
			}
		}()
		s.SetSortBuffer(rapid.SampledFrom([]int{1 << 16, 300}).Draw(rt, "buffer"))
		if _, err := s.Deliver(t.Context(), deliveryOf(d), snapshot.Change{}); err != nil {
			rt.Fatal(err)
		}
		want, err := snapshot.SumOf(d)
		if err != nil {
			rt.Fatal(err)
		}
		if got := s.HeldSum(); got != want {
			rt.Fatalf("the sum is %x, that of the data %x", got, want)
		}
	})
}

// Of the same principal, role and scope, whoever delivers chooses who stays.
func TestADeliveryWithTheSameTwice(t *testing.T) {
	d := sample()
	grants := func(id string, expires int64) snapshot.RoleAssignment {
		a := allow(id, user("zoe"), readerRole, "")
		a.Expires = expires
		return a
	}
	d.Tenants[0].RoleAssignments = append(d.Tenants[0].RoleAssignments, grants("z3", 30), grants("z9", 90), grants("z1", 10), grants("z5", 50))
	var asked []string
	delivery := deliveryOf(d)
	delivery.Same = func(first, second *snapshot.DeliveredAssignment) *snapshot.DeliveredAssignment {
		asked = append(asked, fmt.Sprintf("%s:%d %s:%d", first.ID, first.Place.Line, second.ID, second.Place.Line))
		return slices.MaxFunc([]*snapshot.DeliveredAssignment{first, second}, func(a, b *snapshot.DeliveredAssignment) int { return cmp.Compare(a.Expires, b.Expires) })
	}
	s := open(t, options(t.TempDir()))
	s.SetSortBuffer(200)
	deliver(t, s, delivery)
	if want := []string{"z3:7 z9:8", "z9:8 z1:9", "z9:8 z5:10"}; !slices.Equal(asked, want) {
		t.Errorf("asked about %q, want %q", asked, want)
	}
	if got := held(t, s, caller(t, user("zoe"))); got != "z9" {
		t.Errorf("zoe holds %q", got)
	}
}

// Nothing of a delivery is stored that is refused, whoever refuses it.
func TestADeliveryIsWholeOrNothing(t *testing.T) {
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		change func(d *snapshot.Delivery)
		want   error
		words  string
	}{
		"the source fails": {func(d *snapshot.Delivery) {
			all := d.RoleAssignments
			d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
				return errors.Join(all(yield), refused)
			}
		}, refused, ""},
		"the check fails": {func(d *snapshot.Delivery) { d.Check = func() error { return refused } }, refused, ""},
		"the check fails when all was compared": {func(d *snapshot.Delivery) {
			n := 0
			d.Check = func() error {
				if n++; n > 1 {
					return refused
				}
				return nil
			}
		}, refused, ""},
		"an identifier twice": {func(d *snapshot.Delivery) {
			all := d.RoleAssignments
			d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
				return errors.Join(all(yield), all(yield))
			}
		}, snapshot.ErrInvalid, `role assignment "a3" is listed twice`},
		"a role that does not exist": {func(d *snapshot.Delivery) {
			all := d.RoleAssignments
			d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
				return all(func(a *snapshot.DeliveredAssignment) error {
					a.RoleDefinitionID = "nobody's"
					return yield(a)
				})
			}
		}, snapshot.ErrInvalid, `the role definition "nobody's", which does not exist`},
		"a scope in another tenant": {func(d *snapshot.Delivery) {
			all := d.RoleAssignments
			d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
				return all(func(a *snapshot.DeliveredAssignment) error {
					a.Scope = "/tenants/t22"
					return yield(a)
				})
			}
		}, snapshot.ErrInvalid, `"/tenants/t22", which is not in the tenant`},
		"role assignments beside the list": {func(d *snapshot.Delivery) {
			d.Tenants[0].RoleAssignments = sample().Tenants[0].RoleAssignments
		}, snapshot.ErrInvalid, "besides those that are delivered one by one"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, options(t.TempDir()))
			s.SetSortBuffer(300)
			before := replace(t, s, version(1))
			d := deliveryOf(version(2))
			test.change(d)
			_, err := s.Deliver(t.Context(), d, snapshot.Change{})
			wantErr(t, err, test.want, test.words)
			if got, err := versionOf(t.Context(), s); err != nil || got != 1 || s.Current().Revision() != before {
				t.Errorf("version %d, revision %v, %v", got, s.Current().Revision(), err)
			}
			noTemporaryFiles(t, s.Dir())
			replace(t, s, version(3))
		})
	}
}

func TestADeliveryThatIsCancelled(t *testing.T) {
	s := open(t, options(t.TempDir()))
	before := replace(t, s, version(1))
	ctx, cancel := context.WithCancel(t.Context())
	d := deliveryOf(many(5000))
	d.Progress = func(p snapshot.Progress) { cancel() }
	all := d.RoleAssignments
	d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
		defer cancel()
		return all(yield)
	}
	if _, err := s.Deliver(ctx, d, snapshot.Change{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if s.Current().Revision() != before {
		t.Errorf("revision %v after %v", s.Current().Revision(), before)
	}
	noTemporaryFiles(t, s.Dir())
}

func TestCheckingADeliveryStoresNothing(t *testing.T) {
	dir := t.TempDir()
	if err := snapshot.CheckDelivery(t.Context(), deliveryOf(sample()), dir); err != nil {
		t.Error(err)
	}
	d := deliveryOf(sample())
	all := d.RoleAssignments
	d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
		return errors.Join(all(yield), all(yield))
	}
	wantErr(t, snapshot.CheckDelivery(t.Context(), d, dir), snapshot.ErrInvalid, `"a1" is listed twice`, `"a6" is listed twice`)
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("%q was left behind", left)
	}
}

func TestSorting(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.StringOfN(rapid.SampledFrom([]rune{0, 'a', 'b', 0xFF}), 0, 12, -1)
		var records [][2]string
		for i, k := range rapid.SliceOfN(key, 0, 60).Draw(rt, "keys") {
			records = append(records, [2]string{"common" + k, fmt.Sprint(i)})
		}
		want := slices.Clone(records)
		slices.SortStableFunc(want, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
		for _, buffer := range []int{1 << 20, 64, 1} {
			got, err := snapshot.SortRecords(t.Context(), dir, buffer, records)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := gocmp.Diff(want, slices.Clip(got)); diff != "" && len(want) > 0 {
				rt.Fatalf("with %d bytes (-want +got):\n%s", buffer, diff)
			}
		}
	})
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("%q was left behind", left)
	}
}

// Texts come back from keys as they were, there is one way to write each, and keys sort as
// the texts are said to compare.
func TestPartsOfKeys(t *testing.T) {
	const guid = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"
	piece := rapid.SampledFrom([]string{
		"", "a", "b", "ab", guid, strings.ToUpper(guid), guid[:35], guid + "0", "tenants", "environments", "powerapps", "x\x00", "é",
		strings.Repeat("y", 126), strings.Repeat("y", 127), strings.Repeat("y", 128), strings.Repeat("y", 300),
	})
	text := rapid.OneOf(piece, rapid.Custom(func(t *rapid.T) string {
		return "/tenants/" + strings.Join(rapid.SliceOfN(piece, 1, 5).Draw(t, "segments"), "/")
	}))
	rapid.Check(t, func(rt *rapid.T) {
		a, b := text.Draw(rt, "a"), text.Draw(rt, "b")
		x, y := snapshot.PartOf(a), snapshot.PartOf(b)
		if got, ok := snapshot.ReadPart(x); !ok || got != a {
			rt.Fatalf("%q was read as %q", a, got)
		}
		if n := snapshot.PartLength(x + y); n != len(x) {
			rt.Fatalf("the part of %q has %d bytes, not %d", a, len(x), n)
		}
		if got, want := snapshot.ComparePart(a, b), strings.Compare(x, y); got != want {
			rt.Fatalf("%q and %q compare as %d, their keys as %d", a, b, got, want)
		}
	})
}

func FuzzPartsOfKeys(f *testing.F) {
	for _, text := range []string{"", "a", "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15", "/tenants/t1/environments/e1", strings.Repeat("x", 200)} {
		f.Add(snapshot.PartOf(text))
	}
	f.Add("\xfe\x00\x01\x02")
	f.Add("\xfe\x00\x03\x02\x17tenants")
	f.Fuzz(func(t *testing.T, key string) {
		if text, ok := snapshot.ReadPart(key); ok && snapshot.PartOf(text) != key {
			t.Errorf("%q was read as %q, which is written as %q", key, text, snapshot.PartOf(text))
		}
	})
}

// A start must not read ten million records: of what is large it reads the branches alone.
func TestAStartReadsFewPages(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, many(30_000))
	whole, skimmed, err := snapshot.PagesRead(s.Dir() + "/" + s.FileName())
	if err != nil {
		t.Fatal(err)
	}
	if skimmed > whole/20 || skimmed < 10 {
		t.Errorf("%d of %d pages are read", skimmed, whole)
	}
}

// Until the file was walked, views are read with the same care, and are the same.
func TestViewsOfAFileThatWasNotWalked(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, many(5000))
	closed(t, s)
	o.CacheBytes = -1
	verified := open(t, options(copyDir(t, o.Dir)))
	early, err := snapshot.OpenLimits(t.Context(), o, 0, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, early) })
	early.Verified()
	early.ForgetWalk()
	for i := range 500 {
		of := caller(t, user(fmt.Sprintf("user-%06d", i)))
		if got, want := held(t, early, of), held(t, verified, of); got != want || !strings.Contains(want, "all") {
			t.Fatalf("user %d holds %q, want %q", i, got, want)
		}
	}
	if got := held(t, early, caller(t, user("user-999999"))); got != "" {
		t.Errorf("nobody holds %q", got)
	}
}
