package main

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/pathgrant/pathgrant/bench/peers/world"
)

//go:embed policy.rego
var policy string

// An engine is the policy with its data, prepared once. It is safe for concurrent use.
type engine struct{ query rego.PreparedEvalQuery }

// newEngine puts the world's data into OPA's own store and prepares the query. The
// documents are keyed by what a decision looks up: principal, scope, role.
func newEngine(ctx context.Context, w *world.World) (*engine, error) {
	data, err := documents(w)
	if err != nil {
		return nil, err
	}
	store := inmem.NewFromObjectWithOpts(data, inmem.OptRoundTripOnWrite(false))
	query, err := rego.New(
		rego.Query("data.pathgrant.reason"),
		rego.Module("policy.rego", policy),
		rego.Store(store),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	return &engine{query: query}, nil
}

func documents(w *world.World) (map[string]any, error) {
	roles, err := world.Roles(world.ShippedRoles())
	if err != nil {
		return nil, err
	}
	grants, takes := map[string]any{}, map[string]any{}
	for _, role := range roles {
		granted, taken := map[string]any{}, map[string]any{}
		for _, permission := range role.Grants {
			granted[permission] = true
		}
		for _, permission := range role.Takes {
			taken[permission] = true
		}
		grants[role.Name], takes[role.Name] = granted, taken
	}
	allowed, denied := map[string]any{}, map[string]any{}
	for _, a := range w.Assignments {
		to := allowed
		if a.Denies() {
			to = denied
		}
		at, _ := to[a.Principal].(map[string]any)
		if at == nil {
			at = map[string]any{}
			to[a.Principal] = at
		}
		roles, _ := at[a.Scope].([]any)
		at[a.Scope] = append(roles, a.Role)
	}
	groups := map[string]any{}
	for user, of := range w.GroupsOf() {
		groups[user] = list(of)
	}
	scopes, chains := w.Chains(), map[string]any{}
	for _, environment := range w.Environments {
		chains[environment] = list(scopes[w.EnvironmentScope(environment)])
	}
	return map[string]any{
		"grants": grants, "takes": takes, "allowed": allowed, "denied": denied, "groups": groups, "chains": chains,
	}, nil
}

func list(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}

// input makes the policy's input, without a detour through JSON.
func input(user, permission, environment string) ast.Value {
	return ast.NewObject(
		[2]*ast.Term{ast.InternedTerm("user"), ast.StringTerm(user)},
		[2]*ast.Term{ast.InternedTerm("permission"), ast.StringTerm(permission)},
		[2]*ast.Term{ast.InternedTerm("environment"), ast.StringTerm(environment)},
	)
}

// ask evaluates the policy.
func (e *engine) ask(ctx context.Context, in ast.Value) (string, error) {
	results, err := e.query.Eval(ctx, rego.EvalParsedInput(in))
	if err != nil {
		return "", err
	}
	if len(results) == 1 && len(results[0].Expressions) == 1 {
		if reason, ok := results[0].Expressions[0].Value.(string); ok {
			return reason, nil
		}
	}
	return "", fmt.Errorf("the policy gave %v", results)
}
