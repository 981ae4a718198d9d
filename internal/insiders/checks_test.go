package insiders_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/rpc"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// checks serves what an office administers to those who ask, on a socket of its own, until
// the test ends.
func (o *office) checks() pathgrantv1.AuthorizationServiceClient {
	o.t.Helper()
	g := gate.New(gate.Options{Catalogues: catalogues(), Snapshots: o.store, Now: time.Now})
	served := grpc.NewServer()
	pathgrantv1.RegisterAuthorizationServiceServer(served, rpc.New(rpc.Options{Decider: g, Mapper: g, Composites: g, FoldCase: true}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- served.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			o.t.Error(err)
		}
		served.Stop()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	})
	return pathgrantv1.NewAuthorizationServiceClient(conn)
}

// a record is one that its owner has in a business unit.
func record(owner, unit string) *pathgrantv1.DataverseRecord {
	return &pathgrantv1.DataverseRecord{
		Id: "r", BusinessUnit: unit, Owner: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: owner},
	}
}

// reason asks whether a user has a permission at an environment of t1, for a record or for
// all that is there, and returns the reason of the answer: GRANTED is the only one that
// allows.
func reason(t testing.TB, checks pathgrantv1.AuthorizationServiceClient, who, permission, environment string, of ...*pathgrantv1.DataverseRecord) string {
	t.Helper()
	target := &pathgrantv1.PermissionTarget{Permission: permission, Scope: "/tenants/t1/environments/" + environment}
	if len(of) > 0 {
		target.Record = of[0]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer, err := checks.Check(ctx, &pathgrantv1.CheckRequest{Question: &pathgrantv1.CheckQuestion{
		Subject: &pathgrantv1.Subject{Tenant: "t1", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: who}},
		Target:  &pathgrantv1.CheckQuestion_Permission{Permission: target},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := answer.GetDecision()
	got := strings.TrimPrefix(d.GetReason().String(), "REASON_")
	if allowed := d.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW; allowed != (got == "GRANTED") {
		t.Fatalf("%s of %s: %v for %v", permission, who, d.GetEffect(), d.GetReason())
	}
	return got
}
