package client_test

import (
	"testing"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
)

const (
	allow = pathgrantv1.Effect_EFFECT_ALLOW
	deny  = pathgrantv1.Effect_EFFECT_DENY
)

func TestTheZeroDecisionDenies(t *testing.T) {
	if (client.Decision{}).Allowed() {
		t.Error("the zero Decision allows")
	}
	if d, ok := client.DecisionFrom(t.Context()); ok || d.Allowed() {
		t.Errorf("a context without a decision has %v", d)
	}
	if (client.Mapping{}).Mapped() {
		t.Error("the zero Mapping is mapped")
	}
}

func TestAnAnswerThatIsUnknownOrContradictsItselfDenies(t *testing.T) {
	tests := map[string]struct {
		answer *pathgrantv1.Decision
		want   authz.Reason
	}{
		"none":                             {nil, authz.ReasonUnspecified},
		"empty":                            {&pathgrantv1.Decision{}, authz.ReasonUnspecified},
		"allow without a reason":           {&pathgrantv1.Decision{Effect: allow}, authz.Internal},
		"allow for a denial's reason":      {&pathgrantv1.Decision{Effect: allow, Reason: pathgrantv1.Reason_REASON_EXPIRED}, authz.Internal},
		"allow for a reason of the future": {&pathgrantv1.Decision{Effect: allow, Reason: 40}, authz.Internal},
		"deny for a reason of the future":  {&pathgrantv1.Decision{Effect: deny, Reason: 40}, authz.Reason(40)},
		"a reason beyond all":              {&pathgrantv1.Decision{Effect: deny, Reason: 257}, authz.Internal},
		"a reason beyond all, that fits":   {&pathgrantv1.Decision{Effect: deny, Reason: 300}, authz.Internal},
		"a negative reason":                {&pathgrantv1.Decision{Effect: deny, Reason: -255}, authz.Internal},
		"allow for a reason that wraps":    {&pathgrantv1.Decision{Effect: allow, Reason: 257}, authz.Internal},
		"deny although granted":            {&pathgrantv1.Decision{Effect: deny, Reason: pathgrantv1.Reason_REASON_GRANTED}, authz.Internal},
		"no effect although public":        {&pathgrantv1.Decision{Reason: pathgrantv1.Reason_REASON_PUBLIC}, authz.Internal},
		"an effect of the future":          {&pathgrantv1.Decision{Effect: 3, Reason: pathgrantv1.Reason_REASON_GRANTED}, authz.Internal},
		"granted with a permission missing": {
			&pathgrantv1.Decision{Effect: allow, Reason: pathgrantv1.Reason_REASON_GRANTED, MissingPermissions: []string{"A.B.Read"}}, authz.Internal,
		},
		"granted by a FORBID": {
			&pathgrantv1.Decision{Effect: allow, Reason: pathgrantv1.Reason_REASON_GRANTED, Assignment: &pathgrantv1.DecidingAssignment{
				Effect: pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_FORBID,
			}}, authz.Internal,
		},
		"granted by an effect of the future": {
			&pathgrantv1.Decision{Effect: allow, Reason: pathgrantv1.Reason_REASON_GRANTED, Assignment: &pathgrantv1.DecidingAssignment{Effect: 9}}, authz.Internal,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := dial(t, answering(test.answer)).Check(t.Context(), get(user("ada"), "/a"))
			if err != nil {
				t.Fatal(err)
			}
			if got.Allowed() || got.Reason != test.want {
				t.Errorf("Check returned %v, want the denial %v", got, test.want)
			}
		})
	}
}

func TestEveryReasonOfTheContractIsKnown(t *testing.T) {
	for number, name := range pathgrantv1.Reason_name {
		reason, effect := pathgrantv1.Reason(number), deny
		allowed := reason == pathgrantv1.Reason_REASON_GRANTED || reason == pathgrantv1.Reason_REASON_PUBLIC
		if allowed {
			effect = allow
		}
		t.Run(name, func(t *testing.T) {
			got, err := dial(t, answering(&pathgrantv1.Decision{Effect: effect, Reason: reason})).Check(t.Context(), get(user("ada"), "/a"))
			if err != nil {
				t.Fatal(err)
			}
			if "REASON_"+got.Reason.String() != name || got.Allowed() != allowed {
				t.Errorf("%s became %v, allowed: %t", name, got.Reason, got.Allowed())
			}
		})
	}
}
