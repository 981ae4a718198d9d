package explain

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A candidate is an assignment, with the effect ALLOW, that could be made.
type candidate struct {
	holder *holder
	def    *authz.RoleDefinition
	role   *authz.Role
	// security is what the role, or the one that comes along with it, gives in the
	// environment's database; nil where there is none or it gives nothing there.
	security    *authz.SecurityRole
	environment string // of the scope; empty above
	unit        string // that the role would be held in
	scope       authz.Scope
	width       int // how wide the scope is
	weight      *weight
	covers      uint64 // the needs that it meets alone
}

// A weight is what a role gives, so that two roles can be added up.
type weight struct {
	permissions authz.Set
	environment string
	reaches     []authz.Reach // table by table, privilege by privilege
	size        int
}

func weigh(c *candidate, db *authz.Database) *weight {
	w := &weight{permissions: c.role.GrantSet()}
	w.size = w.permissions.Len()
	if c.security == nil {
		return w
	}
	w.environment = c.environment
	w.reaches = make([]authz.Reach, 0, db.Len()*len(authz.TablePrivileges())+1)
	for table := 1; table <= db.Len(); table++ {
		for _, p := range authz.TablePrivileges() {
			w.reaches = append(w.reaches, c.security.Reach(authz.TableID(table), p))
		}
	}
	if c.security.ActsOnBehalf() {
		w.reaches = append(w.reaches, 1)
	}
	for _, reach := range w.reaches {
		w.size += int(reach)
	}
	return w
}

// together is the size of what two roles give.
func together(a, b *weight) int {
	long, short := a.permissions, b.permissions
	if len(long) < len(short) {
		long, short = short, long
	}
	n := 0
	for i, word := range long {
		if i < len(short) {
			word |= short[i]
		}
		n += bits.OnesCount64(word)
	}
	most, least := a.reaches, b.reaches
	if len(most) < len(least) {
		most, least = least, most
	}
	apart := a.environment != b.environment
	for i, reach := range most {
		if i < len(least) {
			if apart {
				reach += least[i]
			} else {
				reach = max(reach, least[i])
			}
		}
		n += int(reach)
	}
	return n
}

// width orders scopes: what lies below another is narrower.
func width(chain []authz.Scope, kind authz.ScopeKind) int {
	const more = 1 << 10 // than the places of a chain
	order := map[authz.ScopeKind]int{
		authz.ResourceScope: 0, authz.BusinessUnitScope: 1, authz.EnvironmentScope: 2, authz.EnvironmentGroupScope: 3, authz.TenantScope: 4,
	}
	return (order[kind]+1)*more - len(chain)
}

// A holder is somebody who could be assigned a role.
type holder struct {
	authz.Principal
	kind     authz.HolderKind
	disabled bool
	// why says why nothing can be assigned to it; empty: something can.
	why          string
	environments map[string]place
}

// A place is what an environment knows of a holder.
type place struct {
	database, added, disabled, service bool
	unit                               string // its business unit
	// kind is what it was added to the environment as.
	kind authz.HolderKind
}

// A finder finds what could be assigned. It lives as long as the transaction that it reads in.
type finder struct {
	x       *Explainer
	reader  *snapshot.Reader
	tenant  string
	tree    *authz.Hierarchy
	now     int64
	defs    []authz.RoleDefinition
	holders map[authz.Principal]*holder
	weights map[string]*weight // by role and environment
}

func (x *Explainer) finder(r *snapshot.Reader, tenant string, now int64) (*finder, error) {
	f := &finder{x: x, reader: r, tenant: tenant, now: now, holders: map[authz.Principal]*holder{}, weights: map[string]*weight{}}
	var err error
	if f.tree, err = r.Hierarchy(tenant); err != nil {
		return nil, err
	}
	custom, err := r.RoleDefinitions(tenant)
	f.defs = slices.Concat(x.Roles, custom)
	return f, err
}

// holder reads what matters of somebody who is to be assigned a role.
func (f *finder) holder(p authz.Principal) (*holder, error) {
	if h := f.holders[p.Key()]; h != nil {
		return h, nil
	}
	h := &holder{Principal: p, kind: holderKind(p.Type), environments: map[string]place{}}
	listed := false
	for _, kind := range []authz.PrincipalType{authz.User, authz.ApplicationUser} {
		record, ok, err := f.reader.Principal(f.tenant, authz.Principal{Type: kind, ID: p.ID})
		if err != nil {
			return nil, err
		}
		listed = listed || ok
		h.disabled = h.disabled || record.Disabled
	}
	tenant, _ := f.reader.Tenant(f.tenant)
	switch {
	case h.disabled && !f.x.AllowDisabled:
		h.why = fmt.Sprintf("%s is disabled: enable it first", p)
	case tenant.DirectoryComplete && !listed:
		h.why = fmt.Sprintf("the tenant's directory, which is declared complete, does not list %s: list it first", p)
	}
	f.holders[p.Key()] = h
	return h, nil
}

func holderKind(t authz.PrincipalType) authz.HolderKind {
	if t == authz.ApplicationUser {
		return authz.ApplicationUserHolder
	}
	return authz.UserHolder
}

