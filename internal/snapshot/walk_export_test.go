package snapshot

import "github.com/pathgrant/pathgrant/pkg/authz"

// WalkedRecord is what a record of the grants section says.
type WalkedRecord struct {
	Disabled bool
	Parents  []authz.Principal
	Grants   []WalkedAssignment
}

// WalkedAssignment is one grant of it, with its role by name.
type WalkedAssignment struct {
	ID, Role string
	Kind     authz.PrincipalType
	Scope    authz.Scope
	Effect   authz.AssignmentEffect
	Expires  int64
}

// ReadRecords reads records as a change to them does.
func ReadRecords(payloads ...string) (all []WalkedRecord, err error) {
	for _, payload := range payloads {
		g, err := readGrants(payload)
		if err != nil {
			return nil, err
		}
		r := WalkedRecord{Disabled: g.disabled, Parents: g.parents}
		for _, grant := range g.grants {
			r.Grants = append(r.Grants, WalkedAssignment{grant.assignment, grant.role, grant.kind, grant.scope, grant.effect, grant.expires})
		}
		all = append(all, r)
	}
	return all, nil
}

// WalkRecords reads them as one decision does: in one walk. Roles other than those that
// are named do not exist.
func WalkRecords(roles []string, payloads ...string) (all []WalkedRecord, err error) {
	known, names := map[string]*authz.Role{}, map[*authz.Role]string{}
	for _, id := range roles {
		if known[id] == nil {
			known[id] = new(authz.Role)
			names[known[id]] = id
		}
	}
	w := walk{tenant: &TenantView{roles: known}, memory: &walkMemory{seen: map[authz.Principal]struct{}{}}}
	var ends []int
	for _, payload := range payloads {
		before := len(w.memory.queue)
		if err := w.record(payload, authz.Principal{ID: "p"}, true); err != nil {
			return nil, err
		}
		r := WalkedRecord{Disabled: w.disabled}
		r.Parents = append(r.Parents, w.memory.queue[before:]...)
		all, ends = append(all, r), append(ends, len(w.memory.grants))
	}
	if err := w.settle(); err != nil {
		return nil, err
	}
	from := 0
	for i, end := range ends {
		for _, g := range w.grants[from:end] {
			all[i].Grants = append(all[i].Grants, WalkedAssignment{g.AssignmentID, names[g.Role], g.Principal.Type, g.Scope, g.Effect, g.Expires})
		}
		from = end
	}
	return all, nil
}

// GrantsSection is the number of the section that walks read.
const GrantsSection = int(grantsSection)
