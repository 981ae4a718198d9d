package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/server"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

const (
	defaultAdminServer = "tcp://127.0.0.1:9193"
	tokenVariable      = "PATHGRANT_TOKEN"
	// maxCredential bounds a token or a secret.
	maxCredential = 64 << 10
)

// adminClient says which server is administered, and by whom.
type adminClient struct {
	address, tokenFile, certFile, keyFile, caFile string
	operator                                      bool
	secretFile, data                              string
	timeout                                       time.Duration
	stdin                                         io.Reader
}

// serverFlags are those that say which server it is.
func (c *adminClient) serverFlags(cmd *cobra.Command, address, usage string) {
	f := cmd.Flags()
	f.StringVar(&c.address, "admin-server", address, usage)
	f.StringVar(&c.certFile, "cert", "", "a PEM `file` with a client certificate")
	f.StringVar(&c.keyFile, "key", "", "a PEM `file` with its key")
	f.StringVar(&c.caFile, "ca", "", "speak TLS, and verify the server with the roots in this PEM `file`")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for each answer")
}

// secretFlags are those of commands that an operator alone can give.
func (c *adminClient) secretFlags(cmd *cobra.Command) {
	c.operator = true
	cmd.Flags().StringVar(&c.data, "data", defaultData, "the server's data `directory`, which holds the operator's secret")
	cmd.Flags().StringVar(&c.secretFile, "secret-file", "", "the `file` with the operator's secret, or - for standard input, in place of --data")
}

// flags are those of commands that an administrator gives, and perhaps an operator.
func (c *adminClient) flags(cmd *cobra.Command) {
	c.serverFlags(cmd, defaultAdminServer, "the `address` of the server's --admin-listen")
	cmd.Flags().StringVar(&c.tokenFile, "token-file", "", "a `file` with a bearer token, or - for standard input (default the variable "+tokenVariable+")")
}

// readerFlags are flags with those of an operator, who may read.
func (c *adminClient) readerFlags(cmd *cobra.Command) {
	c.flags(cmd)
	c.secretFlags(cmd)
	c.operator = false
	cmd.Flags().BoolVar(&c.operator, "operator", false, "ask as the operator, with the secret in --data")
}

// dial connects to the server. Nothing is sent yet.
func (c *adminClient) dial(cmd *cobra.Command) (*grpc.ClientConn, error) {
	c.stdin = cmd.InOrStdin()
	address, err := server.ParseAddress(c.address)
	if err != nil {
		return nil, usagef("--admin-server: %v", err)
	}
	transport, err := c.transport(address)
	if err != nil {
		return nil, err
	}
	who, err := c.credentials(address)
	if err != nil {
		return nil, err
	}
	target := "passthrough:///" + address.Address
	if address.Network == "unix" {
		target = "unix:" + address.Address
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport), grpc.WithNoProxy(), grpc.WithUserAgent("pathgrant/" + buildVersion())}
	if who != nil {
		options = append(options, grpc.WithPerRPCCredentials(who))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("--admin-server %s: %w", c.address, err)
	}
	return conn, nil
}

func (c *adminClient) secured() bool { return c.caFile != "" || c.certFile != "" || c.keyFile != "" }

func (c *adminClient) transport(address server.Address) (credentials.TransportCredentials, error) {
	if !c.secured() {
		if !address.Local() {
			return nil, usagef("--admin-server %s may be another machine, and without TLS tokens and secrets could be read on the way: give --ca", c.address)
		}
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.caFile != "" {
		pem, err := os.ReadFile(c.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s holds no certificate", c.caFile)
		}
	}
	if c.certFile != "" || c.keyFile != "" {
		pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if address.Network == "unix" {
		return nil, usagef("--ca, --cert and --key are for TLS, and a unix socket has none")
	}
	return credentials.NewTLS(config), nil
}

// credentials returns what goes with each call; nil where a certificate says who it is.
func (c *adminClient) credentials(address server.Address) (credentials.PerRPCCredentials, error) {
	switch {
	case c.operator && c.secretFile == "-":
		secret, err := readCredential(c.stdin)
		if err != nil {
			return nil, fmt.Errorf("--secret-file -: %w", err)
		}
		return perCall(func() (string, error) { return "Operator " + secret, nil }), nil
	case c.operator:
		file := c.secretFile
		if file == "" {
			file = filepath.Join(c.data, admin.SecretFile)
		}
		return perCall(func() (string, error) { // it is another one after each call
			secret, err := readCredentialFile(file)
			return "Operator " + secret, err
		}), nil
	case c.tokenFile == "-":
		token, err := readCredential(c.stdin)
		if err != nil {
			return nil, fmt.Errorf("--token-file -: %w", err)
		}
		return perCall(func() (string, error) { return "Bearer " + token, nil }), nil
	case c.tokenFile != "":
		return perCall(func() (string, error) {
			token, err := readCredentialFile(c.tokenFile)
			return "Bearer " + token, err
		}), nil
	case os.Getenv(tokenVariable) != "":
		token := strings.TrimSpace(os.Getenv(tokenVariable))
		return perCall(func() (string, error) { return "Bearer " + token, nil }), nil
	case c.certFile != "":
		return nil, nil
	default:
		return nil, usagef("who are you? give --token-file, the variable %s, or --cert and --key", tokenVariable)
	}
}

func readCredentialFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readCredential(f)
}

// readCredential reads a token or a secret, which is one word.
func readCredential(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCredential+1))
	if err != nil {
		return "", err
	}
	word := strings.TrimSpace(string(text))
	if word == "" || len(text) > maxCredential || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("want one word, such as a token")
	}
	return word, nil
}

