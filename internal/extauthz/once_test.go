package extauthz_test

import (
	"bytes"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func response(t *testing.T, wire []byte) *authv3.CheckResponse {
	t.Helper()
	r := &authv3.CheckResponse{}
	if err := proto.Unmarshal(wire, r); err != nil || r.GetStatus() == nil {
		t.Fatalf("%v, %v: a response without a status is read as allow", r, err)
	}
	return r
}

func TestASlowCheckIsAskedAgainAndNotAnsweredMeanwhile(t *testing.T) {
	wire, err := proto.Marshal(get("/powerapps/apps", nil))
	if err != nil {
		t.Fatal(err)
	}
	var quick []bool
	s := newServer(func(r *ask.Request, a *ask.Answer) {
		quick = append(quick, r.Quick)
		*a = ask.Answer{Reason: authz.Granted}
		if r.Quick {
			*a = ask.Answer{Slow: true}
		}
	}, extauthz.DetailPermission)
	out, done := s.AnswerAtOnce(wire, []byte("before"))
	if done || string(out) != "before" {
		t.Errorf("at once: %q, %t; want nothing", out, done)
	}
	out, err = s.Answer(t.Context(), wire, []byte("before"))
	after, ok := bytes.CutPrefix(out, []byte("before"))
	if err != nil || !ok || response(t, after).GetOkResponse() == nil {
		t.Errorf("then: %q, %v", out, err)
	}
	if len(quick) != 2 || !quick[0] || quick[1] {
		t.Errorf("asked with Quick %v, want true and then false", quick)
	}
}

func TestASlowAnswerToAPatientQuestionDenies(t *testing.T) {
	wire, err := proto.Marshal(get("/powerapps/apps", nil))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(func(_ *ask.Request, a *ask.Answer) { *a = ask.Answer{Slow: true} }, extauthz.DetailPermission)
	out, err := s.Answer(t.Context(), wire, nil)
	if got := response(t, out).GetDeniedResponse().GetStatus().GetCode(); err != nil || got != 503 {
		t.Errorf("answered with HTTP %d, %v; want 503", got, err)
	}
}

func TestACheckThatCouldNotBeReceivedIsRefused(t *testing.T) {
	s := newServer(func(r *ask.Request, a *ask.Answer) {
		if *a = (ask.Answer{Reason: authz.Granted}); r.Unreadable != "" {
			a.Reason = authz.BadRequest
		}
	}, extauthz.DetailPermission)
	for _, message := range [][]byte{nil, {}, {0xff}} {
		out, done := s.AnswerAtOnce(message, nil)
		if !done || response(t, out).GetDeniedResponse().GetStatus().GetCode() != 400 {
			t.Errorf("%v is answered with %q, %t", message, out, done)
		}
	}
}

func TestAPanicAtOnceIsADenial(t *testing.T) {
	s := newServer(func(*ask.Request, *ask.Answer) { panic("as it was told") }, extauthz.DetailPermission)
	out, done := s.AnswerAtOnce([]byte{}, []byte("before"))
	after, ok := bytes.CutPrefix(out, []byte("before"))
	if !done || !ok || response(t, after).GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("answered with %q, %t", out, done)
	}
}
