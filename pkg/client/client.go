package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// MaxQuestions is how many questions one [Client.BatchCheck] may ask.
const MaxQuestions = 1000

// maxAnswer is the size in bytes of the largest answer that is read.
const maxAnswer = 16 << 20

// A Checker answers questions; [Client] is the one. It must be safe for concurrent use,
// and never return an error together with a decision that allows.
type Checker interface {
	Check(ctx context.Context, q Question, options ...CallOption) (Decision, error)
}

// A Client asks a running Pathgrant. It is safe for concurrent use, and one is enough for
// a process: calls share a connection, which is made when it is first needed and made anew
// when it breaks.
type Client struct {
	service pathgrantv1.AuthorizationServiceClient
	timeout time.Duration
	conn    *grpc.ClientConn // nil where it is somebody else's
}

// Dial returns a client of the server at the target: host:port, tcp://host:port or
// unix:///path. It does not wait for the server, and starts nothing of its own that
// [Client.Close] does not end.
//
// The error reports everything that is wrong with the target and the options at once.
// Without TLS, a target that is neither a loopback address nor a unix socket is refused
// (see [WithPlaintext]).
func Dial(at string, options ...Option) (*Client, error) {
	s, err := apply(options)
	t, targetErr := parseTarget(at)
	if err := errors.Join(targetErr, err); err != nil {
		return nil, fmt.Errorf("dial pathgrant: %w", err)
	}
	transport := insecure.NewCredentials()
	switch {
	case s.tls != nil && t.unix && s.tls.ServerName == "":
		return nil, fmt.Errorf("dial pathgrant: target %q: a unix socket has no name to find in a certificate: set the server name", at)
	case s.tls != nil:
		transport = credentials.NewTLS(s.tls)
	case !t.local && !s.plaintext:
		return nil, fmt.Errorf("dial pathgrant: target %q: not on this machine and without TLS: use WithTLS or, where the network is trusted, WithPlaintext", at)
	}
	conn, err := grpc.NewClient(t.dial,
		grpc.WithTransportCredentials(transport),
		grpc.WithNoProxy(),              // what decides is not asked through somebody else
		grpc.WithDisableServiceConfig(), // nor does the DNS say what is tried again
		grpc.WithDefaultServiceConfig(serviceConfig(s.retries)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: s.keepalive, Timeout: 5 * time.Second, PermitWithoutStream: true}),
		// A sidecar that was started again is a neighbour: a minute of silence towards it,
		// which is what grpc would come to, would refuse every request meanwhile.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial pathgrant: target %q: %w", at, err)
	}
	return &Client{service: pathgrantv1.NewAuthorizationServiceClient(conn), timeout: s.timeout, conn: conn}, nil
}

// serviceConfig is grpc's own way to try again: bounded, with growing pauses, within the
// call's deadline, and ever less while a server fails most calls.
func serviceConfig(retries int) string {
	name := `"name":[{"service":"` + pathgrantv1.AuthorizationService_ServiceDesc.ServiceName + `"}]`
	if retries == 0 {
		return `{"methodConfig":[{` + name + `}]}`
	}
	return fmt.Sprintf(`{"methodConfig":[{%s,"retryPolicy":{"maxAttempts":%d,"initialBackoff":"0.02s","maxBackoff":"0.25s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}],"retryThrottling":{"maxTokens":100,"tokenRatio":0.1}}`,
		name, retries+1)
}

// New returns a client that asks over a connection of the caller's, which has its own
// interceptors, retries and transport, and stays open when the client is closed. Options
// that say how to connect are refused. Retries on the connection must be for UNAVAILABLE
// alone.
func New(conn grpc.ClientConnInterface, options ...Option) (*Client, error) {
	s, err := apply(options)
	if conn == nil {
		err = errors.Join(errors.New("the connection is nil"), err)
	}
	if s.connects != "" {
		err = errors.Join(err, fmt.Errorf("%s says how to connect, and the connection is there", s.connects))
	}
	if err != nil {
		return nil, fmt.Errorf("new pathgrant client: %w", err)
	}
	return &Client{service: pathgrantv1.NewAuthorizationServiceClient(conn), timeout: s.timeout}, nil
}

