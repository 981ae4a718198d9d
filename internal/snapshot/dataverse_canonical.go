package snapshot

import (
	"cmp"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// canonicalItems are what a tenant's environments with a database hold, in the order of the
// file.
type canonicalItems struct {
	tables   []Table
	users    []EnvironmentUser
	teams    []Team
	profiles []ColumnProfile
	shares   []Share
	apps     []App
	flows    []Flow

	placedTeams  []placedTeam // by environment
	profiled     []profiled   // by environment and to whom
	sharedTables []sharedTable
}

// A profiled says that somebody was given a column profile.
type profiled struct {
	to      authz.Principal // as grants are found
	profile *ColumnProfile
}

// A sharedTable is a table, by its key, of which records are shared with everyone.
type sharedTable struct {
	environment, table string
	n                  uint64
}

// compareItems orders what has an identifier of its own in an environment.
func compareItems(environment, id, otherEnvironment, otherID string) int {
	return cmp.Or(compareParts(environment, otherEnvironment), compareParts(id, otherID))
}

// canonicalTable is a table with its secured columns in order.
func canonicalTable(t Table) Table {
	t.SecuredColumns = slices.Clip(slices.Sorted(slices.Values(t.SecuredColumns)))
	return t
}

// canonicalTeam is a team with its members in order, each once.
func canonicalTeam(t Team) Team {
	t.Members = inOrder(t.Members)
	return t
}

// canonicalProfile is a column profile with its lists in order.
func canonicalProfile(p ColumnProfile) ColumnProfile {
	p.Columns = slices.SortedFunc(slices.Values(p.Columns), func(a, b ColumnRight) int {
		return cmp.Or(cmp.Compare(authz.TableKey(a.Table), authz.TableKey(b.Table)), cmp.Compare(authz.TableKey(a.Column), authz.TableKey(b.Column)))
	})
	p.Principals = inOrder(p.Principals)
	return p
}

// canonicalShare is a share in its one form: with everyone it is with nobody else.
func canonicalShare(s Share) Share {
	if s.WithOrganization {
		s.With = authz.Principal{}
	}
	return s
}

func canonicalUses(uses []TableUse) []TableUse {
	return slices.SortedFunc(slices.Values(uses), func(a, b TableUse) int { return cmp.Compare(authz.TableKey(a.Table), authz.TableKey(b.Table)) })
}

// canonicalApp is an app with its lists in order.
func canonicalApp(a App) App {
	a.SharedWith, a.Tables = inOrder(a.SharedWith), canonicalUses(a.Tables)
	return a
}

// canonicalFlow is a flow with its lists in order.
func canonicalFlow(f Flow) Flow {
	f.RunOnly = inOrder(f.RunOnly)
	f.Connections = slices.SortedFunc(slices.Values(f.Connections), func(a, b Connection) int { return cmp.Compare(a.Name, b.Name) })
	for i := range f.Connections {
		f.Connections[i].Tables = canonicalUses(f.Connections[i].Tables)
	}
	return f
}

// canonicalOf makes items canonical and puts them in order, checks each by itself, and finds
// what is listed twice.
func canonicalOf[T any](p *problems, tenant, what string, items []T, canonical func(T) T, compare func(a, b *T) int, check func(*T), name func(*T) string) []T {
	all := make([]T, 0, len(items))
	for _, item := range items {
		all = append(all, canonical(item))
		check(&all[len(all)-1])
	}
	slices.SortFunc(all, func(a, b T) int { return compare(&a, &b) })
	twice(p, tenant, what, all, func(a, b T) int { return compare(&a, &b) }, func(item T) string { return name(&item) })
	return all
}

func (c *canonicalTenant) addItems(t *Tenant, p *problems) {
	c.tables = canonicalOf(p, t.ID, "table", t.Tables, canonicalTable, func(a, b *Table) int {
		return compareItems(a.Environment, authz.TableKey(a.Name), b.Environment, authz.TableKey(b.Name))
	}, func(x *Table) { p.table(t.ID, x) }, func(x *Table) string { return x.Name })
	c.users = canonicalOf(p, t.ID, "environment user", t.Users, func(u EnvironmentUser) EnvironmentUser { return u }, func(a, b *EnvironmentUser) int {
		return cmp.Or(compareParts(a.Environment, b.Environment), comparePrincipals(a.Key(), b.Key()))
	}, func(x *EnvironmentUser) { p.environmentUser(t.ID, x) }, func(x *EnvironmentUser) string { return x.ID + " of " + x.Environment })
	c.teams = canonicalOf(p, t.ID, "team", t.Teams, canonicalTeam, func(a, b *Team) int { return compareParts(a.ID, b.ID) },
		func(x *Team) { p.team(t.ID, x) }, func(x *Team) string { return x.ID })
	c.profiles = canonicalOf(p, t.ID, "column profile", t.ColumnProfiles, canonicalProfile, func(a, b *ColumnProfile) int {
		return compareItems(a.Environment, a.ID, b.Environment, b.ID)
	}, func(x *ColumnProfile) { p.profile(t.ID, x) }, func(x *ColumnProfile) string { return x.ID })
	c.shares = canonicalOf(p, t.ID, "share of record", t.Shares, canonicalShare, compareShares,
		func(x *Share) { p.share(t.ID, x) }, func(x *Share) string { return x.Record })
	c.apps = canonicalOf(p, t.ID, "app", t.Apps, canonicalApp, func(a, b *App) int {
		return compareItems(a.Environment, a.ID, b.Environment, b.ID)
	}, func(x *App) { p.app(t.ID, x) }, func(x *App) string { return x.ID })
	c.flows = canonicalOf(p, t.ID, "flow", t.Flows, canonicalFlow, func(a, b *Flow) int {
		return compareItems(a.Environment, a.ID, b.Environment, b.ID)
	}, func(x *Flow) { p.flow(t.ID, x) }, func(x *Flow) string { return x.ID })

	for i := range c.teams {
		team := &c.teams[i]
		c.placedTeams = append(c.placedTeams, team.placed())
		for _, member := range team.joined() {
			c.memberships = append(c.memberships, membership{member.Key(), authz.Principal{Type: authz.Team, ID: team.ID}})
		}
	}
	slices.SortFunc(c.placedTeams, func(a, b placedTeam) int { return compareItems(a.environment, a.id, b.environment, b.id) })
	for i := range c.profiles {
		for _, to := range c.profiles[i].Principals {
			c.profiled = append(c.profiled, profiled{to.Key(), &c.profiles[i]})
		}
	}
	compare := func(a, b profiled) int {
		return cmp.Or(compareParts(a.profile.Environment, b.profile.Environment), comparePrincipals(a.to, b.to), compareParts(a.profile.ID, b.profile.ID))
	}
	slices.SortFunc(c.profiled, compare)
	c.profiled = slices.CompactFunc(c.profiled, func(a, b profiled) bool { return compare(a, b) == 0 })
	for i := range c.shares {
		s := &c.shares[i]
		if !s.WithOrganization {
			continue
		}
		if last := len(c.sharedTables) - 1; last >= 0 && c.sharedTables[last].is(s) {
			c.sharedTables[last].n++
			continue
		}
		c.sharedTables = append(c.sharedTables, sharedTable{s.Environment, authz.TableKey(s.Table), 1})
	}
}

func (t *sharedTable) is(s *Share) bool {
	return t.environment == s.Environment && t.table == authz.TableKey(s.Table)
}

func compareShares(a, b *Share) int {
	if order := cmp.Or(compareItems(a.Environment, authz.TableKey(a.Table), b.Environment, authz.TableKey(b.Table)), compareParts(a.Record, b.Record)); order != 0 {
		return order
	}
	// With everyone comes first, which has no principal.
	return comparePrincipals(a.With.Key(), b.With.Key())
}

// joined are whoever has the team among what it directly belongs to: the members of a group
// team are those of its group.
func (t *Team) joined() []authz.Principal {
	if t.Kind == authz.GroupTeamHolder {
		return []authz.Principal{{Type: authz.Group, ID: t.Group}}
	}
	return t.Members
}

// eachItem is [canonicalTenant.each] for what environments hold.
func (c *canonicalTenant) eachItem(sec section, k, v []byte, put func(key, payload []byte) error) error {
	switch sec {
	case tableSection:
		return eachOf(c.tables, func(t Table) error {
			return put(appendPart(appendPart(k, t.Environment), authz.TableKey(t.Name)), appendTable(v, &t.Table))
		})
	case environmentUserSection:
		return eachOf(c.users, func(u EnvironmentUser) error {
			return put(appendPrincipalPart(appendPart(k, u.Environment), u.Key()), appendEnvironmentUser(v, &u))
		})
	case teamSection:
		return eachOf(c.teams, func(t Team) error { return put(appendPart(k, t.ID), appendTeam(v, &t)) })
	case columnProfileSection:
		return eachOf(c.profiles, func(p ColumnProfile) error {
			return put(appendPart(appendPart(k, p.Environment), p.ID), appendColumnProfile(v, &p))
		})
	case shareSection:
		return eachOf(c.shares, func(s Share) error {
			key := appendPart(appendPart(appendPart(k, s.Environment), authz.TableKey(s.Table)), s.Record)
			return put(appendReceiver(key, &s.Share), appendShare(v, &s))
		})
	case appSection:
		return eachOf(c.apps, func(a App) error { return put(appendPart(appendPart(k, a.Environment), a.ID), appendApp(v, &a)) })
	case flowSection:
		return eachOf(c.flows, func(f Flow) error { return put(appendPart(appendPart(k, f.Environment), f.ID), appendFlow(v, &f)) })
	case environmentTeamSection:
		return eachOf(c.placedTeams, func(t placedTeam) error {
			return put(appendPart(appendPart(k, t.environment), t.id), appendPlacedTeam(v, t))
		})
	case profiledSection:
		return eachOf(c.profiled, func(x profiled) error {
			return put(appendPart(appendPrincipalPart(appendPart(k, x.profile.Environment), x.to), x.profile.ID), appendColumns(v, x.profile.Columns))
		})
	case sharedTableSection:
		return eachOf(c.sharedTables, func(t sharedTable) error {
			return put(appendPart(appendPart(k, t.environment), t.table), appendCount(v, t.n))
		})
	default:
		return corruptf("section %d is unknown", sec)
	}
}

// derived counts the derived records of what environments hold.
func (c *canonicalItems) derived() int {
	return len(c.placedTeams) + len(c.profiled) + len(c.sharedTables)
}

// items counts what environments hold.
func (c *canonicalItems) items() int {
	return len(c.tables) + len(c.users) + len(c.teams) + len(c.profiles) + len(c.shares) + len(c.apps) + len(c.flows)
}
