package main

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

// checkMethod is the call by which a proxy asks.
const checkMethod = "/envoy.service.auth.v3.Authorization/Check"

// What Envoy's jwt_authn is told to leave its findings at.
const (
	jwtNamespace = "envoy.filters.http.jwt_authn"
	jwtPayload   = "jwt_payload"
)

// A check is what a proxy asks: a question, and the credential that comes with it.
type check struct {
	question
	token  string         // empty: none
	claims map[string]any // what jwt_authn made of a token; nil: nothing
}

const host = "api.powerplatform.com"

// message is the check as Envoy sends it, with the headers of an ordinary client.
func (c check) message(i int) ([]byte, error) {
	id := fmt.Sprintf("%08x-1b2c-4d3e-9f40-5a6b7c8d9e0f", i)
	var headers []*corev3.HeaderValue
	for _, header := range c.headers(id) {
		headers = append(headers, &corev3.HeaderValue{Key: header.Name, RawValue: []byte(header.Value)})
	}
	for _, header := range []load.Field{
		{Name: "x-envoy-internal", Value: "true"}, {Name: "x-forwarded-for", Value: "10.12.4.77"},
		{Name: "x-forwarded-proto", Value: "https"}, {Name: "x-request-id", Value: id},
	} {
		headers = append(headers, &corev3.HeaderValue{Key: header.Name, RawValue: []byte(header.Value)})
	}
	metadata := &corev3.Metadata{}
	if c.claims != nil {
		claims, err := structpb.NewStruct(c.claims)
		if err != nil {
			return nil, fmt.Errorf("a token's claims as metadata: %w", err)
		}
		metadata.FilterMetadata = map[string]*structpb.Struct{jwtNamespace: {
			Fields: map[string]*structpb.Value{jwtPayload: structpb.NewStructValue(claims)},
		}}
	}
	peer := func(address string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}},
		}}}
	}
	return proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("10.12.4.77", 51034), Destination: peer("10.12.8.3", 10000),
		Request: &authv3.AttributeContext_Request{
			Time: timestamppb.New(time.Unix(1790000000, 123456000)),
			Http: &authv3.AttributeContext_HttpRequest{
				Id: id, Method: c.method(), Path: c.path(), Host: host, Scheme: "https", Protocol: "HTTP/2",
				HeaderMap: &corev3.HeaderMap{Headers: headers},
			},
		},
		MetadataContext: metadata, RouteMetadataContext: &corev3.Metadata{},
	}})
}

// headers are those of the client's request.
func (c check) headers(id string) []load.Field {
	fields := []load.Field{
		{Name: ":authority", Value: host}, {Name: ":method", Value: c.method()},
		{Name: ":path", Value: c.path()}, {Name: ":scheme", Value: "https"},
		{Name: "accept", Value: "application/json, text/plain, */*"},
		{Name: "accept-encoding", Value: "gzip, deflate, br"},
	}
	if c.token != "" {
		fields = append(fields, load.Field{Name: "authorization", Value: "Bearer " + c.token})
	}
	return append(fields,
		load.Field{Name: "content-type", Value: "application/json"},
		load.Field{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		load.Field{Name: "x-ms-client-request-id", Value: id})
}

// A workload is a list of checks, encoded for a server that is asked directly, and for
// the Envoy in front of it.
type workload struct {
	checks   []check
	messages [][]byte
}

func newWorkload(checks []check) (*workload, error) {
	w := &workload{checks: checks, messages: make([][]byte, len(checks))}
	for i, c := range checks {
		var err error
		if w.messages[i], err = c.message(i); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// withTokens puts a token beside each question.
func withTokens(asked []question, tokens []string) []check {
	checks := make([]check, len(asked))
	for i, q := range asked {
		checks[i] = check{question: q, token: tokens[i]}
	}
	return checks
}

// grpc encodes the checks as calls.
func (w *workload) grpc() ([]load.Request, error) { return load.GRPC(checkMethod, w.messages) }

// http encodes the checks as requests to a proxy.
func (w *workload) http() []load.Request {
	headers := make([][]load.Field, len(w.checks))
	for i, c := range w.checks {
		headers[i] = c.headers(fmt.Sprintf("%08x-1b2c-4d3e-9f40-5a6b7c8d9e0f", i))
		// The proxy is spoken to in the clear.
		for j, f := range headers[i] {
			if f.Name == ":scheme" {
				headers[i][j].Value = "http"
			}
		}
	}
	return load.HTTP(headers)
}

func (w *workload) averageSize() int {
	sum := 0
	for _, m := range w.messages {
		sum += len(m)
	}
	return sum / len(w.messages)
}
