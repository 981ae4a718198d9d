package reverse

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const dataverse = "dataverse."

// isDataverse tells whether a permission is one of a database's table.
func isDataverse(permission string) bool {
	return len(permission) >= len(dataverse) && strings.EqualFold(permission[:len(dataverse)], dataverse)
}

// tableJudge decides about a privilege of a table of an environment.
func (q *question) tableJudge(permission string, named authz.NamedScope) (*tableJudge, error) {
	if named.Kind != authz.EnvironmentScope {
		return nil, bad("Scope", "%s is asked about at an environment", permission)
	}
	db, err := q.r.Database(q.tenant, named.Environment)
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, bad("Scope", "the environment %q has no database", named.Environment)
	}
	table, privilege, known := db.Permission(permission)
	if !known {
		return nil, bad("Permission", "the environment %q declares no such table, or the table has no such privilege: %s", named.Environment, permission)
	}
	return &tableJudge{question: q, db: db, environment: named.Environment, table: table, privilege: privilege}, nil
}

type tableJudge struct {
	*question
	db          *authz.Database
	environment string
	table       authz.TableID
	privilege   authz.Privilege
}

func (j *tableJudge) covers(a *snapshot.RoleAssignment, _ int) (bool, error) {
	role, err := j.r.SecurityRole(j.tenant, j.environment, a.RoleDefinitionID)
	if j.privilege == authz.ActOnBehalf {
		return role.ActsOnBehalf(), err
	}
	return role.Reach(j.table, j.privilege) != authz.NoReach, err
}

func (j *tableJudge) types() []string { return j.Questions.types }

func (j *tableJudge) somebody(p authz.Principal) (verdict, error) {
	s, err := j.SubjectOf(j.tenant, p)
	if err != nil {
		return verdict{}, err
	}
	who, err := j.recordSubject(j.environment, s)
	if err != nil || who == nil {
		return verdict{}, err
	}
	id, reach := reaches(j.db, who, j.table, j.privilege, j.now)
	return verdict{listed: id != "", assignment: id, reach: reach}, nil
}

// recordSubject reads what somebody may do to the records of an environment; nil: it is no
// user there.
func (q *question) recordSubject(environment string, s *authz.Subject) (*authz.RecordSubject, error) {
	who, err := q.r.RecordSubject(q.tenant, environment, s)
	q.work(recordWork + len(who.Holdings()))
	return who, err
}

// reaches decides about a whole table. Where that is refused for the reach alone, the
// decision says how far the privilege is held. The identifier is that of the assignment by
// which; it is empty where the privilege is not held at all.
func reaches(db *authz.Database, who *authz.RecordSubject, table authz.TableID, p authz.Privilege, now int64) (string, authz.Reach) {
	d := authz.DecideRecord(db, authz.RecordRequest{Caller: who, Table: table, Privilege: p}, now)
	if d.Holding == nil || !d.Allowed() && d.Denial != authz.LacksReach {
		return "", authz.NoReach
	}
	return d.Holding.AssignmentID, d.Reach
}

