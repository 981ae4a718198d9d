// Command pathgrant measures Pathgrant's own packages, whole: a request with method,
// host, path and bearer token is mapped, its token found among the verified ones, the
// caller's view found in the cache, and decided.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

func main() {
	file := flag.String("world", "", "the world's file")
	flag.Parse()
	if err := run(*file); err != nil {
		fmt.Fprintln(os.Stderr, "pathgrant:", err)
		os.Exit(1)
	}
}

func run(file string) (err error) {
	dir, err := os.MkdirTemp("", "pathgrant-peer-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var store *snapshot.Store
	defer func() {
		if store != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	return inprocess.Main(file, func(w *world.World) ([]inprocess.Row, error) {
		ctx := context.Background()
		catalogues, opened, err := open(ctx, w, dir)
		if err != nil {
			return nil, err
		}
		store = opened
		return rows(ctx, w, catalogues, store)
	})
}

// open makes a store in the directory that holds the world.
func open(ctx context.Context, w *world.World, dir string) (*naming.Catalogues, *snapshot.Store, error) {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		return nil, nil, err
	}
	store, err := snapshot.Open(ctx, snapshot.Options{
		Dir: dir, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.Shipped(), FoldCase: catalogues.FoldCase(),
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := store.Replace(ctx, data(w), snapshot.Change{Source: "bench"}); err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return catalogues, store, nil
}

func rows(ctx context.Context, w *world.World, catalogues *naming.Catalogues, store *snapshot.Store) ([]inprocess.Row, error) {
	verifier, err := identity.New(identity.Config{FoldCase: catalogues.FoldCase(), Sources: []identity.SourceConfig{{
		JWT: &identity.JWTConfig{Issuers: []identity.IssuerConfig{{
			Issuer: w.Issuer, Audiences: []string{w.Audience}, JWKSInline: string(w.JWKS), Tenant: w.Tenant,
		}}},
	}}}, identity.Deps{})
	if err != nil {
		return nil, err
	}
	whole := gate.New(gate.Options{
		Catalogues: catalogues, Snapshots: store, Identity: verifier, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	withToken, withSubject := make([]ask.Request, len(w.Requests)), make([]ask.Request, len(w.Requests))
	questions := make([]question, len(w.Requests))
	for i, request := range w.Requests {
		r := ask.Request{Adapter: "bench", HTTP: true, Method: request.Method, Host: request.Host, Path: request.Path}
		withToken[i], withSubject[i] = r, r
		withToken[i].Credentials.Authorization = []string{"Bearer " + request.Token}
		subject, err := authz.NewSubject(authz.SubjectSpec{
			Tenant: w.Tenant, Principal: authz.Principal{Type: authz.User, ID: request.User}, FoldCase: catalogues.FoldCase(),
		})
		if err != nil {
			return nil, err
		}
		withSubject[i].Subject = subject
		if questions[i], err = prepare(catalogues, request, subject); err != nil {
			return nil, err
		}
	}
	var answer ask.Answer
	ask := func(requests []ask.Request) func(int) (string, error) {
		return func(i int) (string, error) {
			whole.Decide(ctx, &requests[i], &answer)
			return answer.Reason.String(), nil
		}
	}
	if err := warm(ctx, store, withSubject); err != nil {
		return nil, err
	}
	return []inprocess.Row{
		{Name: "Pathgrant, whole: map, token, view, decide", Ask: ask(withToken)},
		{Name: "Pathgrant, caller given: map, view, decide", Ask: ask(withSubject)},
		{Name: "Pathgrant, question given as to the others: view, decide", Ask: func(i int) (string, error) {
			return questions[i].decide(ctx, store)
		}},
	}, nil
}

// A question is what the other peers are asked: who, which permission, where.
type question struct {
	subject    *authz.Subject
	permission []authz.PermissionID
	scope      authz.NamedScope
	chain      []authz.Scope
	chains     [1][]authz.Scope
	scratch    []byte
}

func prepare(catalogues *naming.Catalogues, request world.Request, subject *authz.Subject) (question, error) {
	id, known := catalogues.Vocabulary().ID(request.Permission)
	if !known {
		return question{}, fmt.Errorf("the catalogue knows no permission %q", request.Permission)
	}
	_, scope, err := authz.ParseScope(request.Scope, catalogues.FoldCase())
	return question{subject: subject, permission: []authz.PermissionID{id}, scope: scope}, err
}

func (q *question) decide(ctx context.Context, store *snapshot.Store) (string, error) {
	found, err := store.View(ctx, q.subject)
	if err != nil {
		return "", err
	}
	q.scratch = q.scratch[:0]
	chain, known := found.Tenant.Hierarchy().AppendChain(q.chain[:0], q.scope, &q.scratch)
	if !known {
		return "", errors.New("the scope is not listed")
	}
	q.chain, q.chains[0] = chain, chain
	d := authz.Decide(found.View.Grants, authz.Request{Permissions: q.permission, Chains: q.chains[:]}, time.Now().Unix())
	return d.Reason.String(), nil
}

// warm asks until every view is in the cache, which takes them in the background: the
// other peers read nothing from disk either.
func warm(ctx context.Context, store *snapshot.Store, requests []ask.Request) error {
	for range 1000 {
		misses := store.Stats().Misses
		for i := range requests {
			if _, err := store.View(ctx, requests[i].Subject); err != nil {
				return err
			}
		}
		if store.Stats().Misses == misses {
			return nil
		}
	}
	return errors.New("the views do not stay in the cache")
}

// data is the world as a source would deliver it.
func data(w *world.World) *snapshot.Data {
	t := snapshot.Tenant{ID: w.Tenant, DirectoryComplete: true}
	for _, environment := range w.Environments {
		t.Environments = append(t.Environments, snapshot.Environment{ID: environment})
	}
	for _, group := range w.EnvironmentGroups {
		t.EnvironmentGroups = append(t.EnvironmentGroups, authz.EnvironmentGroup{ID: group.ID, Environments: group.Environments})
	}
	for _, group := range w.Groups {
		g := snapshot.Group{ID: group.ID}
		for _, member := range group.Members {
			g.Members = append(g.Members, authz.Principal{Type: authz.User, ID: member})
		}
		t.Groups = append(t.Groups, g)
	}
	for i, a := range w.Assignments {
		definition, _ := roles.Find(roles.Shipped(), a.Role)
		assignment := snapshot.RoleAssignment{
			ID: fmt.Sprintf("a%d", i), Principal: authz.Principal{Type: authz.User, ID: a.Principal},
			RoleDefinitionID: definition.ID, Scope: authz.Scope(a.Scope), Effect: authz.AssignAllow,
		}
		if a.PrincipalType == "Group" {
			assignment.Principal.Type = authz.Group
		}
		if a.Denies() {
			assignment.Effect = authz.AssignDeny
		}
		t.RoleAssignments = append(t.RoleAssignments, assignment)
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}
