package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Epoch is the Unix second around which everything in a generated world expires.
const Epoch int64 = 1_800_000_000

// The names are few and shared between kinds and tenants, and some begin with another,
// so that whatever confuses two of them shows.
var (
	tenantNames           = []string{"t1", "t10"}
	environmentNames      = []string{"e1", "e10", "e2", "g1"}
	environmentGroupNames = []string{"g1", "g10", "e1"}
	unitNames             = []string{"b1", "b10", "b2", "b3"}
	personNames           = []string{"u1", "u10", "u2", "g1"}
	groupNames            = []string{"g1", "g10", "g2", "g3", "u1"}
	directoryRoleNames    = []string{"g1", "d1", "u1"}
	teamNames             = []string{"u1", "g1"}
	resourceTypes         = []string{"powerapps", "flows"}
	resourceNames         = []string{"a", "a1", "b1"}
	namespaces            = []string{"PowerApps", "Flow", "Settings"}
	typeNames             = []string{"Apps", "Apps.Drafts", "Flows"}
	commonActions         = []string{"Read", "Create", "Update", "Delete", "Write", "ReadWrite"}
	otherActions          = []string{"Play", "Share", "Publish", "Admin"}
)

// maker draws from one seed.
type maker struct {
	*rand.Rand
	w *World
}

// Generate makes a world, the same for the same seed.
func Generate(seed uint64) World {
	m := maker{rand.New(rand.NewPCG(seed, 1)), &World{Tenants: map[string]*Tenant{}}}
	m.catalogue()
	for _, name := range tenantNames {
		m.w.Tenants[name] = m.tenant(name)
	}
	return *m.w
}

func (m maker) one(names []string) string { return names[m.IntN(len(names))] }

// often is true in so many of a hundred cases.
func (m maker) often(percent int) bool { return m.IntN(100) < percent }

// some returns each of the names in so many of a hundred cases.
func (m maker) some(names []string, percent int) []string {
	var drawn []string
	for _, name := range names {
		if m.often(percent) {
			drawn = append(drawn, name)
		}
	}
	return drawn
}

func (m maker) catalogue() {
	m.w.Permissions = []string{"PowerApps.Apps.Read", "PowerApps.Apps.ReadWrite"}
	for _, namespace := range namespaces {
		for _, typeName := range m.some(typeNames, 50) {
			actions := commonActions
			if m.often(40) {
				actions = m.some(actions, 60)
			}
			for _, action := range append(slices.Clone(actions), m.some(otherActions, 40)...) {
				permission := namespace + "." + typeName + "." + action
				if !slices.Contains(m.w.Permissions, permission) {
					m.w.Permissions = append(m.w.Permissions, permission)
				}
			}
		}
	}
	m.implications()
}

// implications adds to the ones that always hold, never in a circle, and only between
// actions and permissions that the catalogue has.
func (m maker) implications() {
	m.w.Implications = DefaultImplications()
	imply := func(from string, to ...string) {
		for _, name := range to {
			if m.often(50) && m.exists(from) && m.exists(name) {
				m.w.Implications[from] = append(m.w.Implications[from], name)
			}
		}
	}
	imply("Admin", "ReadWrite", "Delete", "Publish")
	imply("Publish", "Share")
	imply("Share", "Read", "Write", "Play")
	for range 3 { // from one namespace to a later one
		from, to := m.one(m.w.Permissions), m.one(m.w.Permissions)
		if from[0] == 'P' && to[0] != 'P' || from[0] == 'F' && to[0] == 'S' {
			m.w.Implications[from] = append(m.w.Implications[from], to)
		}
	}
}

// exists tells whether some permission has the action, or is the one so named.
func (m maker) exists(name string) bool {
	return slices.ContainsFunc(m.w.Permissions, func(p string) bool {
		return p == name || strings.HasSuffix(p, "."+name) || slices.Contains(commonActions, name)
	})
}

