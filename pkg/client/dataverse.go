package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A DataverseQuestion is what goes with a question for a permission of a Dataverse table,
// Dataverse.{Table}.{Privilege}. The zero DataverseQuestion is about all of the table.
type DataverseQuestion struct {
	// Record is what is known of the record; nil: the question is about all of the table.
	Record *Record
	// Columns are the ones that are to be read or set; AllColumns stands for all of them.
	Columns    []string
	AllColumns bool
	// OnBehalfOf is whom the subject acts for, of the same tenant; nil: itself. Both must be
	// allowed.
	OnBehalfOf *Subject
	// Relate is what the record is to be attached to, with the privilege Append; nil: nothing.
	Relate *Relate
}

// A Record is what is known of a Dataverse record. Of which neither the owner nor the
// business unit is told counts as all of the table.
type Record struct {
	// ID finds the shares that the server knows.
	ID string
	// Owner owns the record, or will own the one that is created: an [authz.User], an
	// [authz.ApplicationUser] or an [authz.Team]; zero where it is not told.
	Owner authz.Principal
	// BusinessUnit is the one that the record belongs to; empty where it is not told.
	BusinessUnit string
}

// Relate is what a record is to be attached to.
type Relate struct {
	// Table is the other table's name.
	Table string
	// Record is the record that is attached to; nil: any of the table.
	Record *Record
	// ManyToMany says that each is attached to the other.
	ManyToMany bool
}

func (q *DataverseQuestion) validate() error {
	if q == nil {
		return nil
	}
	errs := []error{q.Record.validate("record")}
	if q.OnBehalfOf != nil {
		if q.OnBehalfOf.nobody() { // else it would be taken for the subject itself
			errs = append(errs, errors.New("on_behalf_of: the zero Subject is nobody"))
		} else if err := q.OnBehalfOf.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("on_behalf_of: %w", err))
		}
	}
	if q.Relate != nil {
		errs = append(errs, q.Relate.Record.validate("relate.record"))
		if q.Relate.Table == "" {
			errs = append(errs, errors.New("relate.table: missing"))
		}
	}
	return errors.Join(errs...)
}

func (r *Record) validate(field string) error {
	if r == nil || r.Owner == (authz.Principal{}) {
		return nil
	}
	switch r.Owner.Type {
	case authz.User, authz.ApplicationUser, authz.Team:
	default:
		return fmt.Errorf("%s.owner.type: %q: want User, ApplicationUser or Team", field, r.Owner.Type)
	}
	if r.Owner.ID == "" {
		return fmt.Errorf("%s.owner.id: missing", field)
	}
	return nil
}

func (q *DataverseQuestion) fill(target *pathgrantv1.PermissionTarget) {
	if q == nil {
		return
	}
	target.Record, target.Columns, target.AllColumns = q.Record.message(), q.Columns, q.AllColumns
	if q.OnBehalfOf != nil {
		target.OnBehalfOf = q.OnBehalfOf.message()
	}
	if q.Relate != nil {
		target.Relate = &pathgrantv1.RelateTarget{Table: q.Relate.Table, Record: q.Relate.Record.message(), ManyToMany: q.Relate.ManyToMany}
	}
}

func (r *Record) message() *pathgrantv1.DataverseRecord {
	if r == nil {
		return nil
	}
	in := &pathgrantv1.DataverseRecord{Id: r.ID, BusinessUnit: r.BusinessUnit}
	if r.Owner.ID != "" {
		in.Owner = &pathgrantv1.Principal{Type: principalTypeMessage(r.Owner.Type), Id: r.Owner.ID}
	}
	return in
}

func principalTypeMessage(t authz.PrincipalType) pathgrantv1.PrincipalType {
	switch t {
	case authz.User:
		return pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER
	case authz.ApplicationUser:
		return pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER
	case authz.Team:
		return pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM
	default:
		return pathgrantv1.PrincipalType_PRINCIPAL_TYPE_UNSPECIFIED
	}
}

// A DataverseDecision says how a question about a record was decided.
type DataverseDecision struct {
	// Permission is the one that it is about: the first that is missing, or else the first.
	Permission authz.Permission
	// ActingFor says that it is about the one acted for.
	ActingFor bool
	// Access is what gave access, and Lack what a refusal lacked.
	Access authz.AccessStep
	Lack   authz.DataverseDenial
	// Reach is how far the role that decided gives the privilege; on a refusal, the farthest
	// that any does. Needed is the least that would have done.
	Reach, Needed authz.Reach
	// Column is the first that may not be read or set.
	Column string
}

func dataverseOf(in *pathgrantv1.DataverseDecision) *DataverseDecision {
	if in == nil {
		return nil
	}
	return &DataverseDecision{
		Permission: authz.Permission(in.GetPermission()), ActingFor: in.GetActingFor(), Column: in.GetColumn(),
		Access: numbered(in.GetAccess(), authz.DirectAccess), Lack: numbered(in.GetLack(), authz.LacksOnBehalf),
		Reach: numbered(in.GetReach(), authz.OrganizationReach), Needed: numbered(in.GetNeededReach(), authz.OrganizationReach),
	}
}

// numbered is a value of the contract that has the same number here; zero where this package
// does not know it.
func numbered[E ~int32, T ~uint8](in E, last T) T {
	if in < 0 || int64(in) > int64(last) {
		return 0
	}
	return T(in)
}

