package authz

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// PermissionID is a permission's number in a [Vocabulary]. Numbers mean nothing
// outside the vocabulary that gave them and are never stored.
type PermissionID uint32

// Implications says which actions, or which permissions by their full names, follow
// from another: Implications{"Write": {"Create", "Update"}}.
type Implications map[string][]string

// DefaultImplications are the ones that always hold: Write gives Create and Update,
// ReadWrite gives Read and Write. Nothing gives Delete.
func DefaultImplications() Implications {
	return Implications{"Write": {"Create", "Update"}, "ReadWrite": {"Read", "Write"}}
}

// A Vocabulary is the closed set of the permissions that exist, numbered, with the
// implications between them. It is immutable and safe for concurrent use.
type Vocabulary struct {
	names  []Permission            // by number, sorted by folded name
	folded []string                // by number
	ids    map[string]PermissionID // by folded name
	down   []Set                   // by number: itself and all it implies
	up     []Set                   // by number: itself and all that implies it
	edges  map[string][]string     // by folded name, known or not: what it implies in one step
}

// NewVocabulary numbers the names and closes the implications transitively.
// [DefaultImplications] hold besides those given. It reports every problem at once: a
// name that is malformed or reserved, two spellings of one name, an implication that
// names no permission, implications in a circle.
func NewVocabulary(names []Permission, implications Implications) (*Vocabulary, error) {
	var errs []error
	byFold := make(map[string]Permission, len(names))
	for _, name := range names {
		folded := lowerASCII(string(name))
		if _, err := ParsePermission(string(name)); err != nil {
			errs = append(errs, err)
			continue
		}
		if reserved(folded) {
			errs = append(errs, fmt.Errorf("permission %q is reserved: no catalogue may declare it", name))
			continue
		}
		if other, ok := byFold[folded]; ok && other != name {
			errs = append(errs, fmt.Errorf("permission %q is declared as %q too: names are compared without case", name, other))
			continue
		}
		byFold[folded] = name
	}
	v := &Vocabulary{ids: make(map[string]PermissionID, len(byFold))}
	for folded := range byFold {
		v.folded = append(v.folded, folded)
	}
	slices.Sort(v.folded)
	for i, folded := range v.folded {
		v.names = append(v.names, byFold[folded])
		v.ids[folded] = PermissionID(i)
	}
	errs = append(errs, v.close(implications)...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return v, nil
}

// close fills down and up. Implications between actions reach through actions that a
// type does not have: ReadWrite gives Create even where no Write is declared.
func (v *Vocabulary) close(extra Implications) []error {
	actions, exact, errs := v.sortImplications(extra)
	if len(errs) > 0 {
		return errs
	}
	// One graph over names known and unknown, so that closing it goes through the unknown ones.
	edges := map[string][]string{}
	types := map[string]bool{}
	for _, folded := range v.folded {
		base := folded[:strings.LastIndexByte(folded, '.')+1]
		if types[base] {
			continue
		}
		types[base] = true
		for from, tos := range actions {
			for _, to := range tos {
				edges[base+from] = append(edges[base+from], base+to)
			}
		}
	}
	for from, tos := range exact {
		edges[from] = append(edges[from], tos...)
	}
	if circle := findCircle(edges); circle != nil {
		return []error{fmt.Errorf("implications go in a circle: %s", strings.Join(circle, " gives "))}
	}
	v.edges = edges
	v.down, v.up = make([]Set, len(v.names)), make([]Set, len(v.names))
	for id := range v.names {
		v.down[id], v.up[id] = v.NewSet(), v.NewSet()
	}
	for id, folded := range v.folded {
		for name := range v.reach(folded) {
			if to, ok := v.ids[name]; ok {
				v.down[id].add(to)
				v.up[to].add(PermissionID(id))
			}
		}
	}
	return nil
}

// reach returns the name and all that it implies, known or not.
func (v *Vocabulary) reach(folded string) map[string]bool {
	seen := map[string]bool{folded: true}
	for queue := []string{folded}; len(queue) > 0; queue = queue[1:] {
		for _, next := range v.edges[queue[0]] {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return seen
}

// touching returns what an exception of a name that is not known takes away: the
// permissions that it would imply, and whatever implies it or any of them.
func (v *Vocabulary) touching(folded string) Set {
	taken, touched := v.NewSet(), v.reach(folded)
	for id, name := range v.folded {
		for implied := range v.reach(name) {
			if touched[implied] {
				taken.add(PermissionID(id))
			}
		}
	}
	return taken
}

// sortImplications folds the implications and parts those between actions from those
// between full names.
func (v *Vocabulary) sortImplications(extra Implications) (actions, exact map[string][]string, errs []error) {
	known := map[string]bool{"read": true, "create": true, "update": true, "delete": true, "write": true, "readwrite": true}
	for _, folded := range v.folded {
		known[folded[strings.LastIndexByte(folded, '.')+1:]] = true
	}
	actions, exact = map[string][]string{}, map[string][]string{}
	for _, set := range []Implications{DefaultImplications(), extra} {
		for from, tos := range set {
			for _, to := range tos {
				f, t := lowerASCII(from), lowerASCII(to)
				isName := strings.Contains(f, ".")
				if isName != strings.Contains(t, ".") {
					errs = append(errs, fmt.Errorf("implication %s: [%s] mixes an action with a full permission", from, to))
					continue
				}
				for _, word := range []string{f, t} {
					_, isPermission := v.ids[word]
					if isName && !isPermission || !isName && !known[word] {
						errs = append(errs, fmt.Errorf("implication %s: [%s] names %q, which no permission has", from, to, word))
					}
				}
				into := actions
				if isName {
					into = exact
				}
				if !slices.Contains(into[f], t) {
					into[f] = append(into[f], t)
				}
			}
		}
	}
	return actions, exact, errs
}

// findCircle returns the names of one circle, its first name again at its end, or nil.
func findCircle(edges map[string][]string) []string {
	const onPath, done = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(string) []string
	visit = func(name string) []string {
		switch state[name] {
		case done:
			return nil
		case onPath:
			return append(slices.Clone(path[slices.Index(path, name):]), name)
		}
		state[name] = onPath
		path = append(path, name)
		for _, to := range edges[name] {
			if circle := visit(to); circle != nil {
				return circle
			}
		}
		path = path[:len(path)-1]
		state[name] = done
		return nil
	}
	starts := make([]string, 0, len(edges))
	for name := range edges {
		starts = append(starts, name)
	}
	slices.Sort(starts) // one circle, always the same one
	for _, name := range starts {
		if circle := visit(name); circle != nil {
			return circle
		}
	}
	return nil
}

// Len is the number of permissions; their numbers are 0 to Len()-1.
func (v *Vocabulary) Len() int { return len(v.names) }

// Name returns the permission's name as it was declared. The number must be one that
// this vocabulary gave.
func (v *Vocabulary) Name(id PermissionID) Permission { return v.names[id] }

// Names returns all names, sorted without regard to case. The caller may keep it.
func (v *Vocabulary) Names() []Permission { return slices.Clone(v.names) }

// ID finds a permission by its name, without regard to ASCII case.
func (v *Vocabulary) ID(name string) (PermissionID, bool) {
	id, ok := v.ids[lowerASCII(name)]
	return id, ok
}

// Set is a set of permissions of one [Vocabulary]. The zero Set is empty.
type Set []uint64

// NewSet returns an empty set with room for all permissions of v.
func (v *Vocabulary) NewSet() Set { return make(Set, (len(v.names)+63)/64) }

// Has tells whether the set holds the permission.
func (s Set) Has(id PermissionID) bool {
	word := int(id >> 6)
	return word < len(s) && s[word]&(1<<(id&63)) != 0
}

// Len is the number of permissions in the set.
func (s Set) Len() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

func (s Set) add(id PermissionID) { s[id>>6] |= 1 << (id & 63) }

// with returns a set of what either holds; s is used for it where it is not empty.
func (s Set) with(t Set) Set {
	if len(s) < len(t) {
		s = append(s, make(Set, len(t)-len(s))...)
	}
	s.union(t)
	return s
}

func (s Set) union(t Set) {
	for i, word := range t {
		s[i] |= word
	}
}

func (s Set) subtract(t Set) {
	for i, word := range t {
		s[i] &^= word
	}
}

// Select returns the set of the permissions that the predicate holds for.
func (v *Vocabulary) Select(is func(Permission) bool) Set {
	s := v.NewSet()
	for id, name := range v.names {
		if is(name) {
			s.add(PermissionID(id))
		}
	}
	return s
}
