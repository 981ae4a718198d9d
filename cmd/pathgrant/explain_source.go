package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// An explainer answers questions about decisions: a server's, or one in this process.
type explainer interface {
	Explain(ctx context.Context, in *pathgrantv1.ExplainRequest) (*pathgrantv1.ExplainResponse, error)
	WhoCan(ctx context.Context, in *pathgrantv1.WhoCanRequest) (*pathgrantv1.WhoCanResponse, error)
	WhatCan(ctx context.Context, in *pathgrantv1.WhatCanRequest) (*pathgrantv1.WhatCanResponse, error)
	WhereCan(ctx context.Context, in *pathgrantv1.WhereCanRequest) (*pathgrantv1.WhereCanResponse, error)
}

// explainSource says who is asked about decisions: a server's administration, or this process
// from a bundle or a data directory. Both answer through the same service.
type explainSource struct {
	client adminClient
	bundle string
	files  modelFiles
}

func (s *explainSource) flags(cmd *cobra.Command) {
	s.client.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.bundle, "bundle", "", "answer from this bundle `file`, without a server")
	f.StringVar(&s.client.data, "data", "", "answer from this data `directory`, without a server; with --operator, the server's, which holds the operator's secret (default "+defaultData+")")
	f.BoolVar(&s.client.operator, "operator", false, "ask the server as the operator, with the secret in --data")
	f.StringVar(&s.client.secretFile, "secret-file", "", "with --operator, the `file` with the operator's secret, or - for standard input, in place of --data")
	s.files.flags(cmd, ", with --bundle or --data")
	cmd.MarkFlagsMutuallyExclusive("bundle", "data")
	cmd.MarkFlagsMutuallyExclusive("bundle", "admin-server")
	cmd.MarkFlagsMutuallyExclusive("bundle", "operator")
}

// offline tells whether this process answers.
func (s *explainSource) offline() bool {
	return s.bundle != "" || s.client.data != "" && !s.client.operator
}

// ask lets do ask.
func (s *explainSource) ask(cmd *cobra.Command, do func(ctx context.Context, asked explainer) error) error {
	if s.offline() {
		if cmd.Flags().Changed("admin-server") {
			return usagef("--data answers without a server: leave out --admin-server, or ask as the --operator")
		}
		return s.askHere(cmd, do)
	}
	if flag := s.files.given(); flag != "" {
		return usagef("%s goes with --bundle or --data; a server has its own", flag)
	}
	if s.client.operator && s.client.data == "" {
		s.client.data = defaultData
	}
	return s.client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		return do(ctx, remoteExplainer{&s.client, pathgrantv1.NewExplainServiceClient(conn)})
	})
}

func (s *explainSource) askHere(cmd *cobra.Command, do func(ctx context.Context, asked explainer) error) (err error) {
	ctx, log := cmd.Context(), warnings(cmd.ErrOrStderr())
	m, err := s.files.load()
	if err != nil {
		return err
	}
	var store *snapshot.Store
	remove := ""
	if s.bundle != "" {
		store, remove, err = storeOfBundle(ctx, m, s.bundle, log)
	} else {
		store, err = openStore(ctx, m, storeOptions{dir: s.client.data, readOnly: true, log: log})
	}
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, store.Close())
		if remove != "" {
			err = errors.Join(err, os.RemoveAll(remove))
		}
	}()
	a, err := newAdmin(m, store, nil)
	if err != nil {
		return err
	}
	service := newExplainService(explainParts{
		roles: m.roles,
		gate:  gate.Options{Catalogues: m.Catalogues, Snapshots: store, Log: log, Now: time.Now}, admin: a,
	})
	return callError(cmd.CommandPath()[len("pathgrant "):], do(ctx, hereExplainer{service, s.client.timeout}))
}

// remoteExplainer asks a server.
type remoteExplainer struct {
	client  *adminClient
	service pathgrantv1.ExplainServiceClient
}

func (r remoteExplainer) Explain(ctx context.Context, in *pathgrantv1.ExplainRequest) (*pathgrantv1.ExplainResponse, error) {
	return call(ctx, r.client, r.service.Explain, in)
}

func (r remoteExplainer) WhoCan(ctx context.Context, in *pathgrantv1.WhoCanRequest) (*pathgrantv1.WhoCanResponse, error) {
	return call(ctx, r.client, r.service.WhoCan, in)
}

func (r remoteExplainer) WhatCan(ctx context.Context, in *pathgrantv1.WhatCanRequest) (*pathgrantv1.WhatCanResponse, error) {
	return call(ctx, r.client, r.service.WhatCan, in)
}

func (r remoteExplainer) WhereCan(ctx context.Context, in *pathgrantv1.WhereCanRequest) (*pathgrantv1.WhereCanResponse, error) {
	return call(ctx, r.client, r.service.WhereCan, in)
}

// hereExplainer answers in this process, with the service that a server runs.
type hereExplainer struct {
	service *rpc.Explain
	timeout time.Duration
}

func (h hereExplainer) Explain(ctx context.Context, in *pathgrantv1.ExplainRequest) (*pathgrantv1.ExplainResponse, error) {
	return callHere(ctx, h, h.service.Explain, in)
}

func (h hereExplainer) WhoCan(ctx context.Context, in *pathgrantv1.WhoCanRequest) (*pathgrantv1.WhoCanResponse, error) {
	return callHere(ctx, h, h.service.WhoCan, in)
}

func (h hereExplainer) WhatCan(ctx context.Context, in *pathgrantv1.WhatCanRequest) (*pathgrantv1.WhatCanResponse, error) {
	return callHere(ctx, h, h.service.WhatCan, in)
}

func (h hereExplainer) WhereCan(ctx context.Context, in *pathgrantv1.WhereCanRequest) (*pathgrantv1.WhereCanResponse, error) {
	return callHere(ctx, h, h.service.WhereCan, in)
}

func callHere[Q, R any](ctx context.Context, h hereExplainer, do func(context.Context, Q) (R, error), in Q) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	return rpc.CallHere(ctx, do, in)
}