// A CompositeQuestion asks whether a subject may do what takes several things at once.
type CompositeQuestion struct {
	Subject Subject
	// Composite is its name in the catalogue, such as run-only-flow or run-app.
	Composite string
	// Scope is the environment, and Object the flow or app of it.
	Scope  authz.Scope
	Object string
	// Connectors and Facts are what only the asker knows, such as office365 and licence. What
	// is not stated is unknown, and never passes.
	Connectors, Facts map[string]bool
}

// A CompositeDecision says what became of every layer. The zero CompositeDecision denies.
type CompositeDecision struct {
	// Reason is GRANTED where every layer passed, and else that of the first that did not.
	Reason authz.Reason
	// Layers are all that it takes; empty where the question was refused before that.
	Layers []Layer
	// Revision is what everything here was read from; zero where nothing was read.
	Revision authz.Revision
	// ID names the decision in the server's decision log.
	ID string
	// Detail says what was in the way, for people to read.
	Detail string
}

// Allowed tells whether every layer passed.
func (d CompositeDecision) Allowed() bool { return d.Reason.Effect() == authz.Allow }

// A LayerState is PASSED, FAILED or UNKNOWN; anything else has failed.
type LayerState string

// The states.
const (
	LayerPassed  LayerState = "PASSED"
	LayerFailed  LayerState = "FAILED"
	LayerUnknown LayerState = "UNKNOWN"
)

// A Layer is one of the things that a composite takes.
type Layer struct {
	Name         string
	State        LayerState
	Reason       authz.Reason
	Mend         string
	Requirements []Requirement
}

// A Requirement is one thing that a layer takes.
type Requirement struct {
	State  LayerState
	Reason authz.Reason
	// Text says what is required.
	Text string
	// OfMaker says that the access of the flow's maker counts, not the subject's.
	OfMaker bool
	// Principal is whose access it is about; zero: nobody's.
	Principal authz.Principal
	// Permission and Scope are what was asked for; empty where it is no permission.
	Permission authz.Permission
	Scope      authz.Scope
	// Detail says what was in the way, and Mend what would mend it.
	Detail, Mend string
}

// CheckComposite asks one composite question. Refusals and errors are as of [Client.Check].
func (c *Client) CheckComposite(ctx context.Context, q CompositeQuestion, options ...CallOption) (CompositeDecision, error) {
	err := q.Subject.Validate()
	if q.Composite == "" || q.Scope == "" || q.Object == "" {
		err = errors.Join(err, errors.New("composite, scope and object: want all of them"))
	}
	if err != nil {
		return CompositeDecision{}, fmt.Errorf("check composite: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.CheckComposite(ctx, &pathgrantv1.CheckCompositeRequest{
		Question: &pathgrantv1.CompositeQuestion{
			Subject: q.Subject.message(), Composite: q.Composite, Scope: string(q.Scope), Object: q.Object,
			Connectors: q.Connectors, Facts: q.Facts,
		},
		AtLeastRevision: calling(options).atLeast,
	})
	if err != nil {
		return CompositeDecision{}, fmt.Errorf("check composite: %w", err)
	}
	return compositeOf(response.GetDecision()), nil
}

// compositeOf reads a decision and believes no allow that contradicts itself.
func compositeOf(in *pathgrantv1.CompositeDecision) CompositeDecision {
	d := CompositeDecision{
		Reason: reasonOf(in.GetReason()), ID: in.GetDecisionId(), Detail: in.GetDetail(),
		Revision: authz.Revision{Epoch: in.GetRevision().GetEpoch(), Number: in.GetRevision().GetNumber()},
	}
	passed := len(in.GetLayers()) > 0
	for _, l := range in.GetLayers() {
		layer := Layer{Name: l.GetName(), State: layerStateOf(l.GetState()), Reason: reasonOf(l.GetReason()), Mend: l.GetMend()}
		for _, q := range l.GetRequirements() {
			layer.Requirements = append(layer.Requirements, Requirement{
				State: layerStateOf(q.GetState()), Reason: reasonOf(q.GetReason()), Text: q.GetText(),
				OfMaker:    q.GetOf() == pathgrantv1.CompositeParty_COMPOSITE_PARTY_MAKER,
				Principal:  authz.Principal{Type: principalTypeOf(q.GetPrincipal().GetType()), ID: q.GetPrincipal().GetId()},
				Permission: authz.Permission(q.GetPermission()), Scope: authz.Scope(q.GetScope()), Detail: q.GetDetail(), Mend: q.GetMend(),
			})
		}
		passed = passed && layer.State == LayerPassed
		d.Layers = append(d.Layers, layer)
	}
	allow := in.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW
	if allow != d.Allowed() || allow != passed {
		d.Detail = fmt.Sprintf("the server's answer contradicts itself: %v for %v", in.GetEffect(), in.GetReason())
		d.Reason = authz.Internal
	}
	return d
}

func layerStateOf(in pathgrantv1.LayerState) LayerState {
	switch state := LayerState(strings.TrimPrefix(in.String(), "LAYER_STATE_")); state {
	case LayerPassed, LayerUnknown:
		return state
	default:
		return LayerFailed
	}
}