func (m maker) tenant(name string) *Tenant {
	t := &Tenant{
		Environments:      m.some(environmentNames, 75),
		EnvironmentGroups: m.some(environmentGroupNames, 75),
		GroupOf:           map[string]string{},
		BusinessUnits:     map[string]map[string]string{},
		Groups:            map[string][]Principal{},
		DirectoryComplete: m.often(40),
		Roles:             map[string]Role{},
	}
	for _, environment := range t.Environments {
		if len(t.EnvironmentGroups) > 0 && m.often(65) {
			t.GroupOf[environment] = m.one(t.EnvironmentGroups)
		}
		t.BusinessUnits[environment] = m.units()
	}
	m.directory(t)
	for i := range 6 {
		t.Roles[fmt.Sprintf("r%d", i)] = m.role()
	}
	m.assignments(name, t)
	return t
}

// units makes a forest: a parent comes before its children.
func (m maker) units() map[string]string {
	units := map[string]string{}
	var earlier []string
	for _, unit := range m.some(unitNames, 60) {
		units[unit] = ""
		if len(earlier) > 0 && m.often(80) {
			units[unit] = m.one(earlier)
		}
		earlier = append(earlier, unit)
	}
	return units
}

// directory nests groups without a circle, as deep as there are groups.
func (m maker) directory(t *Tenant) {
	for i, group := range groupNames {
		if m.often(20) {
			continue // has assignments and stands in tokens, and the directory lacks it
		}
		members := []Principal{}
		for _, person := range m.some(personNames, 15) {
			members = append(members, Principal{m.one([]string{"User", "ApplicationUser"}), person})
		}
		for j, other := range groupNames[:i] {
			if j == i-1 && m.often(60) || m.often(10) {
				members = append(members, Principal{"Group", other})
			}
		}
		t.Groups[group] = members
	}
	for _, person := range m.some(personNames, 6) {
		t.Disabled = append(t.Disabled, Principal{m.one([]string{"User", "ApplicationUser"}), person})
	}
}

func (m maker) role() Role {
	var r Role
	for range 1 + m.IntN(2) {
		r.Permissions = append(r.Permissions, m.pattern(35))
	}
	for range m.IntN(3) {
		r.Exceptions = append(r.Exceptions, m.pattern(0))
	}
	return r
}

// pattern makes one of the six forms, a bare star in so many of a hundred cases.
func (m maker) pattern(star int) string {
	if m.often(star) {
		return "*"
	}
	permission := m.one(m.w.Permissions)
	first, last := strings.Index(permission, "."), strings.LastIndex(permission, ".")
	switch m.IntN(9) {
	case 0:
		return permission[:first] + ".*"
	case 1:
		return "*" + permission[last:]
	case 2:
		return permission[:first] + ".*" + permission[last:]
	case 3:
		return permission[:last] + ".*"
	case 4:
		return m.otherCase(permission)
	case 5:
		return "*.Write" // which ReadWrite ends like
	}
	return permission
}

func (m maker) otherCase(name string) string {
	if m.often(50) {
		return strings.ToLower(name)
	}
	return strings.ToUpper(name)
}

// principal is of any kind; mostly one that somebody is or belongs to.
func (m maker) principal() Principal {
	switch n := m.IntN(20); {
	case n < 7:
		return Principal{"User", m.one(personNames)}
	case n < 9:
		return Principal{"ApplicationUser", m.one(personNames)}
	case n < 16:
		return Principal{"Group", m.one(groupNames)}
	case n < 19:
		return Principal{"DirectoryRole", m.one(directoryRoleNames)}
	}
	return Principal{"Team", m.one(teamNames)}
}

