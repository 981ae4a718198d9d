package rpc_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/rpc"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A bound is the most items, of a list, and bytes, of a text, that the contract states.
type bound struct{ items, bytes int }

// The bounds of everything that a request can hold, by the field's name in the contract.
var bounds = map[protoreflect.FullName]bound{
	"pathgrant.v1.Subject.tenant":                 {bytes: 256},
	"pathgrant.v1.Subject.groups":                 {10000, 256},
	"pathgrant.v1.Subject.directory_roles":        {1000, 256},
	"pathgrant.v1.Principal.id":                   {bytes: 256},
	"pathgrant.v1.PermissionTarget.permission":    {bytes: 256},
	"pathgrant.v1.PermissionTarget.scope":         {bytes: 1024},
	"pathgrant.v1.HttpRequest.method":             {bytes: 32},
	"pathgrant.v1.HttpRequest.host":               {bytes: 255},
	"pathgrant.v1.HttpRequest.path":               {bytes: 65536},
	"pathgrant.v1.HttpRequest.headers":            {items: 16},
	"pathgrant.v1.HttpRequest.HeadersEntry.key":   {bytes: 256},
	"pathgrant.v1.HttpRequest.HeadersEntry.value": {bytes: 256},
	"pathgrant.v1.CheckQuestion.catalogue":        {bytes: 128},

	"pathgrant.v1.HttpRequest.context_extensions":           {items: 16},
	"pathgrant.v1.HttpRequest.ContextExtensionsEntry.key":   {bytes: 256},
	"pathgrant.v1.HttpRequest.ContextExtensionsEntry.value": {bytes: 256},
	"pathgrant.v1.DataverseRecord.id":                       {bytes: 256},
	"pathgrant.v1.DataverseRecord.business_unit":            {bytes: 256},
	"pathgrant.v1.PermissionTarget.columns":                 {1000, 128},
	"pathgrant.v1.RelateTarget.table":                       {bytes: 128},
	"pathgrant.v1.CompositeQuestion.composite":              {bytes: 128},
	"pathgrant.v1.CompositeQuestion.scope":                  {bytes: 1024},
	"pathgrant.v1.CompositeQuestion.object":                 {bytes: 256},
	"pathgrant.v1.CompositeQuestion.connectors":             {items: 100},
	"pathgrant.v1.CompositeQuestion.ConnectorsEntry.key":    {bytes: 128},
	"pathgrant.v1.CompositeQuestion.facts":                  {items: 100},
	"pathgrant.v1.CompositeQuestion.FactsEntry.key":         {bytes: 128},

	"pathgrant.v1.BatchCheckRequest.questions": {items: 1000},
	"pathgrant.v1.ResolveRequest.tenant":       {bytes: 256},
	"pathgrant.v1.ResolveRequest.catalogue":    {bytes: 128},
}

// A field that is added to a request must be given its limit.
func TestEverythingThatARequestCanHoldIsBounded(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var visit func(m protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind || f.IsList() || f.IsMap() {
				if _, known := bounds[f.FullName()]; !known {
					t.Errorf("%s has no limit", f.FullName())
				}
				seen[f.FullName()] = true
			}
			if f.Message() != nil {
				visit(f.Message())
			}
		}
	}
	for _, in := range []proto.Message{&pathgrantv1.CheckRequest{}, &pathgrantv1.BatchCheckRequest{}, &pathgrantv1.ResolveRequest{}, &pathgrantv1.CheckCompositeRequest{}} {
		visit(in.ProtoReflect().Descriptor())
	}
	for name := range bounds {
		if !seen[name] {
			t.Errorf("%s is no field of a request any more", name)
		}
	}
}

// overIn tells whether anything in the message is over its bound.
func overIn(m protoreflect.Message) bool {
	over := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		b := bounds[f.FullName()]
		switch {
		case f.IsMap():
			over = over || v.Map().Len() > b.items
			key, value := bounds[f.MapKey().FullName()], bounds[f.MapValue().FullName()]
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				over = over || len(k.String()) > key.bytes || f.MapValue().Kind() == protoreflect.StringKind && len(v.String()) > value.bytes
				return !over
			})
		case f.IsList():
			over = over || v.List().Len() > b.items
			for i := range v.List().Len() {
				if f.Kind() == protoreflect.StringKind {
					over = over || len(v.List().Get(i).String()) > b.bytes
				} else {
					over = over || overIn(v.List().Get(i).Message())
				}
			}
		case f.Kind() == protoreflect.StringKind:
			over = over || len(v.String()) > b.bytes
		case f.Message() != nil:
			over = over || overIn(v.Message())
		}
		return !over
	})
	return over
}

