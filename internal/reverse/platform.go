package reverse

import (
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// platformJudge decides about a permission that the catalogue knows.
func (q *question) platformJudge(permission string, chain []authz.Scope) (*platformJudge, error) {
	id, err := q.permission(permission)
	if err != nil {
		return nil, err
	}
	return &platformJudge{question: q, id: id, request: authz.Request{
		Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{chain},
	}}, nil
}

func (q *question) permission(name string) (authz.PermissionID, error) {
	id, known := q.o.Vocabulary.ID(name)
	if !known {
		return 0, bad("Permission", "the catalogue knows no permission %q", name)
	}
	return id, nil
}

type platformJudge struct {
	*question
	id      authz.PermissionID
	request authz.Request
}

// covers: a security role that is held in a business unit gives its permissions at the
// environment, and not there.
func (j *platformJudge) covers(a *snapshot.RoleAssignment, stage int) (bool, error) {
	role, _ := j.r.Role(j.tenant, a.RoleDefinitionID)
	if lifted := role.IsSecurityRole() && isUnit(a.Scope); lifted != (stage == ofUnits) {
		return false, nil
	}
	return role.Grants(j.id), nil
}

func (j *platformJudge) types() []string { return nil }

func (j *platformJudge) somebody(p authz.Principal) (verdict, error) { return j.decide(p) }

func (j *platformJudge) anybody(p authz.Principal) (verdict, error) { return j.decide(p) }

func (j *platformJudge) decide(p authz.Principal) (verdict, error) {
	s, err := j.SubjectOf(j.tenant, p)
	if err != nil {
		return verdict{}, err
	}
	view, err := j.held(s)
	if err != nil || view.Disabled {
		return verdict{}, err
	}
	d := authz.Decide(view.Grants, j.request, j.now)
	if !d.Allowed() || d.Grant == nil {
		return verdict{}, nil
	}
	return verdict{listed: true, assignment: d.Grant.AssignmentID}, nil
}
