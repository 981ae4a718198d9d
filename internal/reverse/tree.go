package reverse

import (
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A tree goes through whom the holder of an assignment stands for: the members of a group or
// a team, and of the groups among them, each once.
//
// Somebody may be a member by several ways. Which one counts is said by the member alone: of
// the shortest ways up to the holder, the one whose first step comes first. So nothing has to
// be remembered of whom the pages before have listed, and groups that go in a circle, should
// there be any, are gone through once.
type tree struct {
	*whoCan
	holder *snapshot.RoleAssignment
	stack  []node // from the holder down
}

// A node is a group or a team whose members are gone through.
type node struct {
	principal authz.Principal
	members   []authz.Principal
	next      int
}

// all goes through the tree, from where the page before ended.
func (t *tree) all() (done bool, err error) {
	resumed := false
	if t.at.Inside {
		if resumed, err = t.resume(); err != nil {
			return false, err
		}
	}
	if !resumed {
		t.at.Inside, t.at.Node, t.at.Member = true, packed(t.holder.Principal), principal{}
		t.stack = nil
		if err := t.enter(t.holder.Principal); err != nil {
			return false, err
		}
		t.begun()
		if t.full() {
			return true, t.end()
		}
	}
	for len(t.stack) > 0 {
		top := &t.stack[len(t.stack)-1]
		if top.next == len(top.members) {
			t.stack = t.stack[:len(t.stack)-1]
			continue
		}
		member := top.members[top.next]
		top.next++
		t.at.Node, t.at.Member = packed(top.principal), packed(member)
		if err := t.member(top, member); err != nil {
			return false, err
		}
		if t.full() {
			return true, t.end()
		}
	}
	t.at.Inside, t.at.Node, t.at.Member = false, principal{}, principal{}
	return false, nil
}

// path are the groups and teams from the holder to the one that is gone through.
func (t *tree) path() []authz.Principal {
	path := make([]authz.Principal, len(t.stack))
	for i := range t.stack {
		path[i] = t.stack[i].principal
	}
	return path
}

// member goes to one member of the topmost node.
func (t *tree) member(top *node, p authz.Principal) error {
	if p.Type == authz.ApplicationUser {
		if _, both := slices.BinarySearchFunc(top.members, p.Key(), snapshot.ComparePrincipals); both {
			return nil // a person and a service principal with one object id are one
		}
	}
	from, found, err := t.above(p)
	if err != nil || !found || from != top.principal {
		return err
	}
	if p.Key().Type == authz.User {
		return t.somebody(t.holder, p, t.path())
	}
	t.at.Node, t.at.Member = packed(p), principal{}
	return t.enter(p)
}

// enter begins with a group, a team or a directory role: with itself, and then its members.
func (t *tree) enter(p authz.Principal) error {
	members, m, err := t.membersOf(p)
	if err != nil {
		return err
	}
	if m != Known {
		if err := t.anybody(t.holder, p, m, t.path()); err != nil {
			return err
		}
	}
	t.stack = append(t.stack, node{principal: p, members: members})
	return nil
}

// membersOf returns who belongs to a principal directly, in order, and what is known of it.
func (t *tree) membersOf(p authz.Principal) ([]authz.Principal, Membership, error) {
	t.work(readWork)
	switch p.Type {
	case authz.Group:
		g, listed, err := t.r.Group(t.tenant, p.ID)
		t.work(len(g.Members) / membersPerWork)
		switch {
		case err != nil || !listed:
			return nil, Unknown, err
		case !t.complete:
			return g.Members, Partial, nil
		}
		return g.Members, Known, nil
	case authz.Team:
		members, err := t.teamMembers(p.ID)
		return members, Known, err // whoever is in a team, the snapshot says so
	default:
		return nil, Unknown, nil
	}
}

// resume goes to where the page before ended. It is not there where the data changed such
// that there is no way there any more: then it is gone through anew.
func (t *tree) resume() (bool, error) {
	at := t.at.Node.unpack()
	path := []authz.Principal{at}
	for at != t.holder.Principal {
		from, found, err := t.above(at)
		if err != nil || !found {
			return false, err
		}
		at = from
		path = append(path, at)
	}
	slices.Reverse(path)
	t.stack = nil
	for i, p := range path {
		members, _, err := t.membersOf(p)
		if err != nil {
			return false, err
		}
		n := node{principal: p, members: members}
		last := t.at.Member.unpack()
		if i+1 < len(path) {
			last = path[i+1]
		}
		if last != (authz.Principal{}) {
			at, there := slices.BinarySearchFunc(members, last, snapshot.ComparePrincipals)
			if n.next = at; there {
				n.next++
			}
		}
		t.stack = append(t.stack, n)
	}
	t.begun()
	return true, nil
}

// above returns the first step of the way that counts from a member up to the holder.
func (t *tree) above(p authz.Principal) (authz.Principal, bool, error) {
	to := t.holder.Principal
	parents, err := t.parents(p)
	if err != nil {
		return authz.Principal{}, false, err
	}
	if slices.Contains(parents, to) {
		return to, true, nil
	}
	// Level by level; first is by which of the parents something is come upon, of several
	// on one level by the one that comes first.
	first := map[authz.Principal]authz.Principal{p.Key(): {}}
	level := parents
	for _, parent := range parents {
		first[parent] = parent
	}
	for len(level) > 0 {
		var next []authz.Principal
		found := map[authz.Principal]authz.Principal{}
		for _, from := range level {
			above, err := t.parents(from)
			if err != nil {
				return authz.Principal{}, false, err
			}
			for _, up := range above {
				if _, before := first[up]; before {
					continue
				}
				other, again := found[up]
				if !again {
					next = append(next, up)
				}
				if !again || snapshot.ComparePrincipals(first[from], other) < 0 {
					found[up] = first[from]
				}
			}
		}
		if step, ok := found[to]; ok {
			return step, true, nil
		}
		for up, step := range found {
			first[up] = step
		}
		level = next
	}
	return authz.Principal{}, false, nil
}

// parents returns what a principal is directly a member of.
func (t *tree) parents(p authz.Principal) ([]authz.Principal, error) {
	t.work(readWork)
	return t.r.GroupsOf(t.tenant, p)
}
