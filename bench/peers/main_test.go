package main

import (
	"io"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

func TestAWrongAnswerOfAServerIsFound(t *testing.T) {
	allowed := &authv3.CheckResponse{
		Status:       &rpcstatus.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}
	denied := &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: 7, Message: "OVERRIDDEN"},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{}},
	}
	contradicting := &authv3.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: denied.GetHttpResponse()}
	for name, test := range map[string]struct {
		answer *authv3.CheckResponse
		want   string
		ok     bool
	}{
		"allowed":         {allowed, "GRANTED", true},
		"denied":          {denied, "OVERRIDDEN", true},
		"wrongly allowed": {allowed, "OVERRIDDEN", false},
		"wrongly denied":  {denied, "GRANTED", false},
		"another reason":  {denied, "NO_ASSIGNMENT", false},
		"contradicting":   {contradicting, "GRANTED", false},
		"empty":           {&authv3.CheckResponse{}, "GRANTED", false},
	} {
		message, err := proto.Marshal(test.answer)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyCheck(test.want, message); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheMedianIsTheMiddle(t *testing.T) {
	self := func(v float64) float64 { return v }
	if got := median([]float64{9, 1, 5}, self); got != 5 {
		t.Errorf("%v, want 5", got)
	}
	if got := median([]float64{9, 1, 5, 6}, self); got != 5.5 {
		t.Errorf("%v, want 5.5", got)
	}
}

func TestAPromiseThatIsNotKeptFails(t *testing.T) {
	rows := func(opa, cedar, few float64) []inProcessRow {
		return []inProcessRow{
			{Peer: "pathgrant", CPU: 3}, {Peer: "pathgrant", CPU: 1}, {Peer: "opa", CPU: opa},
			{Peer: "cedar", CPU: 500}, {Peer: "cedar", CPU: cedar}, {Peer: "cedar", CPU: few, FewRoles: true},
		}
	}
	for _, test := range []struct {
		rows   []inProcessRow
		missed string
	}{
		{rows(40, 40, 40), ""},
		{rows(40, 40, 10), ""}, // it knows less
		{rows(39, 40, 40), "OPA"},
		{rows(40, 39, 40), "cedar"},
	} {
		err := promisesInProcess(io.Discard, test.rows)
		if (err == nil) != (test.missed == "") || err != nil && !strings.Contains(err.Error(), test.missed) {
			t.Errorf("%v, want %q", err, test.missed)
		}
	}
}