// anybody decides about a group or a directory role: by what it, or a team or a group that it
// makes somebody a member of, holds that reaches farthest.
func (j *tableJudge) anybody(p authz.Principal) (verdict, error) {
	s, err := j.SubjectOf(j.tenant, p)
	if err != nil {
		return verdict{}, err
	}
	memberships, err := j.r.Memberships(j.tenant, s)
	if err != nil {
		return verdict{}, err
	}
	var all []verdict
	for _, m := range memberships {
		j.work(readWork)
		if m.Principal.Type == authz.Team {
			team, listed, err := j.r.Team(j.tenant, m.Principal.ID)
			if err != nil {
				return verdict{}, err
			}
			if !listed || team.Environment != j.environment || team.Kind == authz.AccessTeamHolder {
				continue
			}
		}
		for a, err := range j.r.RoleAssignmentsOf(j.tenant, m.Principal) {
			if err != nil {
				return verdict{}, err
			}
			j.work(readWork)
			v, err := j.given(&a)
			if err != nil {
				return verdict{}, err
			}
			if v.listed {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return verdict{}, nil
	}
	return slices.MinFunc(all, func(a, b verdict) int {
		return cmp.Or(cmp.Compare(b.reach, a.reach), cmp.Compare(a.assignment, b.assignment))
	}), nil
}

// given says what an assignment gives whoever belongs to its holder.
func (j *tableJudge) given(a *snapshot.RoleAssignment) (verdict, error) {
	_, named, err := authz.ParseScope(string(a.Scope), j.o.FoldCase)
	if err != nil {
		return verdict{}, err
	}
	if named.Environment != j.environment || a.Effect != authz.AssignAllow || !j.live(a.Expires) {
		return verdict{}, nil
	}
	def := j.shipped[a.RoleDefinitionID] // nil of a custom role, which teams hold in the environment alone
	switch named.Kind {
	case authz.EnvironmentScope:
	case authz.BusinessUnitScope:
		if _, there, err := j.r.BusinessUnit(j.tenant, j.environment, named.ID); err != nil || !there {
			return verdict{}, err
		}
	default:
		if def == nil || def.AssignableAt([]authz.Scope{environmentScope(j.tenant, j.environment)}) {
			return verdict{}, nil
		}
	}
	kind := authz.NoHolder
	switch a.Principal.Type {
	case authz.Group:
		kind = authz.GroupHolder
	case authz.DirectoryRole:
		kind = authz.DirectoryRoleHolder
	default: // a team
	}
	if kind != authz.NoHolder && (def == nil || def.Terms == nil || !slices.Contains(def.Terms.HeldBy, kind)) {
		return verdict{}, nil
	}
	role, err := j.r.SecurityRole(j.tenant, j.environment, a.RoleDefinitionID)
	if j.privilege == authz.ActOnBehalf {
		return verdict{listed: kind != authz.NoHolder && role.ActsOnBehalf(), assignment: a.ID}, err
	}
	reach := role.Reach(j.table, j.privilege)
	return verdict{listed: reach != authz.NoReach, assignment: a.ID, reach: reach}, err
}

// teamMembers returns the members of a team, in order; that of a group team is its group.
func (t *tree) teamMembers(id string) ([]authz.Principal, error) {
	team, listed, err := t.r.Team(t.tenant, id)
	switch {
	case err != nil || !listed:
		return nil, err
	case team.Group != "":
		return []authz.Principal{{Type: authz.Group, ID: team.Group}}, nil
	}
	t.work(len(team.Members) / membersPerWork)
	return team.Members, nil
}

// everyPrivilege is everyPermission for the tables of an environment with a database.
func (q *question) everyPrivilege(s *authz.Subject, named authz.NamedScope) (decide func(i int) (Held, string), n int, err error) {
	if named.Kind != authz.EnvironmentScope {
		return nil, 0, nil
	}
	db, err := q.r.Database(q.tenant, named.Environment)
	if err != nil || db == nil {
		return nil, 0, err
	}
	who, err := q.recordSubject(named.Environment, s)
	if err != nil || who == nil {
		return nil, 0, err
	}
	privileges := append(authz.TablePrivileges(), authz.ActOnBehalf)
	return func(i int) (Held, string) {
		table, privilege := authz.TableID(i/len(privileges)+1), privileges[i%len(privileges)]
		declared, _ := db.Table(table)
		held := Held{Permission: authz.Permission("Dataverse." + declared.Name + "." + privilege.String())}
		var id string
		id, held.Reach = reaches(db, who, table, privilege, q.now)
		q.work(1 + len(who.Holdings())/10)
		return held, id
	}, db.Len() * len(privileges), nil
}

// inDatabases goes through the environments in which the caller holds a security role.
func (w *whereCan) inDatabases(permission string) error {
	if _, privilege, ok := strings.Cut(permission[len(dataverse):], "."); !ok || new(authz.Privilege).UnmarshalText([]byte(privilege)) != nil {
		return bad("Permission", "%s is not Dataverse.{table}.{privilege}", permission)
	}
	environments := map[string]bool{}
	for i := range w.grants {
		g := &w.grants[i]
		if g.Effect != authz.AssignAllow || !g.Role.IsSecurityRole() {
			continue
		}
		if _, named, err := authz.ParseScope(string(g.Scope), w.o.FoldCase); err == nil && named.Environment != "" {
			environments[named.Environment] = true
		}
	}
	ids := make([]string, 0, len(environments))
	for id := range environments {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, snapshot.CompareIdentifiers)
	after := string(w.at.Key)
	for _, id := range ids {
		if after != "" && snapshot.CompareIdentifiers(id, after) <= 0 {
			continue
		}
		if err := w.inDatabase(id, permission); err != nil {
			return err
		}
		w.at.Key = bytes(id)
		if len(w.list.Items) == w.page.size || w.spent() {
			var err error
			w.list.Next, err = w.at.token()
			return err
		}
	}
	return nil
}

// inDatabase lists an environment, if the privilege is held there, at any reach.
func (w *whereCan) inDatabase(environment, permission string) error {
	w.work(readWork)
	db, err := w.r.Database(w.tenant, environment)
	if err != nil || db == nil {
		return err
	}
	table, privilege, known := db.Permission(permission)
	if !known {
		return nil
	}
	who, err := w.recordSubject(environment, w.subject)
	if err != nil || who == nil {
		return err
	}
	id, reach := reaches(db, who, table, privilege, w.now)
	if id == "" {
		return nil
	}
	shown, err := w.shownID(id)
	w.list.Items = append(w.list.Items, Place{Scope: environmentScope(w.tenant, environment), Reach: reach, Assignment: shown})
	return err
}
