package extauthz_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const serviceName = "envoy.service.auth.v3.Authorization"

// serve serves on a unix socket until the test ends, and returns a connection to it.
func serve(t *testing.T, s *extauthz.Server) *grpc.ClientConn {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s.sock")
	listeners, err := server.Listen(t.Context(), []server.Address{{Network: "unix", Address: socket}}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	on := server.New(server.Options{StreamWorkers: 2})
	s.Register(on)
	on.AnswerUnary(extauthz.Method, s)
	on.SetReadiness(server.Ready)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- on.Serve(ctx, listeners...) }()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string                         { return "proto" }
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

func TestAnOrdinaryClientIsAnswered(t *testing.T) {
	conn := serve(t, newServer(func(r *ask.Request, a *ask.Answer) {
		a.Reason = authz.NoAssignment
		if r.Path == "/powerapps/apps" {
			a.Reason = authz.Granted
		}
	}, extauthz.DetailPermission))
	client := authv3.NewAuthorizationClient(conn)
	for range 50 {
		for path, code := range map[string]int32{"/powerapps/apps": 0, "/powerapps/other": 7} {
			response, err := client.Check(soon(t), get(path, map[string]string{"authorization": "Bearer x"}))
			if err != nil {
				t.Fatal(err)
			}
			if got := response.GetStatus().GetCode(); response.GetStatus() == nil || got != code {
				t.Errorf("%s is answered with %v, want %d", path, response, code)
			}
		}
	}
}

func TestBytesThatAreNoMessageDoNotFailTheCall(t *testing.T) {
	conn := serve(t, newServer(func(r *ask.Request, a *ask.Answer) {
		if a.Reason = authz.Granted; r.Unreadable != "" {
			a.Reason = authz.BadRequest
		}
	}, extauthz.DetailPermission))
	for _, body := range [][]byte{nil, {0xff}, {0x0a, 0x05, 0x01}} {
		if err := conn.Invoke(soon(t), "/"+serviceName+"/Check", body, new([]byte), grpc.ForceCodecV2(rawCodec{})); err != nil {
			t.Errorf("%x fails with %v, which a proxy may be configured to let pass", body, err)
		}
	}
}

// An unusual check, one whose message is compressed, is grpc-go's to receive and ours to
// answer.
func TestACompressedCheckIsAnswered(t *testing.T) {
	conn := serve(t, newServer(func(r *ask.Request, a *ask.Answer) {
		if r.Path == "/powerapps/apps" {
			a.Reason = authz.Granted
		}
	}, extauthz.DetailPermission))
	response, err := authv3.NewAuthorizationClient(conn).Check(soon(t), get("/powerapps/apps", nil), grpc.UseCompressor(gzip.Name))
	if err != nil || response.GetOkResponse() == nil {
		t.Errorf("answered with %v, %v", response, err)
	}
	if err := conn.Invoke(soon(t), extauthz.Method, []byte{0xff}, new([]byte), grpc.ForceCodecV2(rawCodec{}), grpc.UseCompressor(gzip.Name)); err != nil {
		t.Errorf("bytes that are no message fail with %v", err)
	}
}

func TestHealthAndReflectionKnowTheService(t *testing.T) {
	conn := serve(t, newServer(func(*ask.Request, *ask.Answer) {}, extauthz.DetailPermission))
	health, err := grpc_health_v1.NewHealthClient(conn).Check(soon(t), &grpc_health_v1.HealthCheckRequest{Service: serviceName})
	if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health says %v, %v", health, err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: serviceName},
	}); err != nil {
		t.Fatal(err)
	}
	got, err := stream.Recv()
	if err != nil || len(got.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection says %v, %v", got, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}