// perCall makes the authorization header of each call.
type perCall func() (string, error)

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (p perCall) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	value, err := p()
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return map[string]string{"authorization": value}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: whether the way is
// safe was looked at when the connection was made.
func (perCall) RequireTransportSecurity() bool { return false }

// callError is what a command says of a call that failed.
func callError(what string, err error) error {
	said, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	failed := fmt.Errorf("%s: %s (%s)", what, said.Message(), codeName(said.Code()))
	if said.Code() == codes.PermissionDenied {
		return refusedError{failed}
	}
	return failed
}

// codeName spells a code as the contract does, such as PERMISSION_DENIED.
func codeName(code codes.Code) string {
	text := code.String()
	var b strings.Builder
	for i, r := range text {
		if r >= 'A' && r <= 'Z' && i > 0 && text[i-1] >= 'a' && text[i-1] <= 'z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// administer runs do on a connection, within the timeout.
func (c *adminClient) administer(cmd *cobra.Command, do func(ctx context.Context, conn *grpc.ClientConn) error) (err error) {
	conn, err := c.dial(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return callError(cmd.CommandPath()[len("pathgrant "):], do(cmd.Context(), conn))
}

// call makes one call within the timeout.
func call[Q, R any](ctx context.Context, c *adminClient, do func(context.Context, Q, ...grpc.CallOption) (R, error), in Q) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return do(ctx, in)
}

// changeFlags are those of every change.
type changeFlags struct{ tenant, requestID, justification string }

func (f *changeFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "the tenant (default the caller's own)")
	cmd.Flags().StringVar(&f.requestID, "request-id", "", "an `id` of your choice: the same change sent again with it is made once")
	cmd.Flags().StringVar(&f.justification, "justification", "", "why, for the change audit")
}

func (f *changeFlags) context() *pathgrantv1.ChangeContext {
	return &pathgrantv1.ChangeContext{Tenant: f.tenant, RequestId: f.requestID, Justification: f.justification}
}

// principalFlags name a principal.
type principalFlags struct{ user, app, group, principalType, principal string }

func (f *principalFlags) flags(cmd *cobra.Command, callersOnly bool) {
	cmd.Flags().StringVar(&f.user, "user", "", "a user, by object `id`")
	cmd.Flags().StringVar(&f.app, "app", "", "a service principal, by enterprise object `id`")
	if callersOnly {
		return
	}
	cmd.Flags().StringVar(&f.group, "group", "", "a group, by object `id`")
	cmd.Flags().StringVar(&f.principalType, "principal-type", "", "the `type` of --principal: User, Group, ApplicationUser, DirectoryRole or Team")
	cmd.Flags().StringVar(&f.principal, "principal", "", "a principal of any type, by `id`")
	_ = cmd.RegisterFlagCompletionFunc("principal-type",
		cobra.FixedCompletions([]string{"User", "Group", "ApplicationUser", "DirectoryRole", "Team"}, cobra.ShellCompDirectiveNoFileComp))
}

var typesByName = map[string]pathgrantv1.PrincipalType{
	"user":            pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER,
	"group":           pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP,
	"applicationuser": pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER,
	"directoryrole":   pathgrantv1.PrincipalType_PRINCIPAL_TYPE_DIRECTORY_ROLE,
	"team":            pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM,
}

// read returns the principal that is named; nil: none.
func (f *principalFlags) read() (*pathgrantv1.Principal, error) {
	var all []*pathgrantv1.Principal
	for _, named := range []struct {
		t  pathgrantv1.PrincipalType
		id string
	}{
		{pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, f.user},
		{pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER, f.app},
		{pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP, f.group},
	} {
		if named.id != "" {
			all = append(all, &pathgrantv1.Principal{Type: named.t, Id: named.id})
		}
	}
	if (f.principal == "") != (f.principalType == "") {
		return nil, usagef("--principal-type and --principal go together")
	}
	if f.principal != "" {
		t, ok := typesByName[strings.ToLower(f.principalType)]
		if !ok {
			return nil, usagef("--principal-type %s: want User, Group, ApplicationUser, DirectoryRole or Team", f.principalType)
		}
		all = append(all, &pathgrantv1.Principal{Type: t, Id: f.principal})
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	default:
		return nil, usagef("several principals are named: want one")
	}
}

// must is read for commands that need one.
func (f *principalFlags) must(names string) (*pathgrantv1.Principal, error) {
	p, err := f.read()
	if err == nil && p == nil {
		err = usagef("who? give %s", names)
	}
	return p, err
}
