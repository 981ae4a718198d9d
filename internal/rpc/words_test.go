package rpc_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/rpc"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Every reason has its value in the contract, every value of the contract is some
// reason, and the effect is ALLOW for the two that allow and for nothing else.
func TestEveryReasonHasItsWord(t *testing.T) {
	want := map[authz.Reason]pathgrantv1.Reason{
		authz.ReasonUnspecified:     0,
		authz.Granted:               1,
		authz.Public:                2,
		authz.NoAssignment:          3,
		authz.Overridden:            4,
		authz.Forbidden:             5,
		authz.Expired:               6,
		authz.Unmapped:              7,
		authz.BadRequest:            8,
		authz.Unauthenticated:       9,
		authz.CrossTenant:           10,
		authz.UnknownScope:          11,
		authz.PrincipalDisabled:     12,
		authz.GroupsUnknown:         13,
		authz.DelegatedScopeMissing: 14,
		authz.Stale:                 15,
		authz.NotReady:              16,
		authz.Internal:              17,
	}
	used := map[pathgrantv1.Reason]bool{}
	for _, reason := range append(authz.Reasons(), authz.ReasonUnspecified) {
		t.Run(reason.String(), func(t *testing.T) {
			value, ok := want[reason]
			if !ok {
				t.Fatal("nobody has said which value of the contract this reason has")
			}
			used[value] = true
			c := dial(t, rpc.Options{
				Decider: answering(ask.Answer{Reason: reason}),
				Mapper:  mapper(func(_ *ask.Request, _ string, a *ask.Answer) { a.Reason = reason }),
			})
			d := decide(t, c, direct("ada", "PowerApps.Apps.Read", "/tenants/t1"))
			if d.GetReason() != value || value.String() != "REASON_"+reason.String() {
				t.Errorf("%v, want %d, which is %v", d.GetReason(), value, value)
			}
			effect := pathgrantv1.Effect_EFFECT_DENY
			if reason == authz.Granted || reason == authz.Public {
				effect = pathgrantv1.Effect_EFFECT_ALLOW
			}
			if d.GetEffect() != effect {
				t.Errorf("%v, want %v", d.GetEffect(), effect)
			}
			resolved, err := c.Resolve(t.Context(), &pathgrantv1.ResolveRequest{})
			if err != nil || resolved.GetReason() != value {
				t.Errorf("resolved: %v (%v), want %v", resolved.GetReason(), err, value)
			}
		})
	}
	for number, name := range pathgrantv1.Reason_name {
		if !used[pathgrantv1.Reason(number)] {
			t.Errorf("no reason is told as %s", name)
		}
	}
}

func TestAReasonThatTheContractLacksIsInternal(t *testing.T) {
	c := dial(t, rpc.Options{Decider: answering(ask.Answer{Reason: authz.Reason(200)})})
	d := decide(t, c, direct("ada", "PowerApps.Apps.Read", "/tenants/t1"))
	if d.GetReason() != pathgrantv1.Reason_REASON_INTERNAL || d.GetEffect() != pathgrantv1.Effect_EFFECT_DENY {
		t.Errorf("%v, %v", d.GetEffect(), d.GetReason())
	}
}

