package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/go-jose/go-jose/v4"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pathgrant/pathgrant/bench/peers/world"
)

// A server is what one writes around a policy engine: stock grpc-go, the token verified
// once and then found by its text, method and path mapped in Go, and one evaluation.
type server struct {
	authv3.UnimplementedAuthorizationServer
	engine  *engine
	world   *world.World
	keys    jose.JSONWebKeySet
	mappers sync.Pool // *world.Mapper
	tokens  sync.Map  // of text to verified
}

// verified is what a token proved.
type verified struct {
	user    string
	expires time.Time
}

// serve serves until the context or standard input ends.
func serve(ctx context.Context, stdout io.Writer, listen, file string) error {
	w, err := world.Read(file)
	if err != nil {
		return err
	}
	s := &server{world: w}
	if err := json.Unmarshal(w.JWKS, &s.keys); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if s.engine, err = newEngine(ctx, w); err != nil {
		return err
	}
	mapper, err := world.NewMapper()
	if err != nil {
		return err
	}
	s.mappers.New = func() any { return mapper.Clone() }
	network, address, ok := strings.Cut(listen, "://")
	if !ok {
		return fmt.Errorf("-listen %s: want unix:///path or tcp://host:port", listen)
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		return err
	}
	g := grpc.NewServer()
	authv3.RegisterAuthorizationServer(g, s)
	defer context.AfterFunc(ctx, g.Stop)()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it, it has ended
		g.Stop()
	}()
	if _, err := fmt.Fprintln(stdout, "ready"); err != nil {
		return err
	}
	return g.Serve(l)
}

// Check implements the Envoy service.
func (s *server) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	http := in.GetAttributes().GetRequest().GetHttp()
	reason := s.decide(ctx, http)
	if reason != world.Granted {
		return deny(reason), nil
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

// decide gives the reason of the answer; a fault is one, too, for a call that fails may be
// let pass by the proxy.
func (s *server) decide(ctx context.Context, http *authv3.AttributeContext_HttpRequest) string {
	user, err := s.identify(http, time.Now())
	if err != nil {
		return "UNAUTHENTICATED"
	}
	mapper, ok := s.mappers.Get().(*world.Mapper)
	if !ok {
		return "INTERNAL"
	}
	permission, environment, ok := mapper.Map(http.GetMethod(), http.GetHost(), http.GetPath())
	s.mappers.Put(mapper)
	if !ok {
		return "UNMAPPED"
	}
	reason, err := s.engine.ask(ctx, input(user, permission, environment))
	if err != nil {
		return "INTERNAL"
	}
	return reason
}

func deny(reason string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.PermissionDenied), Message: reason},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden},
		}},
	}
}

var errToken = errors.New("no valid bearer token")

// identify finds the caller of a request.
func (s *server) identify(http *authv3.AttributeContext_HttpRequest, now time.Time) (string, error) {
	token, ok := strings.CutPrefix(authorization(http), "Bearer ")
	if !ok {
		return "", errToken
	}
	known, _ := s.tokens.Load(token)
	if v, ok := known.(verified); ok && now.Before(v.expires) {
		return v.user, nil
	}
	v, err := s.verify(token)
	if err != nil || !now.Before(v.expires) {
		return "", errToken
	}
	s.tokens.Store(token, v)
	return v.user, nil
}

// authorization returns the header, from whichever of the two places it stands in.
func authorization(http *authv3.AttributeContext_HttpRequest) string {
	if value, ok := http.GetHeaders()["authorization"]; ok {
		return value
	}
	for _, header := range http.GetHeaderMap().GetHeaders() {
		if header.GetKey() == "authorization" {
			return headerText(header)
		}
	}
	return ""
}

func headerText(header *corev3.HeaderValue) string {
	if raw := header.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return header.GetValue()
}

// verify checks the signature and what the token says of itself.
func (s *server) verify(token string) (verified, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return verified{}, err
	}
	keys := s.keys.Key(signed.Signatures[0].Header.KeyID)
	if len(keys) == 0 {
		return verified{}, errToken
	}
	payload, err := signed.Verify(keys[0])
	if err != nil {
		return verified{}, err
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Tenant   string `json:"tid"`
		User     string `json:"oid"`
		Expires  int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return verified{}, err
	}
	if claims.Issuer != s.world.Issuer || claims.Audience != s.world.Audience || claims.Tenant != s.world.Tenant || claims.User == "" {
		return verified{}, errToken
	}
	return verified{claims.User, time.Unix(claims.Expires, 0)}, nil
}
