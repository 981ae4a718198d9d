package snapshot_test

import (
	"fmt"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// The model: one writer and two readers take single steps in every possible order, and
// the cache keeps, drops, delays or brings back whatever it was given. The readers decide
// with the store's own function.
//
// Two principals share the world: each has a value in the file, which is the revision
// that last changed it. Readers ask for a subject that depends on both (slots 0 and 1),
// so a mixture shows. The tenant's roles are a third value.

// A world is everything shared. It is copied at every branch.
type world struct {
	file      [3]uint64 // in the file: what principals 0 and 1 hold, and the roles
	fileRev   uint64    // the file's revision
	published point
	slots     [2][2]uint64 // by generation, so that a new one has slots of its own

	pending [2]entry // given to the cache and not taken in yet
	cached  entry

	writerStep int
	readers    [2]reader
}

// A point is what is published: its revision, generation and the tenant's number.
type point struct{ generation, tenant, revision, roles uint64 }

// An entry is a view: what it was read from, and what was read.
type entry struct {
	there  bool
	stamp  snapshot.Stamp
	proven uint64
	values [3]uint64
}

type reader struct {
	step    int
	floor   uint64 // the revision published when it began
	p       point
	found   entry
	read    entry
	decided bool
}

// A plan is what the writer does, one step at a time.
type plan struct {
	name  string
	steps []func(w *world)
	// good tells that the plan is the store's, which must never go wrong.
	good bool
}

func commit(rev uint64, changes ...int) func(*world) {
	return func(w *world) {
		for _, i := range changes {
			w.file[i] = rev
		}
		w.fileRev = rev
	}
}

func raise(rev uint64, slot int) func(*world) {
	return func(w *world) { w.slots[w.published.generation][slot] = rev }
}

func publish(rev uint64) func(*world) {
	return func(w *world) { w.published.revision = rev }
}

func publishRoles(rev uint64) func(*world) {
	return func(w *world) { w.published.revision, w.published.tenant, w.published.roles = rev, rev, rev }
}

func publishGeneration(rev uint64) func(*world) {
	return func(w *world) { w.published.revision, w.published.generation = rev, w.published.generation+1 }
}

func plans() []plan {
	return []plan{
		{"one change of each principal", []func(*world){commit(1, 0), raise(1, 0), publish(1), commit(2, 1), raise(2, 1), publish(2)}, true},
		{"one change of both", []func(*world){commit(1, 0, 1), raise(1, 0), raise(1, 1), publish(1), commit(2, 0), raise(2, 0), publish(2)}, true},
		{"roles and a principal", []func(*world){commit(1, 2), publishRoles(1), commit(2, 0, 2), raise(2, 0), publishRoles(2)}, true},
		{"a change that did not end as it should", []func(*world){commit(1, 0), publishGeneration(1)}, true},
		{"a change between two that did not", []func(*world){commit(1, 1), raise(1, 1), publish(1), commit(2, 0), publishGeneration(2)}, true},

		{"published before the slot is raised", []func(*world){commit(1, 0), publish(1), raise(1, 0)}, false},
		{"a slot forgotten", []func(*world){commit(1, 0, 1), raise(1, 0), publish(1), commit(2, 1), publish(2)}, false},
		{"roles without the tenant's number", []func(*world){commit(1, 2), func(w *world) { w.published.revision, w.published.roles = 1, 1 }}, false},
		{"a failure without a new generation", []func(*world){commit(1, 0), publish(1)}, false},
	}
}

// An explorer visits every world once.
type explorer struct {
	plan plan
	seen map[world]bool
	hits int
	bad  string
}

func (x *explorer) explore(w world) {
	if x.bad != "" || x.seen[w] {
		return
	}
	x.seen[w] = true
	if w.writerStep < len(x.plan.steps) {
		next := w
		x.plan.steps[w.writerStep](&next)
		next.writerStep++
		x.explore(next)
	}
	for i := range w.readers {
		if !w.readers[i].decided {
			next := w
			if x.step(&next, i) {
				x.explore(next)
			}
		}
		// The cache takes in what it was given, or drops it; or what it was given is given
		// once more, late.
		if w.pending[i].there {
			taken, dropped := w, w
			taken.cached, taken.pending[i] = w.pending[i], entry{}
			dropped.pending[i] = entry{}
			again := w
			again.cached = w.pending[i]
			x.explore(taken)
			x.explore(dropped)
			x.explore(again)
		}
	}
	if w.cached.there { // it may evict at any time
		next := w
		next.cached = entry{}
		x.explore(next)
	}
}

// step lets a reader take its next step; false where it must wait.
func (x *explorer) step(w *world, i int) bool {
	r := &w.readers[i]
	switch r.step {
	case 0: // load what is published
		r.p = w.published
		if r.floor == 0 {
			r.floor = w.published.revision + 1 // plus one: zero means not begun
		}
		r.step++
	case 1: // look into the cache
		r.found = w.cached
		r.step++
	case 2: // compare, the slots as they are now
		published := snapshot.Stamp{Generation: r.p.generation, Tenant: r.p.tenant, Revision: r.p.revision}
		slots := w.slots[r.p.generation]
		if r.found.there && r.found.stamp.Usable(published, r.found.proven, []uint16{0, 1}, func(s uint16) uint64 { return slots[s] }) {
			x.hits++
			if w.cached.there && w.cached.stamp == r.found.stamp && w.cached.values == r.found.values {
				w.cached.proven = max(w.cached.proven, r.p.revision)
			}
			x.decide(w, i, r.found)
			return true
		}
		r.found = entry{}
		r.step++
	case 3: // read the file in one transaction
		if w.fileRev != r.p.revision {
			// A newer revision: wait until something else is published, then begin anew.
			if w.published == r.p {
				return false
			}
			r.step = 0
			return true
		}
		r.read = entry{
			there:  true,
			stamp:  snapshot.Stamp{Generation: r.p.generation, Tenant: r.p.tenant, Revision: w.fileRev},
			proven: w.fileRev,
			values: [3]uint64{w.file[0], w.file[1], r.p.roles},
		}
		r.step++
	case 4: // give it to the cache, and decide
		w.pending[i] = r.read
		x.decide(w, i, r.read)
	}
	return true
}

// decide checks a decision: it must be of exactly the revision that the reader holds,
// and of none older than was published when it began.
func (x *explorer) decide(w *world, i int, e entry) {
	r := &w.readers[i]
	want := x.truth(r.p.revision)
	switch {
	case e.values != want:
		x.bad = fmt.Sprintf("a decision at revision %d from %v, which was %v", r.p.revision, e.values, want)
	case r.p.revision+1 < r.floor:
		x.bad = fmt.Sprintf("a decision at revision %d after %d was published", r.p.revision, r.floor-1)
	}
	*r = reader{step: 9, decided: true}
}

// truth is what holds at a revision, from the plan's commits alone.
func (x *explorer) truth(rev uint64) [3]uint64 {
	var w world
	for _, step := range x.plan.steps {
		before := w.fileRev
		next := w
		next.published = point{}
		step(&next)
		if next.fileRev != before && next.fileRev > rev {
			break
		}
		if next.fileRev != before {
			w = next
		}
	}
	return w.file
}

// The plans that are not the store's show that the explorer sees what there is to see.
func TestNoInterleavingMixesOrGoesBack(t *testing.T) {
	for _, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			x := &explorer{plan: p, seen: map[world]bool{}}
			// Begin with a view in the cache, of the beginning.
			first := entry{there: true}
			x.explore(world{cached: first})
			t.Logf("%d worlds, %d decisions from the cache", len(x.seen), x.hits)
			switch {
			case p.good && x.bad != "":
				t.Error(x.bad)
			case !p.good && x.bad == "":
				t.Error("the explorer does not see what is wrong with this writer")
			}
			if p.good && x.hits == 0 {
				t.Error("no decision was taken from the cache")
			}
		})
	}
}
