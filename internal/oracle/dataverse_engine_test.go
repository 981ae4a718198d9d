package oracle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/oracle"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	dataverseWorlds            = 1000
	questionsPerDataverseWorld = 200
)

// The real decision about records and the oracle agree on the reason, the step, what a
// refusal lacked, the least reach that would have done, and the role or share named. All
// that can be said is said at least a few times, and every mistaken decider is caught within
// the same questions.
func TestDecideRecordAgreesWithTheOracle(t *testing.T) {
	t.Parallel()
	uncaught := map[oracle.DataverseMistake]bool{}
	for _, mistake := range oracle.DataverseMistakes() {
		uncaught[mistake] = true
	}
	census := map[string]int{}
	different, asked := 0, 0
	worlds := dataverseWorlds
	if raceEnabled {
		worlds /= 20
	}
	for seed := range uint64(worlds) {
		world := oracle.GenerateDataverse(seed)
		engine := newRecordEngine(t, &world)
		for i, q := range world.Questions(seed, questionsPerDataverseWorld) {
			asked++
			got, want := engine.decide(t, q), world.Decide(q, "")
			if why := got.differs(want); why != "" {
				different++
				if different <= 5 {
					t.Errorf("seed %d, question %d: %s: %+v %+v\n got %+v\nwant %+v\nin %+v", seed, i, why, q, q.Record, got, want, world)
				}
			}
			for mistake := range uncaught {
				if got.differs(world.Decide(q, mistake)) != "" {
					delete(uncaught, mistake)
				}
			}
			for _, said := range []string{"reason " + want.Reason, "step " + want.Step, "denial " + want.Denial, "needed " + want.Needed, "reach " + want.Reach} {
				census[said]++
			}
			for _, reach := range want.Holdings {
				if want.Reason == oracle.Granted {
					census["granted by "+reach]++
				}
			}
			if want.OfOther {
				census["of the one acted for"]++
			}
		}
	}
	if different > 0 {
		t.Errorf("%d of %d questions are answered differently", different, asked)
	}
	for mistake := range uncaught {
		t.Errorf("no question catches the mistake %q", mistake)
	}
	for _, said := range slices.Concat(
		prefixed("reason ", oracle.Granted, oracle.NoAssignment, oracle.Expired, oracle.Unmapped, oracle.PrincipalDisabled, oracle.GroupsUnknown),
		prefixed("step ", oracle.ByOwnership, oracle.ByReach, oracle.ByShare),
		prefixed("denial ", oracle.DataverseDenials()...),
		prefixed("needed ", oracle.DataverseReaches()...),
		prefixed("reach ", oracle.DataverseReaches()[:3]...),
		prefixed("granted by ", oracle.DataverseReaches()...),
		[]string{"of the one acted for"},
	) {
		if census[said] < worlds/20 {
			t.Errorf("of %d questions only %d have %q in the answer", asked, census[said], said)
		}
	}
	t.Logf("%d questions: %v", asked, census)
}

func prefixed(prefix string, texts ...string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, prefix+text)
	}
	return all
}

// recordAnswer is what the real decision says, in the oracle's words.
type recordAnswer struct {
	Reason, Step, Denial, Reach, Needed, Column, Holding, Share string
	OfOther                                                     bool
}

// differs says in what the answer is not the oracle's; nothing where it is.
func (a recordAnswer) differs(want oracle.DataverseAnswer) string {
	switch {
	case a.Reason != want.Reason:
		return "reason"
	case a.Step != want.Step:
		return "step"
	case a.Denial != want.Denial:
		return "denial"
	case a.Needed != want.Needed:
		return "needed reach"
	case a.Column != want.Column:
		return "column"
	case a.OfOther != want.OfOther:
		return "who is meant"
	case a.Holding == "" && len(want.Holdings) > 0, a.Holding != "" && want.Holdings[a.Holding] != a.Reach:
		return "role named"
	case a.Denial == oracle.LacksReach && a.Reach != want.Reach:
		return "reach held"
	case a.Share == "" && len(want.Shares) > 0, a.Share != "" && !slices.Contains(want.Shares, a.Share):
		return "share named"
	}
	return ""
}

// recordEngine is the real decision put together from a world.
type recordEngine struct {
	world    *oracle.Dataverse
	db       *authz.Database
	subjects map[string]*authz.RecordSubject
}

func newRecordEngine(t *testing.T, world *oracle.Dataverse) recordEngine {
	t.Helper()
	var spec authz.DatabaseSpec
	for name, table := range world.Tables {
		declared := authz.Table{Name: name, Ownership: parsed[authz.Ownership](t, table.Owned), SecuredColumns: table.Secured}
		for _, class := range table.Classes {
			declared.Classes |= parsed[authz.TableClass](t, class)
		}
		for _, share := range world.Shares {
			if share.Table == name && share.User == "" && share.Team == "" {
				declared.Classes |= authz.OrgSharedTables
			}
		}
		spec.Tables = append(spec.Tables, declared)
	}
	for unit, parent := range world.Units {
		spec.BusinessUnits = append(spec.BusinessUnits, authz.BusinessUnit{ID: unit, Parent: parent})
	}
	db, err := authz.NewDatabase(spec)
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]*authz.SecurityRole{}
	for id, role := range world.Roles {
		roleSpec := authz.RoleDefinition{ID: id, Name: id, TeamOnly: role.ForTeamAlone, EverySecuredColumn: role.AllColumns}
		for _, line := range role.Lines {
			target := line.Table
			if target == "" {
				target = "{" + line.Class + "}"
			}
			roleSpec.Privileges = append(roleSpec.Privileges, fmt.Sprintf("Dataverse.%s.{%s}@%s", target, strings.Join(line.Privileges, ","), line.Reach))
		}
		if role.ActsForOther {
			roleSpec.Privileges = append(roleSpec.Privileges, "Dataverse.User.ActOnBehalf")
		}
		if roles[id], err = db.Compile(roleSpec); err != nil {
			t.Fatal(err)
		}
	}
	e := recordEngine{world, db, map[string]*authz.RecordSubject{}}
	for id, user := range world.Users {
		e.subjects[id] = e.subject(t, id, user, roles)
	}
	return e
}

