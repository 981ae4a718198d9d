package admin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The roles that an operator can give, by their names among the shipped ones.
const (
	ownerRole         = "Power Platform Owner"
	administratorRole = "Power Platform Role Based Access Control Administrator"
)

const emergencyNotes = "admin/emergencies"

// An emergencyNote is kept beside a break-glass assignment for as long as that exists.
type emergencyNote struct {
	Tenant        string `json:"tenant"`
	ID            string `json:"roleAssignmentId"`
	Justification string `json:"justification"`
}

func emergencyKey(tenant, id string) string { return hashedKey(tenant, id) }

// operatorRole finds the role that an operator gives.
func (t *txn) operatorRole(owner bool) (authz.RoleDefinition, error) {
	name := administratorRole
	if owner {
		name = ownerRole
	}
	key := authz.RoleNameKey(name)
	i := slices.IndexFunc(t.a.shipped, func(def authz.RoleDefinition) bool { return authz.RoleNameKey(def.Name) == key })
	if i < 0 {
		return authz.RoleDefinition{}, failf(RoleUnknown, "Owner", "", "there is no built-in role %q here", name)
	}
	return t.a.shipped[i], nil
}

// Bootstrap gives an empty store its first administrator, for good. It needs an operator,
// and is refused as soon as there is any role assignment in any tenant.
func (a *Admin) Bootstrap(ctx context.Context, c Caller, q BootstrapRequest) (RoleAssignmentResult, error) {
	return mutate(ctx, a, c, "Bootstrap", operators, q, &q.Context, func(t *txn) (RoleAssignmentResult, error) {
		var none RoleAssignmentResult
		if err := t.bootstrappedTenant(); err != nil {
			return none, err
		}
		principal, err := a.principal("Principal", q.Principal, callerTypes...)
		if err != nil {
			return none, err
		}
		def, err := t.operatorRole(q.Owner)
		if err != nil {
			return none, err
		}
		for _, tenant := range t.e.Tenants() {
			for _, err := range t.e.RoleAssignmentsUnder(tenant, rootOf(tenant)) {
				if err != nil {
					return none, err
				}
				return none, fail(NotEmpty, "", "the store holds role assignments already", "let an administrator assign the role, or break glass")
			}
		}
		if err := t.enabled(principal); err != nil {
			return none, err
		}
		if _, listed := t.e.Tenant(t.tenant); !listed {
			if err := t.putTenant(nil, false); err != nil {
				return none, err
			}
		}
		as := t.operatorAssignment(principal, &def, 0)
		t.changed = true
		return RoleAssignmentResult{RoleAssignment: RoleAssignment{as, def.Name}}, t.putAssignment(&as)
	})
}

// bootstrappedTenant checks the tenant that an operator names: it stands in scopes and in
// tokens, and must be the same in both.
func (t *txn) bootstrappedTenant() error {
	if t.tenant == "" {
		return fail(Invalid, "Tenant", "an operator must name the tenant", "")
	}
	if id, err := t.a.pathID("Tenant", t.tenant); err != nil || id != t.tenant {
		return fail(Invalid, "Tenant", "a tenant's identifier must not hold characters that are escaped in a path", "")
	}
	return nil
}

// enabled refuses a disabled principal: what it is assigned would be worth nothing.
func (t *txn) enabled(p authz.Principal) error {
	disabled, err := isDisabled(t.e, t.tenant, p)
	if err == nil && disabled {
		err = failf(PrincipalDisabled, "Principal", "choose another", "the principal %s is disabled", p)
	}
	return err
}

func (t *txn) operatorAssignment(p authz.Principal, def *authz.RoleDefinition, expires int64) snapshot.RoleAssignment {
	return snapshot.RoleAssignment{
		ID: newID(), Principal: p, RoleDefinitionID: def.ID, Scope: rootOf(t.tenant), Effect: authz.AssignAllow,
		Expires: expires, CreatedOn: t.now,
	}
}

// BreakGlass gives somebody an administrator's role at a tenant for a short time, past every
// guard, when nobody else can help. It needs an operator and a justification. It is logged
// as an error, and shown until it ends.
func (a *Admin) BreakGlass(ctx context.Context, c Caller, q BreakGlassRequest) (RoleAssignmentResult, error) {
	result, err := mutate(ctx, a, c, "BreakGlass", operators, q, &q.Context, func(t *txn) (RoleAssignmentResult, error) {
		return t.breakGlass(&q)
	})
	if err == nil && !result.Replayed {
		as := &result.RoleAssignment
		a.log.ErrorContext(ctx, "glass was broken: an operator made somebody an administrator", "scope", string(as.Scope),
			"principal", as.Principal.ID, "principal_type", as.Principal.Type.String(), "role", as.RoleDefinitionName,
			"expires", timeText(as.Expires), "justification", q.Justification, "from", c.From, "revision", result.Revision.Number)
	}
	return result, err
}

