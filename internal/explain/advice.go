package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// advise says what it takes where no assignment helps, and what to know where one does.
func (w *writer) advise(m *Mend, q *refused) error {
	say := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(m.Advice, text) {
			m.Advice = append(m.Advice, text)
		}
	}
	if len(m.Assignments) > 0 {
		if blocked := w.inTheWay(q, authz.AssignDeny); len(blocked) > 0 {
			say("an assignment below a DENY takes Authorization.RoleAssignments.Write at the scope of the DENY, too")
		}
		return nil
	}
	if text := helplessly(q); text != "" {
		say("%s", text)
		return nil
	}
	if q.answer.Subject == nil {
		return nil
	}
	if err := w.obstacles(m, q, say); err != nil {
		return err
	}
	if len(q.trace.GrantedTo) > 0 && !grantedTo(q.answer.Subject, q.trace.GrantedTo) {
		say("no assignment helps: the route is open only to direct holders of certain directory roles; give the caller one of them in the directory, and sign in again")
	}
	who, err := w.f.holder(q.answer.Subject.Principal())
	if err != nil {
		return err
	}
	if who.why != "" {
		say("%s", who.why)
	}
	w.adviseRecords(q, say)
	if len(m.Advice) == 0 {
		return w.adviseNeeds(q, say)
	}
	return nil
}

// helplessly says what to do about refusals that have nothing to do with assignments.
func helplessly(q *refused) string {
	why := q.answer.Detail
	if why != "" {
		why = " (" + why + ")"
	}
	switch q.answer.Reason {
	case authz.BadRequest:
		return "no assignment helps: correct the request" + why
	case authz.Unauthenticated:
		return "no assignment helps: sign in, and send the credentials with the request" + why
	case authz.Unmapped:
		return "no assignment helps: the catalogue maps this to no permission" + why + "; declare the permission or a route, or the table in the environment"
	case authz.CrossTenant:
		return "no assignment helps: ask with an identity of the tenant that the request names"
	case authz.UnknownScope:
		return "no assignment helps: list the environment, environment group or business unit in the tenant first, or correct the request"
	case authz.NotReady:
		return "no assignment helps: wait until the server has loaded its data; its status says what is in the way"
	case authz.Stale:
		return "no assignment helps: the server's data is too old; its status says why its source is silent"
	case authz.PrincipalDisabled:
		return "no assignment helps: the principal is disabled; enable it"
	case authz.GroupsUnknown:
		return "let the token name its groups, or have the tenant's directory kept here and declared complete; then explain again"
	case authz.DelegatedScopeMissing:
		missing := make([]string, 0, len(q.answer.Missing))
		for _, permission := range q.answer.Missing {
			missing = append(missing, string(permission))
		}
		return "no assignment helps: the application was not delegated " + strings.Join(missing, ", ") + "; consent to it"
	case authz.Internal:
		return "no assignment helps: the decision failed; the log says why"
	default:
		return ""
	}
}

// obstacles are the assignments that deny and that no assignment at a nearer scope outdoes.
func (w *writer) obstacles(m *Mend, q *refused, say func(string, ...any)) error {
	for _, g := range slices.Concat(w.inTheWay(q, authz.AssignForbid), w.inTheWay(q, authz.AssignDeny)) {
		if !w.sees(g.AssignmentID, g.Scope, g.Effect) {
			say("no assignment helps: another takes the permission away that you may not read; ask an administrator of the tenant")
			continue
		}
		a := Assignment{
			ID: g.AssignmentID, Principal: g.Principal, RoleID: g.Role.ID(), RoleName: g.Role.Name(),
			Scope: g.Scope, Effect: g.Effect, Expires: g.Expires,
		}
		if !slices.Contains(m.InTheWay, a) {
			m.InTheWay = append(m.InTheWay, a)
		}
		what := fmt.Sprintf("no assignment helps: remove the %s assignment %s", g.Effect, g.AssignmentID)
		if g.Principal.Key() != q.answer.Subject.Principal().Key() {
			what += fmt.Sprintf(", or take the caller out of %s", g.Principal)
		}
		say("%s", what)
	}
	return nil
}

// inTheWay are the live assignments of an effect that take one of the refused permissions away.
func (w *writer) inTheWay(q *refused, effect authz.AssignmentEffect) []*authz.Grant {
	t := q.trace
	var all []*authz.Grant
	for _, permission := range t.Platform.Permissions {
		for _, chain := range t.Platform.Chains {
			pair := t.Platform
			pair.Permissions, pair.Chains = []authz.PermissionID{permission}, [][]authz.Scope{chain}
			if authz.Decide(t.Grants, pair, t.Now).Allowed() {
				continue
			}
			grants := t.Grants.All()
			for i := range grants {
				g := &grants[i]
				live := g.Expires == 0 || t.Now < g.Expires
				if g.Effect == effect && live && g.Role.Takes(permission) && slices.Contains(chain, g.Scope) && !slices.Contains(all, g) {
					all = append(all, g)
				}
			}
		}
	}
	return all
}

// adviseRecords says what opens records besides roles.
func (w *writer) adviseRecords(q *refused, say func(string, ...any)) {
	t := q.trace
	for i := range t.Records {
		r := &t.Records[i]
		d := authz.DecideRecord(t.Database, *r, t.Now)
		if d.Allowed() {
			continue
		}
		about := q.answer.Subject.Principal()
		who := r.Caller
		if d.ActingFor && q.request.OnBehalfOf != nil {
			who, about = r.ActingFor, q.request.OnBehalfOf.Principal()
		}
		switch {
		case who == nil:
			say("add %s to the environment %s first: nobody else holds security roles there", about, t.Environment)
		case d.Denial == authz.LacksColumn:
			say("give %s a column profile that opens the column %q: roles do not", about, d.Column)
		}
	}
}

// adviseNeeds says why no assignment that can be made is enough.
func (w *writer) adviseNeeds(q *refused, say func(string, ...any)) error {
	needs, _, err := w.f.needs(q)
	if err != nil {
		return err
	}
	single := true
	for i := range needs {
		n := &needs[i]
		if !n.granted {
			say("no role gives %s: create a custom role that does", n.text)
			single = false
			continue
		}
		best, err := w.f.smallest(needs[i : i+1])
		if err != nil {
			return err
		}
		if best == nil {
			say("no role that gives %s can be assigned to %s there: create a custom role that can", n.text, q.answer.Subject.Principal())
			single = false
		}
	}
	if single && len(needs) > 1 {
		say("it takes more than two assignments, one or more for each permission at each scope; see what each lacks, and assign a wider role above them all if that is meant")
	}
	return nil
}
