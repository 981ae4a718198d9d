package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

var (
	compositeGroups     = []string{"g1", "g10", "t1"}
	compositeConnectors = []string{"dataverse", "mail", "sites"}
	usedTables          = []string{"Account", "AccountX", "core", "Setting", "Site"}
)

// GenerateComposites makes an environment with flows and apps, the same for the same seed.
// Unlike [GenerateDataverse] it makes only what can be stored: whoever was not added to the
// environment holds nothing there, what cannot be shared or opened is not, and nothing is
// listed twice.
func GenerateComposites(seed uint64) Composites {
	m := maker{Rand: rand.New(rand.NewPCG(seed, 5))}
	w := Composites{
		Dataverse: GenerateDataverse(seed), Groups: map[string][]string{},
		Flows: map[string]CompositeFlow{}, Apps: map[string]CompositeApp{},
	}
	for _, name := range environmentTables {
		w.Tables[name] = DataverseTable{Owned: m.one([]string{"User", "User", "Organization"}), Classes: []string{"system"}}
	}
	w.Tables[settingsTable] = DataverseTable{Owned: "User"}
	w.DirectoryComplete = m.often(50)
	w.storable()
	w.Roles["opener"] = m.openerRole()
	w.Roles["data"] = DataverseRole{Lines: []DataverseLine{{Class: "any", Privileges: tablePrivileges, Reach: m.one(DataverseReaches())}}, ForTeamAlone: m.often(40)}
	for i, role := range []string{"opener", "opener", "opener", "data", "data"} {
		h := m.dataverseHolding(i)
		h.ID, h.Role = fmt.Sprintf("c%02d", i), role
		w.hold(h)
	}
	for _, group := range compositeGroups {
		w.Groups[group] = m.some(dataverseUsers, 35)
	}
	for i := range 3 {
		w.Flows[fmt.Sprintf("f%d", i)] = m.compositeFlow()
		w.Apps[fmt.Sprintf("a%d", i)] = CompositeApp{SharedWith: m.receivers(), Everyone: m.often(30), Tables: m.compositeTables()}
	}
	for range 3 {
		p := CompositePlayer{User: m.one(dataverseUsers)}
		if m.often(50) {
			p.User, p.Group = "", m.one(compositeGroups)
		}
		if m.often(20) {
			p.Expires = Epoch + int64(m.IntN(3)) - 1
		}
		if !slices.ContainsFunc(w.Players, func(o CompositePlayer) bool { return o.User == p.User && o.Group == p.Group }) {
			w.Players = append(w.Players, p)
		}
	}
	return w
}

func (m maker) openerRole() DataverseRole {
	reach := m.one([]string{ReachOrganization, ReachOrganization, ReachUser})
	return DataverseRole{ForTeamAlone: m.often(40), Lines: []DataverseLine{
		{Class: "system", Privileges: []string{"Read"}, Reach: reach},
		{Table: settingsTable, Privileges: []string{"Create", "Read", "Write"}, Reach: ReachUser},
	}}
}

func (m maker) compositeFlow() CompositeFlow {
	f := CompositeFlow{Maker: m.one(dataverseUsers), RunOnly: m.receivers()}
	for i := range m.IntN(4) {
		c := CompositeConnection{Name: fmt.Sprintf("c%d", i), Connector: m.one(compositeConnectors), Provider: m.one([]string{"user", "maker", "user", "maker", ""})}
		if c.Connector == "dataverse" {
			c.Tables = m.compositeTables()
		}
		f.Connections = append(f.Connections, c)
	}
	return f
}

func (m maker) receivers() CompositeReceivers {
	return CompositeReceivers{Users: m.some(dataverseUsers, 25), Groups: m.some(compositeGroups, 25), Teams: m.some(dataverseTeams, 20)}
}

func (m maker) compositeTables() (all []CompositeTable) {
	for _, table := range m.some(usedTables, 25) {
		use := CompositeTable{Table: table}
		if m.often(40) {
			use.Privileges = m.some(tablePrivileges, 30)
		}
		all = append(all, use)
	}
	return all
}

// storable takes away what no store would take.
func (w *Composites) storable() {
	for id, role := range w.Roles {
		role.AllColumns = false // which only a role that comes with the product has
		w.Roles[id] = role
	}
	for id, user := range w.Users {
		if user.Unit == "" || w.DirectoryComplete {
			user.TeamsUnknown = false
			w.Users[id] = user
		}
	}
	for id, team := range w.Teams {
		team.Members = slices.DeleteFunc(slices.Clone(team.Members), w.absent)
		w.Teams[id] = team
	}
	holdings := w.Holdings
	w.Holdings = nil
	for _, h := range holdings {
		w.hold(h)
	}
	w.Profiles = slices.DeleteFunc(w.Profiles, func(p DataverseProfile) bool {
		return len(p.Rights) == 0 || p.Team == "" && w.absent(p.User) || !slices.Contains(w.Tables[p.Table].Secured, p.Column)
	})
	shares := w.Shares
	w.Shares = nil
	for _, s := range shares {
		s.Rights = slices.DeleteFunc(slices.Clone(s.Rights), func(right string) bool { return right == "Create" || right == "AppendTo" })
		again := slices.ContainsFunc(w.Shares, func(o DataverseShare) bool {
			return o.Table == s.Table && o.Record == s.Record && o.User == s.User && o.Team == s.Team
		})
		if len(s.Rights) > 0 && !again && w.Tables[s.Table].Owned == "User" && (s.User == "" || !w.absent(s.User)) {
			w.Shares = append(w.Shares, s)
		}
	}
}

// absent tells whether nobody has added the user to the environment.
func (w *Composites) absent(user string) bool { return w.Users[user].Unit == "" }

// hold adds a holding, unless there is one like it or its user is not in the environment.
func (w *Composites) hold(h DataverseHolding) {
	again := slices.ContainsFunc(w.Holdings, func(o DataverseHolding) bool {
		return o.Role == h.Role && o.User == h.User && o.Unit == h.Unit && o.Team == h.Team
	})
	if !again && (h.Team != "" || !w.absent(h.User)) {
		w.Holdings = append(w.Holdings, h)
	}
}

// CompositeQuestions makes n questions about the environment's flows and apps, the same for
// the same seed.
func (w *Composites) CompositeQuestions(seed uint64, n int) []CompositeQuestion {
	m := maker{Rand: rand.New(rand.NewPCG(seed, 6))}
	questions := make([]CompositeQuestion, n)
	for i := range questions {
		q := CompositeQuestion{User: m.one(dataverseUsers), Now: Epoch + int64(m.IntN(3)) - 1, Connectors: map[string]bool{}, Licences: map[string]bool{}}
		if at := fmt.Sprint(m.IntN(3)); m.often(60) {
			q.Flow = "f" + at
		} else {
			q.App = "a" + at
		}
		for _, connector := range compositeConnectors[1:] {
			if m.often(70) {
				q.Connectors[connector] = m.often(80)
			}
		}
		if m.often(80) {
			q.Licences["licence"] = m.often(85)
		}
		questions[i] = q
	}
	return questions
}