func (e recordEngine) subject(t *testing.T, id string, user oracle.DataverseUser, roles map[string]*authz.SecurityRole) *authz.RecordSubject {
	t.Helper()
	spec := authz.RecordSubjectSpec{
		User: authz.Principal{Type: authz.User, ID: id}, BusinessUnit: user.Unit,
		Disabled: user.Disabled, TeamsUnknown: user.TeamsUnknown,
	}
	in := map[string]bool{}
	for name, team := range e.world.Teams {
		if slices.Contains(team.Members, id) {
			in[name] = true
			spec.Teams = append(spec.Teams, authz.TeamMembership{Team: name, BusinessUnit: team.Unit})
		}
	}
	for _, h := range e.world.Holdings {
		if h.Team == "" && h.User == id || in[h.Team] {
			spec.Holdings = append(spec.Holdings, authz.RoleHolding{
				AssignmentID: h.ID, Role: roles[h.Role], BusinessUnit: h.Unit, Team: h.Team, Expires: h.Expires,
			})
		}
	}
	for _, p := range e.world.Profiles {
		if p.Team == "" && p.User == id || in[p.Team] {
			spec.Profiles = append(spec.Profiles, authz.ColumnProfile{Table: p.Table, Column: p.Column, Rights: rightsOf(t, p.Rights)})
		}
	}
	subject, err := e.db.Subject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

func parsed[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := P(&v).UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return v
}

func rightsOf(t *testing.T, names []string) authz.PrivilegeSet {
	t.Helper()
	var rights authz.PrivilegeSet
	for _, name := range names {
		if name == "Update" {
			name = "Write"
		}
		rights |= authz.Privileges(parsed[authz.Privilege](t, name))
	}
	return rights
}

func (e recordEngine) decide(t *testing.T, q oracle.DataverseQuestion) recordAnswer {
	t.Helper()
	table, _ := e.db.TableNamed(q.Table)
	request := authz.RecordRequest{
		Caller: e.subjects[q.User], OnBehalf: q.For != "", ActingFor: e.subjects[q.For],
		Table: table, Privilege: parsed[authz.Privilege](t, q.Privilege), Columns: q.Columns,
	}
	var names []string // of the shares, in their order
	if q.Record != nil {
		request.Record = &authz.Record{BusinessUnit: q.Record.Unit}
		switch {
		case q.Record.OwnerUser != "":
			request.Record.Owner = authz.Principal{Type: authz.User, ID: q.Record.OwnerUser}
		case q.Record.OwnerTeam != "":
			request.Record.Owner = authz.Principal{Type: authz.Team, ID: q.Record.OwnerTeam}
		}
		for _, s := range e.world.Shares {
			if s.Table != q.Table || s.Record != q.Record.ID {
				continue
			}
			share := authz.Share{Rights: rightsOf(t, s.Rights)}
			switch {
			case s.User != "":
				share.With = authz.Principal{Type: authz.User, ID: s.User}
			case s.Team != "":
				share.With = authz.Principal{Type: authz.Team, ID: s.Team}
			default:
				share.WithOrganization = true
			}
			request.Record.Shares = append(request.Record.Shares, share)
			names = append(names, s.ID)
		}
	}
	d := authz.DecideRecord(e.db, request, q.Now)
	got := recordAnswer{
		Reason: d.Reason.String(), Reach: d.Reach.String(), Needed: d.Needed.String(), Column: d.Column, OfOther: d.ActingFor,
		Step:   map[authz.AccessStep]string{authz.OwnerAccess: oracle.ByOwnership, authz.ReachAccess: oracle.ByReach, authz.ShareAccess: oracle.ByShare}[d.Step],
		Denial: map[authz.DataverseDenial]string{authz.LacksPrivilege: oracle.LacksPrivilege, authz.LacksReach: oracle.LacksReach, authz.LacksColumn: oracle.LacksColumn, authz.LacksOnBehalf: oracle.LacksOnBehalf}[d.Denial],
	}
	if d.Allowed() != (d.Step != authz.NoAccess) {
		t.Errorf("%+v is allowed: %v", d, d.Allowed())
	}
	if d.Holding != nil {
		got.Holding = d.Holding.AssignmentID
	}
	if d.Share != nil {
		got.Share = "none of the record's"
		for i := range request.Record.Shares {
			if d.Share == &request.Record.Shares[i] {
				got.Share = names[i]
			}
		}
	}
	return got
}