// FuzzBatchCheck: whatever comes in, the call fails with INVALID_ARGUMENT exactly where
// something is over its limit; otherwise there is one decision for each question, and
// none of them allows what was not wholly read.
func FuzzBatchCheck(f *testing.F) {
	for _, in := range []*pathgrantv1.BatchCheckRequest{
		{},
		{Questions: []*pathgrantv1.CheckQuestion{direct("ada", "PowerApps.Apps.Read", "/tenants/t1"), asks(nil, "GET", "/health"), {}}},
		{Questions: []*pathgrantv1.CheckQuestion{asks(subject("ada"), "GET", "/")}, AtLeastRevision: &pathgrantv1.Revision{Epoch: 1, Number: 2}},
		{Questions: []*pathgrantv1.CheckQuestion{direct(strings.Repeat("p", 257), "PowerApps.Apps.Read", "/tenants/t1")}},
		{Questions: []*pathgrantv1.CheckQuestion{relating()}},
	} {
		wire, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := &pathgrantv1.BatchCheckRequest{}
		if proto.Unmarshal(wire, in) != nil {
			return
		}
		s := rpc.New(rpc.Options{Decider: decider(func(_ context.Context, r []ask.Request, a []ask.Answer) error {
			for i := range r {
				a[i].Reason = authz.Granted
				if r[i].Unreadable != "" || r[i].Subject == nil {
					a[i].Reason = authz.BadRequest
				}
			}
			return nil
		})})
		out, err := s.BatchCheck(t.Context(), in)
		n := len(in.GetQuestions())
		if outside := n == 0 || overIn(in.ProtoReflect()); outside != (status.Code(err) == codes.InvalidArgument) || !outside && err != nil {
			t.Fatalf("outside the limits: %t; the call ended with %v", outside, err)
		}
		if err != nil {
			return
		}
		if len(out.GetDecisions()) != n {
			t.Fatalf("%d decisions on %d questions", len(out.GetDecisions()), n)
		}
		for i, d := range out.GetDecisions() {
			q := in.GetQuestions()[i]
			who := q.GetSubject()
			kind := who.GetPrincipal().GetType()
			whole := q.GetTarget() != nil && who.GetTenant() != "" && who.GetPrincipal().GetId() != "" &&
				(kind == pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER || kind == pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER)
			for _, id := range append(append([]string(nil), who.GetGroups()...), who.GetDirectoryRoles()...) {
				whole = whole && id != ""
			}
			if allowed := d.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW; allowed != whole {
				t.Errorf("question %d, %v: wholly read %t, allowed %t", i, q, whole, allowed)
			}
		}
	})
}

// FuzzCheckComposite: whatever comes in, the call fails with INVALID_ARGUMENT exactly where
// something is over its limit, and what was not wholly read is not decided on.
func FuzzCheckComposite(f *testing.F) {
	for _, q := range []*pathgrantv1.CompositeQuestion{
		nil,
		{Subject: subject("ada"), Composite: "run-only-flow", Scope: "/tenants/t1/environments/e1", Object: "f1", Connectors: map[string]bool{"mail": true}, Facts: map[string]bool{"licence": false}},
		{Subject: &pathgrantv1.Subject{Tenant: "t1", Groups: []string{""}}},
		{Facts: map[string]bool{strings.Repeat("f", 129): true}},
	} {
		wire, err := proto.Marshal(&pathgrantv1.CheckCompositeRequest{Question: q})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := &pathgrantv1.CheckCompositeRequest{}
		if proto.Unmarshal(wire, in) != nil {
			return
		}
		s := rpc.New(rpc.Options{Composites: compositeDecider(func(r *ask.CompositeRequest, a *ask.CompositeAnswer) {
			if a.Reason = authz.Granted; r.Unreadable != "" || r.Subject == nil {
				a.Reason = authz.BadRequest
			}
		})})
		out, err := s.CheckComposite(t.Context(), in)
		if over := overIn(in.ProtoReflect()); (status.Code(err) == codes.InvalidArgument) != over || err != nil && !over {
			t.Fatalf("over a limit: %t, and the call ends with %v", over, err)
		}
		if err == nil && out.GetDecision().GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW && in.GetQuestion().GetSubject().GetPrincipal().GetId() == "" {
			t.Error("allowed nobody")
		}
	})
}