// A decision says all that the answer does, in the contract's words.
func TestADecisionSaysAllOfTheAnswer(t *testing.T) {
	vocabulary, err := authz.NewVocabulary([]authz.Permission{"PowerApps.Apps.Read"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	role, err := vocabulary.Compile(authz.RoleDefinition{ID: "r1", Name: "Lending Desk", Permissions: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, rpc.Options{Decider: answering(ask.Answer{
		Reason:      authz.Overridden,
		Permissions: []authz.Permission{"PowerApps.Apps.Create", "PowerApps.Apps.Update"},
		Scopes:      []authz.Scope{"/tenants/t1/environments/e1", "/tenants/t1/environments/e2"},
		Missing:     []authz.Permission{"PowerApps.Apps.Update"},
		Assignment: &authz.Grant{
			AssignmentID: "a4", Principal: authz.Principal{Type: authz.Team, ID: "team1"}, Role: role,
			Scope: "/tenants/t1", Effect: authz.AssignDeny, Expires: 1_893_456_000,
		},
		Revision:   authz.Revision{Epoch: 1_795_316_400_000_000, Number: 1042},
		DecisionID: ask.DecisionID{Process: 0x4f1c09b7a25e43d8, Number: 42},
		Detail:     "because",
	})})
	want := &pathgrantv1.Decision{
		Effect:             pathgrantv1.Effect_EFFECT_DENY,
		Reason:             pathgrantv1.Reason_REASON_OVERRIDDEN,
		Permissions:        []string{"PowerApps.Apps.Create", "PowerApps.Apps.Update"},
		Scopes:             []string{"/tenants/t1/environments/e1", "/tenants/t1/environments/e2"},
		MissingPermissions: []string{"PowerApps.Apps.Update"},
		Assignment: &pathgrantv1.DecidingAssignment{
			Id:                 "a4",
			Principal:          &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM, Id: "team1"},
			RoleDefinitionId:   "r1",
			RoleDefinitionName: "Lending Desk",
			Scope:              "/tenants/t1",
			Effect:             pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_DENY,
			ExpiresTime:        &timestamppb.Timestamp{Seconds: 1_893_456_000}, // 2030-01-01T00:00:00Z
		},
		Revision:   &pathgrantv1.Revision{Epoch: 1_795_316_400_000_000, Number: 1042},
		DecisionId: "4f1c09b7a25e43d8000000000000002a",
		Detail:     "because",
	}
	if diff := cmp.Diff(want, decide(t, c, direct("ada", "PowerApps.Apps.Read", "/tenants/t1")), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatSaysNothingDeniesAndClaimsNothing(t *testing.T) {
	c := dial(t, rpc.Options{Decider: answering(ask.Answer{})})
	want := &pathgrantv1.Decision{
		Effect: pathgrantv1.Effect_EFFECT_DENY, DecisionId: "00000000000000000000000000000000",
	}
	if diff := cmp.Diff(want, decide(t, c, direct("ada", "PowerApps.Apps.Read", "/tenants/t1")), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Principal types and effects, both ways: what a caller states, and what is told of the
// assignment that decided.
func TestEveryPrincipalTypeAndEffectHasItsWord(t *testing.T) {
	types := map[pathgrantv1.PrincipalType]authz.PrincipalType{
		pathgrantv1.PrincipalType_PRINCIPAL_TYPE_UNSPECIFIED:      authz.NoPrincipal,
		pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER:             authz.User,
		pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP:            authz.Group,
		pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER: authz.ApplicationUser,
		pathgrantv1.PrincipalType_PRINCIPAL_TYPE_DIRECTORY_ROLE:   authz.DirectoryRole,
		pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM:             authz.Team,
	}
	for number, name := range pathgrantv1.PrincipalType_name {
		ours, ok := types[pathgrantv1.PrincipalType(number)]
		if !ok {
			t.Errorf("nobody has said what %s is", name)
			continue
		}
		c := dial(t, rpc.Options{Decider: answering(ask.Answer{Assignment: &authz.Grant{Principal: authz.Principal{Type: ours}}})})
		if got := decide(t, c, direct("ada", "P.A.R", "/tenants/t1")).GetAssignment().GetPrincipal().GetType(); int32(got) != number {
			t.Errorf("%v is told as %v, want %s", ours, got, name)
		}
	}
	effects := map[pathgrantv1.AssignmentEffect]authz.AssignmentEffect{
		pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_UNSPECIFIED: authz.NoEffect,
		pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_ALLOW:       authz.AssignAllow,
		pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_DENY:        authz.AssignDeny,
		pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_FORBID:      authz.AssignForbid,
	}
	for number, name := range pathgrantv1.AssignmentEffect_name {
		ours, ok := effects[pathgrantv1.AssignmentEffect(number)]
		if !ok {
			t.Errorf("nobody has said what %s is", name)
			continue
		}
		c := dial(t, rpc.Options{Decider: answering(ask.Answer{Assignment: &authz.Grant{Effect: ours}})})
		if got := decide(t, c, direct("ada", "P.A.R", "/tenants/t1")).GetAssignment().GetEffect(); int32(got) != number {
			t.Errorf("%v is told as %v, want %s", ours, got, name)
		}
	}
}
