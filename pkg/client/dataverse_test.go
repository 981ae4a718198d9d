package client_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
)

// composing answers composite questions as it is told, besides.
type composing struct {
	*scripted
	asked  *pathgrantv1.CheckCompositeRequest
	answer *pathgrantv1.CompositeDecision
}

func (c *composing) CheckComposite(_ context.Context, in *pathgrantv1.CheckCompositeRequest) (*pathgrantv1.CheckCompositeResponse, error) {
	c.asked = in
	return &pathgrantv1.CheckCompositeResponse{Decision: c.answer}, nil
}

func account(q *client.DataverseQuestion) client.Question {
	return client.Question{Subject: user("ada"), Permission: "Dataverse.Account.Append", Scope: "/tenants/contoso/environments/e1", Dataverse: q}
}

func TestAQuestionAboutARecordIsSentWhole(t *testing.T) {
	var sent *pathgrantv1.PermissionTarget
	c := dial(t, &scripted{check: func(_ context.Context, _ int, in *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
		sent = in.GetQuestion().GetPermission()
		return &pathgrantv1.CheckResponse{Decision: &pathgrantv1.Decision{
			Effect: pathgrantv1.Effect_EFFECT_DENY, Reason: pathgrantv1.Reason_REASON_NO_ASSIGNMENT,
			Dataverse: &pathgrantv1.DataverseDecision{
				Permission: "Dataverse.Contact.AppendTo", ActingFor: true, Lack: pathgrantv1.DataverseLack_DATAVERSE_LACK_REACH,
				Reach: pathgrantv1.DataverseReach_DATAVERSE_REACH_USER, NeededReach: pathgrantv1.DataverseReach_DATAVERSE_REACH_PARENT_CHILD, Column: "rating", Access: 99,
			},
		}}, nil
	}})
	other := user("eve")
	d, err := c.Check(t.Context(), account(&client.DataverseQuestion{
		Record:  &client.Record{ID: "r1", Owner: authz.Principal{Type: authz.Team, ID: "t7"}, BusinessUnit: "b1"},
		Columns: []string{"name"}, AllColumns: true, OnBehalfOf: &other,
		Relate: &client.Relate{Table: "Contact", Record: &client.Record{Owner: authz.Principal{Type: authz.ApplicationUser, ID: "app"}}, ManyToMany: true},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&pathgrantv1.PermissionTarget{
		Permission: "Dataverse.Account.Append", Scope: "/tenants/contoso/environments/e1",
		Record:  &pathgrantv1.DataverseRecord{Id: "r1", Owner: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM, Id: "t7"}, BusinessUnit: "b1"},
		Columns: []string{"name"}, AllColumns: true,
		OnBehalfOf: &pathgrantv1.Subject{Tenant: "contoso", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: "eve"}},
		Relate: &pathgrantv1.RelateTarget{
			Table: "Contact", ManyToMany: true,
			Record: &pathgrantv1.DataverseRecord{Owner: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER, Id: "app"}},
		},
	}, sent, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&client.DataverseDecision{
		Permission: "Dataverse.Contact.AppendTo", ActingFor: true, Lack: authz.LacksReach, Reach: authz.UserReach, Needed: authz.ParentChildReach, Column: "rating",
	}, d.Dataverse); diff != "" || d.Allowed() {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHalfAQuestionAboutARecordIsNotSent(t *testing.T) {
	c := dial(t, answering(&pathgrantv1.Decision{Effect: pathgrantv1.Effect_EFFECT_ALLOW, Reason: pathgrantv1.Reason_REASON_GRANTED}))
	half := client.Subject{Tenant: "contoso"}
	for want, q := range map[string]client.Question{
		"record.owner.type: ":                  account(&client.DataverseQuestion{Record: &client.Record{Owner: authz.Principal{Type: authz.Group, ID: "g"}}}),
		"record.owner.id: missing":             account(&client.DataverseQuestion{Record: &client.Record{Owner: authz.Principal{Type: authz.User}}}),
		"relate.table: missing":                account(&client.DataverseQuestion{Relate: &client.Relate{}}),
		"relate.record.owner.id: missing":      account(&client.DataverseQuestion{Relate: &client.Relate{Table: "Contact", Record: &client.Record{Owner: authz.Principal{Type: authz.Team}}}}),
		"on_behalf_of: the zero Subject":       account(&client.DataverseQuestion{OnBehalfOf: &client.Subject{}}),
		"on_behalf_of: subject.principal.id: ": account(&client.DataverseQuestion{OnBehalfOf: &half}),
		"dataverse: goes with permission":      {Subject: user("ada"), HTTP: &client.HTTPRequest{Method: "GET", Path: "/"}, Dataverse: &client.DataverseQuestion{}},
	} {
		d, err := c.Check(t.Context(), q)
		if err == nil || !strings.Contains(err.Error(), want) || d.Allowed() {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestACompositeIsAskedAndItsLayersAreRead(t *testing.T) {
	passed := &pathgrantv1.CompositeLayer{Name: "flow", State: pathgrantv1.LayerState_LAYER_STATE_PASSED, Reason: pathgrantv1.Reason_REASON_GRANTED}
	service := &composing{scripted: &scripted{}, answer: &pathgrantv1.CompositeDecision{
		Effect: pathgrantv1.Effect_EFFECT_DENY, Reason: pathgrantv1.Reason_REASON_EXPIRED, DecisionId: "id", Detail: "failed: data",
		Revision: &pathgrantv1.Revision{Epoch: 3, Number: 4},
		Layers: []*pathgrantv1.CompositeLayer{passed, {
			Name: "data", State: pathgrantv1.LayerState_LAYER_STATE_FAILED, Reason: pathgrantv1.Reason_REASON_EXPIRED, Mend: "mend",
			Requirements: []*pathgrantv1.LayerRequirement{{
				State: 77, Reason: pathgrantv1.Reason_REASON_EXPIRED, Text: "Read", Of: pathgrantv1.CompositeParty_COMPOSITE_PARTY_MAKER,
				Principal:  &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: "mark"},
				Permission: "Dataverse.Account.Read", Scope: "/tenants/contoso/environments/e1", Detail: "detail", Mend: "assign",
			}},
		}, {Name: "licence", State: pathgrantv1.LayerState_LAYER_STATE_UNKNOWN}},
	}}
	c := dial(t, service)
	q := client.CompositeQuestion{
		Subject: user("ada"), Composite: "run-only-flow", Scope: "/tenants/contoso/environments/e1", Object: "f1",
		Connectors: map[string]bool{"mail": false}, Facts: map[string]bool{"licence": true},
	}
	d, err := c.CheckComposite(t.Context(), q, client.AtLeast(authz.Revision{Epoch: 3, Number: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&pathgrantv1.CheckCompositeRequest{
		Question: &pathgrantv1.CompositeQuestion{
			Subject:   &pathgrantv1.Subject{Tenant: "contoso", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: "ada"}},
			Composite: "run-only-flow", Scope: "/tenants/contoso/environments/e1", Object: "f1",
			Connectors: map[string]bool{"mail": false}, Facts: map[string]bool{"licence": true},
		},
		AtLeastRevision: &pathgrantv1.Revision{Epoch: 3, Number: 1},
	}, service.asked, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(client.CompositeDecision{
		Reason: authz.Expired, ID: "id", Detail: "failed: data", Revision: authz.Revision{Epoch: 3, Number: 4},
		Layers: []client.Layer{
			{Name: "flow", State: client.LayerPassed, Reason: authz.Granted},
			{Name: "data", State: client.LayerFailed, Reason: authz.Expired, Mend: "mend", Requirements: []client.Requirement{{
				State: client.LayerFailed, Reason: authz.Expired, Text: "Read", OfMaker: true, Principal: authz.Principal{Type: authz.User, ID: "mark"},
				Permission: "Dataverse.Account.Read", Scope: "/tenants/contoso/environments/e1", Detail: "detail", Mend: "assign",
			}}},
			{Name: "licence", State: client.LayerUnknown},
		},
	}, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	allow := &pathgrantv1.CompositeDecision{Effect: pathgrantv1.Effect_EFFECT_ALLOW, Reason: pathgrantv1.Reason_REASON_GRANTED, Layers: []*pathgrantv1.CompositeLayer{passed}}
	for name, change := range map[string]func(*pathgrantv1.CompositeDecision){
		"an allow":                          nil,
		"an allow without layers":           func(d *pathgrantv1.CompositeDecision) { d.Layers = nil },
		"an allow with a layer that failed": func(d *pathgrantv1.CompositeDecision) { d.Layers[0].State = pathgrantv1.LayerState_LAYER_STATE_FAILED },
		"an allow with a layer without any": func(d *pathgrantv1.CompositeDecision) { d.Layers[0].State = 0 },
		"an allow for a reason to deny":     func(d *pathgrantv1.CompositeDecision) { d.Reason = pathgrantv1.Reason_REASON_STALE },
		"a denial for a reason to allow":    func(d *pathgrantv1.CompositeDecision) { d.Effect = pathgrantv1.Effect_EFFECT_DENY },
		"an effect that nobody set":         func(d *pathgrantv1.CompositeDecision) { d.Effect = 0 },
		"nothing":                           func(d *pathgrantv1.CompositeDecision) { proto.Reset(d) },
	} {
		service.answer = proto.CloneOf(allow)
		if change != nil {
			change(service.answer)
		}
		if d, err := c.CheckComposite(t.Context(), q); err != nil || d.Allowed() != (change == nil) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	for _, q := range []client.CompositeQuestion{{}, {Subject: user("ada"), Composite: "c", Scope: "/s"}, {Subject: client.Subject{Tenant: "t"}, Composite: "c", Scope: "/s", Object: "o"}} {
		service.asked = nil
		if d, err := c.CheckComposite(t.Context(), q); err == nil || d.Allowed() || service.asked != nil {
			t.Errorf("%+v: %+v, %v", q, d, err)
		}
	}
}

func TestAServerThatKnowsNoCompositesIsAnError(t *testing.T) {
	c := dial(t, pathgrantv1.UnimplementedAuthorizationServiceServer{}, client.WithTimeout(5e9))
	d, err := c.CheckComposite(t.Context(), client.CompositeQuestion{Subject: user("ada"), Composite: "c", Scope: "/s", Object: "o"})
	if err == nil || d.Allowed() {
		t.Errorf("%+v, %v", d, err)
	}
}