// Close ends the connection that [Dial] made; calls that are under way fail.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close the pathgrant client: %w", err)
	}
	return nil
}

// A CallOption changes one call.
type CallOption func(*call)

type call struct{ atLeast *pathgrantv1.Revision }

// AtLeast asks for an answer from this revision or a newer one, such as the one that a
// change returned. The call waits for it until shortly before its deadline (see
// [WithTimeout]) and is then denied as [authz.Stale]. The zero Revision asks for nothing.
func AtLeast(r authz.Revision) CallOption {
	return func(c *call) {
		c.atLeast = nil
		if r != (authz.Revision{}) {
			c.atLeast = &pathgrantv1.Revision{Epoch: r.Epoch, Number: r.Number}
		}
	}
}

func calling(options []CallOption) (c call) {
	for _, option := range options {
		option(&c)
	}
	return c
}

// Check asks one question. A refusal is a decision and no error. An error says that nothing
// was decided, which is to be treated as a denial, and comes with the zero Decision; its
// gRPC code is what [google.golang.org/grpc/status.Code] finds in it.
func (c *Client) Check(ctx context.Context, q Question, options ...CallOption) (Decision, error) {
	question, err := q.message()
	if err != nil {
		return Decision{}, fmt.Errorf("check: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.Check(ctx, &pathgrantv1.CheckRequest{Question: question, AtLeastRevision: calling(options).atLeast})
	if err != nil {
		return Decision{}, fmt.Errorf("check: %w", err)
	}
	return decisionOf(response.GetDecision()), nil
}

// BatchCheck asks 1 to [MaxQuestions] questions, all answered from one revision, and
// returns one decision for each, in their order. More are an error: a caller who splits
// them must know that the parts may be answered from different revisions.
func (c *Client) BatchCheck(ctx context.Context, questions []Question, options ...CallOption) ([]Decision, error) {
	if len(questions) == 0 || len(questions) > MaxQuestions {
		return nil, fmt.Errorf("batch check: %d questions, want 1 to %d in a call", len(questions), MaxQuestions)
	}
	in := &pathgrantv1.BatchCheckRequest{
		Questions:       make([]*pathgrantv1.CheckQuestion, len(questions)),
		AtLeastRevision: calling(options).atLeast,
	}
	var errs []error
	for i, q := range questions {
		question, err := q.message()
		if err != nil {
			errs = append(errs, fmt.Errorf("questions[%d]: %w", i, err))
		}
		in.Questions[i] = question
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("batch check: %w", errors.Join(errs...))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.BatchCheck(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("batch check: %w", err)
	}
	if len(response.GetDecisions()) != len(questions) {
		return nil, fmt.Errorf("batch check: %d decisions came on %d questions", len(response.GetDecisions()), len(questions))
	}
	decisions := make([]Decision, len(questions))
	for i, d := range response.GetDecisions() {
		decisions[i] = decisionOf(d)
	}
	return decisions, nil
}

// Resolve asks which permissions at which scopes a request needs, without asking who asks
// and without deciding anything. The scopes are in the tenant; without one, they begin
// with /tenants/{tenant}, braces and all. The catalogue may be empty, for the server's
// default.
func (c *Client) Resolve(ctx context.Context, r HTTPRequest, tenant, catalogue string) (Mapping, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.Resolve(ctx, &pathgrantv1.ResolveRequest{
		HttpRequest: r.message(), Tenant: tenant, Catalogue: catalogue,
	})
	if err != nil {
		return Mapping{}, fmt.Errorf("resolve: %w", err)
	}
	return mappingOf(response), nil
}
