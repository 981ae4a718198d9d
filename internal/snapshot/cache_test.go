package snapshot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestAWarmViewAllocatesNothing(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	who, ctx := caller(t, user("ada"), "g1"), t.Context()
	held(t, s, who)
	s.WaitCache()
	n := testing.AllocsPerRun(5000, func() {
		if _, err := s.View(ctx, who); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if st := s.Stats(); st.Hits < 5000 {
		t.Errorf("only %d hits", st.Hits)
	}
}

func TestTheCacheKeepsToItsCeiling(t *testing.T) {
	o := options(t.TempDir())
	o.CacheBytes = 8 << 10
	s := open(t, o)
	replace(t, s, bulky())
	for range 3 {
		for i := range 120 {
			id := fmt.Sprintf("f%03d", i)
			if got := held(t, s, caller(t, user(id))); got != id {
				t.Fatalf("%s holds %q", id, got)
			}
		}
		s.WaitCache()
		if st := s.Stats(); st.CacheBytes > o.CacheBytes || st.CacheBytes == 0 {
			t.Fatalf("%d bytes of %d", st.CacheBytes, o.CacheBytes)
		}
	}
}

// What is found in front of the cache is in it: else the ceiling would not be one.
func TestWhatTheCacheLetsGoIsNotHeldInFront(t *testing.T) {
	o := options(t.TempDir())
	o.CacheBytes = 16 << 10
	s := open(t, o)
	replace(t, s, bulky())
	most := 0
	for i := range 120 {
		who := caller(t, user(fmt.Sprintf("f%03d", i)))
		for range 30 {
			held(t, s, who)
			s.WaitCache()
		}
		views, gone := s.InFront()
		if gone != 0 {
			t.Fatalf("%d of %d views in front were let go of", gone, views)
		}
		most = max(most, views)
	}
	if fit := int(o.CacheBytes / snapshot.ViewCost); most == 0 || most > fit {
		t.Errorf("%d views in front, want some, and at most the %d that fit", most, fit)
	}
}

// Of the hits in front of it ristretto learns of one in so many, whoever they are for: also where
// so many subjects take turns.
func TestHitsInFrontAreDrawnAlike(t *testing.T) {
	for _, subjects := range []int{1, 2, 3, 7, 8, 64, 100, 144, 1000, 1024, 10946, 16384} {
		const each, about = 4000, 4000 / snapshot.CountEvery
		drawn := make([]int, subjects)
		for hit := range subjects * each {
			if snapshot.Counted(uint64(hit)) {
				drawn[hit%subjects]++
			}
		}
		for subject, n := range drawn {
			if n < about/2 || n > about*2 {
				t.Errorf("of %d hits of subject %d of %d, %d were drawn, want about %d", each, subject, subjects, n, about)
			}
		}
	}
}

func TestWithoutACache(t *testing.T) {
	o := options(t.TempDir())
	o.CacheBytes = -1
	s := open(t, o)
	replace(t, s, sample())
	for range 3 {
		if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
			t.Errorf("holds %q, want %q", got, want)
		}
	}
	if st := s.Stats(); st.Hits != 0 || st.Misses != 3 || st.CacheOn {
		t.Errorf("%+v", st)
	}
}

// A cached view that differs from the file at its own revision must be found out, and
// the decision taken from the file.
func TestAPoisonedCacheIsFoundOut(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	who := caller(t, user("zoe"))
	role := s.Current().Tenant("t1").Role(contributorRole)
	err := s.PoisonCache(t.Context(), who, authz.NewGrants([]authz.Grant{{AssignmentID: "bad", Role: role, Scope: "/tenants/t1", Effect: authz.AssignAllow}}))
	if err != nil {
		t.Fatal(err)
	}
	s.SetShadowEvery(1)
	if got := held(t, s, who); got != "" {
		t.Errorf("holds %q", got)
	}
	if st := s.Stats(); st.Alarms != 1 || st.CacheOn {
		t.Errorf("alarms %d, cache on %t", st.Alarms, st.CacheOn)
	}
	if got := held(t, s, who); got != "" {
		t.Errorf("holds %q", got)
	}
}

// While a large file is being verified nothing that is absent may count as absent.
func TestNothingIsAbsentBeforeAllIsVerified(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	d := sample()
	for i := range 60_000 {
		id := fmt.Sprintf("f%05d", i)
		d.Tenants[0].RoleAssignments = append(d.Tenants[0].RoleAssignments, allow(id, user(id), readerRole, ""))
	}
	replace(t, s, d)
	closed(t, s)
	s, err := snapshot.OpenLimits(t.Context(), o, 1000, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	if got := held(t, s, caller(t, user("f00007"))); got != "f00007" { // there, and its checksum fits
		t.Errorf("holds %q", got)
	}
	_, early := s.View(t.Context(), caller(t, user("nobody")))
	verified := s.Stats().Verified
	if early == nil && !verified {
		t.Error("an absence was believed before all was verified")
	}
	if early != nil {
		wantErr(t, early, snapshot.ErrNotReady, "still being verified")
	}
	if r := replace(t, s, d); r.Number != 1 { // waits for the verification
		t.Errorf("revision %v", r)
	}
	until(t, "the verification", func() bool { return s.Stats().Verified })
	if got := held(t, s, caller(t, user("nobody"))); got != "" {
		t.Errorf("nobody holds %q", got)
	}
}

func TestCloseStopsTheVerification(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	d := sample()
	for i := range 20_000 {
		id := fmt.Sprintf("f%05d", i)
		d.Tenants[0].RoleAssignments = append(d.Tenants[0].RoleAssignments, allow(id, user(id), readerRole, ""))
	}
	replace(t, s, d)
	closed(t, s)
	for range 3 {
		s, err := snapshot.OpenLimits(t.Context(), o, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		if got := s.Stats().Quarantined; got != 0 {
			t.Errorf("%d files were set aside", got)
		}
	}
}

func FuzzCacheKey(f *testing.F) {
	f.Add("t1", "u1", "g1,g2", "d1", false, "t1", "u1", "g1", "g2,d1", false)
	f.Add("t", "1u1", "", "", false, "t1", "u1", "", "", false)
	f.Add("t1", "u1", "", "", true, "t1", "u1", "", "", false)
	f.Add("t1", "u1", "g", "", false, "t1", "u1", "", "g", false)
	f.Fuzz(func(t *testing.T, t1, u1, g1, d1 string, x1 bool, t2, u2, g2, d2 string, x2 bool) {
		spec := func(tenant, id, groups, roles string, unknown bool) authz.SubjectSpec {
			return authz.SubjectSpec{Tenant: tenant, Principal: user(id), Groups: strings.Split(groups, ","), DirectoryRoles: strings.Split(roles, ","), GroupsUnknown: unknown}
		}
		a, err := authz.NewSubject(spec(t1, u1, g1, d1, x1))
		if err != nil {
			return
		}
		b, err := authz.NewSubject(spec(t2, u2, g2, d2, x2))
		if err != nil {
			return
		}
		same := a.Tenant() == b.Tenant() && a.Principal() == b.Principal() && cmp.Equal(a.Groups(), b.Groups()) &&
			cmp.Equal(a.DirectoryRoles(), b.DirectoryRoles()) && a.GroupsUnknown() == b.GroupsUnknown()
		if same != (a.Key() == b.Key()) {
			t.Errorf("subjects the same: %t; keys %q and %q", same, a.Key(), b.Key())
		}
		samePrincipal := a.Tenant() == b.Tenant() && a.Principal() == b.Principal()
		if len(t1) < 1<<16 && len(u1) < 1<<16 && len(t2) < 1<<16 && len(u2) < 1<<16 {
			if same := snapshot.GrantsKey(a.Tenant(), a.Principal()) == snapshot.GrantsKey(b.Tenant(), b.Principal()); same != samePrincipal {
				t.Errorf("principals the same: %t; keys the same: %t", samePrincipal, same)
			}
		}
	})
}

// What can be read is written again byte for byte: there are no two forms of one record.
func FuzzRecordCodec(f *testing.F) {
	payloads, err := snapshot.PayloadsOf(withItems())
	if err != nil {
		f.Fatal(err)
	}
	for sec := range snapshot.Sections {
		for _, p := range payloads[sec] {
			f.Add(sec, p)
		}
		f.Add(sec, "")
		f.Add(sec, "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
		f.Add(sec, "\x02")
	}
	f.Fuzz(func(t *testing.T, sec int, payload string) {
		if sec < 0 || sec >= snapshot.Sections {
			return
		}
		if again, ok := snapshot.Recode(sec, payload); ok && again != payload {
			t.Errorf("section %d: %q was read and written as %q", sec, payload, again)
		}
	})
}
