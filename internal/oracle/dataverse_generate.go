package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// The names are few, shared between kinds, and some begin with another. A table called
// like a class shows who confuses the two.
var (
	dataverseTables  = []string{"Account", "AccountX", "core", "Setting", "Site"}
	dataverseClasses = []string{"core", "system", "customization", "businessManagement", "site"}
	dataverseUnits   = []string{"b", "b1", "b10", "b11", "u1"}
	dataverseUsers   = []string{"u1", "u10", "u2", "t1"}
	dataverseTeams   = []string{"t1", "t10", "u1"}
	dataverseColumns = []string{"limit", "limit2", "Notes"}
	dataverseRecords = []string{"r1", "r10", "r2"}
	tablePrivileges  = []string{"Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share"}
)

// GenerateDataverse makes an environment, the same for the same seed.
func GenerateDataverse(seed uint64) Dataverse {
	m := maker{Rand: rand.New(rand.NewPCG(seed, 3))}
	w := Dataverse{
		Tables: map[string]DataverseTable{}, Units: map[string]string{},
		Users: map[string]DataverseUser{}, Teams: map[string]DataverseTeam{}, Roles: map[string]DataverseRole{},
	}
	for i, name := range dataverseTables {
		w.Tables[name] = m.dataverseTable(i)
	}
	for i, unit := range dataverseUnits { // a tree: a parent comes before its children
		w.Units[unit] = ""
		if i > 0 {
			w.Units[unit] = m.one(dataverseUnits[:i])
		}
	}
	for _, user := range dataverseUsers {
		u := DataverseUser{Unit: m.one(dataverseUnits), Disabled: m.often(4), TeamsUnknown: m.often(6)}
		if m.often(5) {
			u.Unit = "" // nobody has added it to the environment
		}
		w.Users[user] = u
	}
	for _, team := range dataverseTeams {
		w.Teams[team] = DataverseTeam{Unit: m.one(dataverseUnits), Members: m.some(dataverseUsers, 40)}
	}
	for i := range 5 {
		w.Roles[fmt.Sprintf("r%d", i)] = m.dataverseRole()
	}
	for i := range 6 + m.IntN(9) {
		w.Holdings = append(w.Holdings, m.dataverseHolding(i))
	}
	for range 2 + m.IntN(6) {
		p := DataverseProfile{Table: m.one(dataverseTables), Column: m.one(dataverseColumns), Rights: m.some([]string{"Create", "Read", "Update"}, 50)}
		if m.often(60) {
			p.User = m.one(dataverseUsers)
		} else {
			p.Team = m.one(dataverseTeams)
		}
		w.Profiles = append(w.Profiles, p)
	}
	for i := range 4 + m.IntN(9) {
		s := DataverseShare{
			ID: fmt.Sprintf("s%d", i), Table: m.one(dataverseTables[:2]), Record: m.one(dataverseRecords),
			Rights: m.some(tablePrivileges, 60),
		}
		switch n := m.IntN(10); {
		case n < 4:
			s.User = m.one(dataverseUsers)
		case n < 8:
			s.Team = m.one(dataverseTeams)
		}
		w.Shares = append(w.Shares, s)
	}
	return w
}

// dataverseTable makes the first tables ones that users own, and the last a custom one at
// times: no other class goes with that.
func (m maker) dataverseTable(i int) DataverseTable {
	t := DataverseTable{Owned: "User", Classes: m.some(dataverseClasses, 35), Secured: m.some(dataverseColumns, 45)}
	if i >= 2 {
		t.Owned = m.one([]string{"User", "BusinessUnit", "Organization"})
	}
	if m.often(20) {
		t.Classes = []string{"custom"}
	}
	return t
}

func (m maker) dataverseRole() DataverseRole {
	r := DataverseRole{ForTeamAlone: m.often(40), ActsForOther: m.often(50), AllColumns: m.often(10)}
	for range 1 + m.IntN(5) {
		line := DataverseLine{Privileges: m.some(tablePrivileges, 50), Reach: m.one(DataverseReaches())}
		if m.often(40) {
			line.Reach = m.one(DataverseReaches()[:3])
		}
		if len(line.Privileges) == 0 || m.often(25) {
			line.Privileges = slices.Clone(tablePrivileges)
		}
		if m.often(55) {
			line.Table = m.one(dataverseTables)
		} else {
			line.Class = m.one(append([]string{"custom", "orgShared", "any"}, dataverseClasses...))
		}
		r.Lines = append(r.Lines, line)
	}
	return r
}

func (m maker) dataverseHolding(i int) DataverseHolding {
	h := DataverseHolding{ID: fmt.Sprintf("h%02d", i), Role: fmt.Sprintf("r%d", m.IntN(5))}
	if m.often(55) {
		h.User, h.Unit = m.one(dataverseUsers), m.one(dataverseUnits)
	} else {
		h.Team = m.one(dataverseTeams)
	}
	if m.often(25) {
		h.Expires = Epoch + []int64{-1, 0, 1, -1000, 1000}[m.IntN(5)]
	}
	return h
}

// Questions makes n questions about the environment, the same for the same seed.
func (w *Dataverse) Questions(seed uint64, n int) []DataverseQuestion {
	m := maker{Rand: rand.New(rand.NewPCG(seed, 4))}
	questions := make([]DataverseQuestion, n)
	for i := range questions {
		q := DataverseQuestion{
			User: m.one(dataverseUsers), Table: m.one(dataverseTables), Privilege: m.one(tablePrivileges),
			Now: Epoch + int64(m.IntN(3)) - 1,
		}
		if m.often(50) {
			q.Privilege = m.one([]string{"Create", "Read", "Write"})
		}
		if m.often(25) {
			q.For = m.one(dataverseUsers)
		}
		if m.often(85) {
			q.Record = m.dataverseRecord(q.User)
		}
		if m.often(40) {
			q.Columns = m.some([]string{"limit", "LIMIT", "limit2", "notes", "Notes", "other"}, 35)
		}
		if m.often(2) {
			q.Table = m.one([]string{"Nothing", "Accoun", "any"})
		}
		questions[i] = q
	}
	return questions
}

// dataverseRecord tells all of a record mostly, at times less or nothing.
func (m maker) dataverseRecord(user string) *DataverseRecord {
	r := &DataverseRecord{ID: m.one(dataverseRecords)}
	switch n := m.IntN(20); {
	case n < 4:
		r.OwnerUser = user
	case n < 11:
		r.OwnerUser = m.one(dataverseUsers)
	case n < 18:
		r.OwnerTeam = m.one(dataverseTeams)
	}
	if m.often(88) {
		r.Unit = m.one(dataverseUnits)
	}
	return r
}