func (m maker) assignments(tenant string, t *Tenant) {
	type link struct {
		principal   Principal
		role, scope string
	}
	taken := map[link]bool{}
	for i := range 14 + m.IntN(16) {
		a := Assignment{
			ID:        fmt.Sprintf("%s-%d", tenant, i),
			Principal: m.principal(),
			Role:      fmt.Sprintf("r%d", m.IntN(len(t.Roles))),
			Scope:     m.scope(tenant, t),
			Effect:    "ALLOW",
		}
		switch n := m.IntN(100); {
		case n < 22:
			a.Effect = "DENY"
		case n < 30:
			a.Effect = "FORBID"
		}
		if m.often(40) {
			a.Expires = Epoch + []int64{-1, 0, 1, -1000, 1000}[m.IntN(5)]
		}
		l := link{a.Principal, a.Role, a.Scope}
		if l.principal.Kind == "ApplicationUser" {
			l.principal.Kind = "User"
		}
		if !taken[l] { // one principal, role and scope has one assignment
			taken[l] = true
			t.Assignments = append(t.Assignments, a)
		}
	}
}

// scope is one that the tenant lists.
func (m maker) scope(tenant string, t *Tenant) string {
	root := "/tenants/" + tenant
	switch n := m.IntN(100); {
	case n < 20:
		return root
	case n < 35 && len(t.EnvironmentGroups) > 0:
		return root + "/environmentGroups/" + m.one(t.EnvironmentGroups)
	case len(t.Environments) == 0:
		return root
	default:
		environment := m.one(t.Environments)
		scope := root + "/environments/" + environment
		units := t.BusinessUnits[environment]
		var listed []string
		for _, unit := range unitNames {
			if _, ok := units[unit]; ok {
				listed = append(listed, unit)
			}
		}
		switch {
		case n < 50:
			return scope
		case n < 77 && len(listed) > 0:
			return scope + "/businessUnits/" + m.one(listed)
		}
		return scope + "/" + m.one(resourceTypes) + "/" + m.one(resourceNames)
	}
}

// Questions makes n questions about the world, the same for the same seed.
func (w *World) Questions(seed uint64, n int) []Question {
	m := maker{rand.New(rand.NewPCG(seed, 2)), w}
	questions := make([]Question, n)
	for i := range questions {
		questions[i] = m.question()
	}
	return questions
}

func (m maker) question() Question {
	q := Question{
		Tenant:        m.one(tenantNames),
		Principal:     Principal{m.one([]string{"User", "User", "ApplicationUser"}), m.one(personNames)},
		GroupsUnknown: m.often(15),
		Now:           Epoch + int64(m.IntN(3)) - 1,
	}
	if !q.GroupsUnknown || m.often(20) {
		q.Groups = m.some(groupNames, 25)
	}
	q.Wids = m.some(directoryRoleNames, 30)
	for range m.fewOf() {
		q.Permissions = append(q.Permissions, m.one(m.w.Permissions))
	}
	t := m.w.Tenants[q.Tenant]
	for range m.fewOf() {
		q.Scopes = append(q.Scopes, m.scope(q.Tenant, t))
	}
	m.spoil(&q)
	return q
}

// fewOf is one mostly, at times two or three.
func (m maker) fewOf() int { return []int{1, 1, 1, 1, 1, 1, 2, 2, 2, 3}[m.IntN(10)] }

// spoil makes some questions ones that are refused before any assignment is read, and
// some merely odd.
func (m maker) spoil(q *Question) {
	root := "/tenants/" + q.Tenant
	if m.often(15) {
		i := m.IntN(len(q.Permissions))
		q.Permissions[i] = m.otherCase(q.Permissions[i])
	}
	if m.often(3) {
		q.Permissions[m.IntN(len(q.Permissions))] = m.one([]string{
			"PowerApps.Apps.Nothing", "All.All.ReadWrite", "Dataverse.Account.Read", "PowerApps.Apps.Rea",
		})
	}
	if m.often(3) {
		for _, other := range tenantNames {
			if other != q.Tenant {
				q.Scopes[m.IntN(len(q.Scopes))] = m.scope(other, m.w.Tenants[other])
			}
		}
	}
	if m.often(4) {
		q.Scopes[m.IntN(len(q.Scopes))] = root + m.one([]string{
			"/environments/e9", "/environments/e9/powerapps/a", "/environmentGroups/g9",
			"/environments/e1/businessUnits/b9", "/environments/e9/businessUnits/b1",
		})
	}
}