// place reads what an environment knows of a holder.
func (f *finder) place(h *holder, environment string) (place, error) {
	if at, known := h.environments[environment]; known {
		return at, nil
	}
	var at place
	e, _, _, err := f.reader.EnvironmentOf(f.tenant, environment)
	if err != nil {
		return at, err
	}
	if at.database = e.Dataverse; at.database {
		user, ok, err := f.reader.EnvironmentUser(f.tenant, environment, h.Principal)
		if err != nil {
			return at, err
		}
		at.added, at.disabled, at.service = ok, user.Disabled, user.ServiceInstalled
		if ok {
			at.kind = holderKind(user.Type)
		}
		if at.unit, _, err = f.reader.BusinessUnitOf(f.tenant, environment, user.BusinessUnit); err != nil {
			return at, err
		}
	}
	h.environments[environment] = at
	return at, nil
}

// candidates returns every assignment to the holder, at one of the scopes, that could be made
// and that the predicate finds of use.
func (f *finder) candidates(h *holder, scopes []authz.Scope, useful func(*candidate) bool) ([]*candidate, error) {
	var all []*candidate
	if h.why != "" {
		return nil, nil
	}
	for _, scope := range scopes {
		_, named, err := authz.ParseScope(string(scope), f.x.Catalogues.FoldCase())
		if err != nil {
			return nil, err
		}
		chain, err := f.tree.Chain(scope, f.x.Catalogues.FoldCase())
		if err != nil {
			return nil, err
		}
		for i := range f.defs {
			c, err := f.candidate(h, &f.defs[i], named, chain)
			if err != nil {
				return nil, err
			}
			if c == nil || !useful(c) {
				continue
			}
			if err := f.weigh(c); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// candidate returns the assignment of a role at a scope; nil where it cannot be made. What
// the holder has there already stands in the way of nothing that could help: an ALLOW has
// said all it says, a DENY or FORBID of the role outdoes an ALLOW of it, and what has expired
// makes way.
func (f *finder) candidate(h *holder, def *authz.RoleDefinition, named authz.NamedScope, chain []authz.Scope) (*candidate, error) {
	scope := chain[0]
	if !def.AssignableAt(chain) {
		return nil, nil
	}
	c := &candidate{holder: h, def: def, scope: scope, environment: named.Environment, width: width(chain, named.Kind)}
	var ok bool
	if c.role, ok = f.reader.Role(f.tenant, def.ID); !ok {
		return nil, nil
	}
	check := authz.Candidate{Effect: authz.AssignAllow, Holder: h.kind, Origin: authz.ByAssignment, Disabled: h.disabled, AllowDisabled: f.x.AllowDisabled}
	if named.Environment != "" {
		at, err := f.place(h, named.Environment)
		if err != nil {
			return nil, err
		}
		check.HasDatabase, check.InEnvironment, check.ServiceInstalled = at.database, at.added, at.service
		check.Disabled = check.Disabled || at.disabled
		if c.unit = at.unit; named.Kind == authz.BusinessUnitScope {
			c.unit = named.ID
		}
		check.BusinessUnit = c.unit
		if at.kind != authz.NoHolder {
			check.Holder = at.kind
		}
		switch {
		case at.database && def.IsSecurityRole():
			if c.security, err = f.reader.SecurityRole(f.tenant, named.Environment, def.ID); err != nil {
				return nil, err
			}
		case at.database && def.Terms != nil && def.Terms.Companion != "":
			if c.security, ok, err = f.companionHeld(def.Terms.Companion, named.Environment, check); err != nil || !ok {
				return nil, err
			}
		}
	}
	if refused := def.CheckAssignment(check); refused == nil {
		return c, nil
	}
	return nil, nil
}

// companionHeld finds the security role that comes along with an assignment of another one.
// ok is false where it may not be held, and so the other one not assigned.
func (f *finder) companionHeld(id, environment string, check authz.Candidate) (role *authz.SecurityRole, ok bool, err error) {
	def := f.definition(id)
	if def == nil {
		return nil, true, nil
	}
	check.Origin = authz.ByCompanion
	if refused := def.CheckAssignment(check); refused == nil {
		role, err = f.reader.SecurityRole(f.tenant, environment, id)
		return role, true, err
	}
	return nil, false, nil
}

func (f *finder) weigh(c *candidate) error {
	key := c.def.ID
	var db *authz.Database
	if c.security != nil {
		key += "\x00" + c.environment
		var err error
		if db, err = f.reader.Database(f.tenant, c.environment); err != nil {
			return err
		}
	}
	w := f.weights[key]
	if w == nil {
		w = weigh(c, db)
		f.weights[key] = w
	}
	c.weight = w
	return nil
}

// A choice is one candidate or two, in the order in which choices are compared.
type choice struct {
	of   []*candidate
	size int
}

// compare orders choices: what gives less comes first, then what is given at narrower scopes,
// then the fewer assignments, then the roles by identifier.
func (a *choice) compare(b *choice) int {
	if c := cmp.Compare(a.size, b.size); c != 0 {
		return c
	}
	if c := cmp.Compare(a.width(), b.width()); c != 0 {
		return c
	}
	if c := cmp.Compare(len(a.of), len(b.of)); c != 0 {
		return c
	}
	return cmp.Or(slices.Compare(a.widths(), b.widths()), strings.Compare(a.names(), b.names()))
}

func (a *choice) width() int { return a.widths()[0] }

// widths are those of the scopes, the widest first.
func (a *choice) widths() []int {
	all := make([]int, 0, len(a.of))
	for _, c := range a.of {
		all = append(all, c.width)
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Compare(b, a) })
	return all
}

func (a *choice) names() string {
	all := make([]string, 0, len(a.of))
	for _, c := range a.of {
		all = append(all, c.def.ID+"\x00"+string(c.scope)+"\x00"+c.holder.ID)
	}
	slices.Sort(all)
	return strings.Join(all, "\x00")
}