func (t *txn) breakGlass(q *BreakGlassRequest) (RoleAssignmentResult, error) {
	var none RoleAssignmentResult
	if err := t.bootstrappedTenant(); err != nil {
		return none, err
	}
	if q.Justification == "" {
		return none, fail(Invalid, "Justification", "to break glass needs a justification", "say why")
	}
	duration := q.Duration
	if duration == 0 {
		duration = DefaultBreakGlass
	}
	if duration < time.Second || duration > MaxBreakGlass {
		return none, failf(Invalid, "Duration", "", "want a duration of a second to %s", MaxBreakGlass)
	}
	principal, err := t.a.principal("Principal", q.Principal, callerTypes...)
	if err != nil {
		return none, err
	}
	def, err := t.operatorRole(q.Owner)
	if err != nil {
		return none, err
	}
	if _, listed := t.e.Tenant(t.tenant); !listed {
		return none, failf(NotFound, "Tenant", "bootstrap it", "there is no tenant %q", t.tenant)
	}
	if err := t.enabled(principal); err != nil {
		return none, err
	}
	as := t.operatorAssignment(principal, &def, t.now+int64(duration/time.Second))
	way, err := t.makeWay(&as)
	if err != nil {
		return none, err
	}
	for _, old := range way {
		if err := t.removeAssignment(old); err != nil {
			return none, err
		}
	}
	if err := t.forgetEmergencies(); err != nil {
		return none, err
	}
	note, err := json.Marshal(emergencyNote{t.tenant, as.ID, q.Justification})
	if err != nil {
		return none, err
	}
	if err := t.e.PutNote(emergencyNotes, emergencyKey(t.tenant, as.ID), note); err != nil {
		return none, err
	}
	t.changed = true
	return RoleAssignmentResult{RoleAssignment: RoleAssignment{as, def.Name}}, t.putAssignment(&as)
}

// endEmergency forgets that an assignment was made by breaking glass.
func (t *txn) endEmergency(id string) error {
	key := emergencyKey(t.tenant, id)
	note, err := t.e.Note(emergencyNotes, key)
	if err != nil || note == nil {
		return err
	}
	return t.e.PutNote(emergencyNotes, key, nil)
}

// forgetEmergencies removes the notes of those that have ended.
func (t *txn) forgetEmergencies() error {
	var ended []string
	for note, err := range t.e.Notes(emergencyNotes, "") {
		if err != nil {
			return err
		}
		if _, ok, err := emergency(t.e, note, t.now); err != nil {
			return err
		} else if !ok {
			ended = append(ended, note.Key)
		}
	}
	for _, key := range ended {
		if err := t.e.PutNote(emergencyNotes, key, nil); err != nil {
			return err
		}
	}
	return nil
}

func emergency(r Reader, note Note, now int64) (Emergency, bool, error) {
	var n emergencyNote
	if err := json.Unmarshal(note.Value, &n); err != nil {
		return Emergency{}, false, err
	}
	as, ok, err := r.RoleAssignment(n.Tenant, n.ID)
	if err != nil || !ok || as.Expires != 0 && as.Expires <= now {
		return Emergency{}, false, err
	}
	return Emergency{Tenant: n.Tenant, RoleAssignment: as, Justification: n.Justification}, true, nil
}

// Emergencies returns the break-glass assignments that have not ended, the one that ends
// first before the others. It is for status and metrics, and asks nobody who they are.
func (a *Admin) Emergencies(ctx context.Context) ([]Emergency, error) {
	var all []Emergency
	err := a.store.Read(ctx, func(r Reader) error {
		all = nil
		for note, err := range r.Notes(emergencyNotes, "") {
			if err != nil {
				return err
			}
			e, ok, err := emergency(r, note, r.Now().Unix())
			if err != nil {
				return err
			}
			if ok {
				all = append(all, e)
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Emergency) int {
		if a.RoleAssignment.Expires != b.RoleAssignment.Expires {
			return int(a.RoleAssignment.Expires - b.RoleAssignment.Expires)
		}
		return compareText(a.RoleAssignment.ID, b.RoleAssignment.ID)
	})
	return all, err
}
