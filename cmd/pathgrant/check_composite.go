package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// compositeFlags are the flags of a composite question.
type compositeFlags struct {
	name, flow, app   string
	connectors, facts map[string]string
}

func (f *compositeFlags) flags(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&f.name, "composite", "", "ask for all that something takes: run-only-flow, run-app, or another that the catalogue has")
	set.StringVar(&f.flow, "flow", "", "the flow of --composite, by id")
	set.StringVar(&f.app, "app-id", "", "the app of --composite, by id")
	set.StringToStringVar(&f.connectors, "connector", nil, "a fact for --composite: whether whoever provides the connections over a connector has access to what it leads to, NAME=true or NAME=false (repeatable)")
	set.StringToStringVar(&f.facts, "fact", nil, "another fact for --composite, such as licence=true (repeatable)")
}

// unused refuses what goes with --composite where that is not given.
func (f *compositeFlags) unused() error {
	if f.flow != "" || f.app != "" || len(f.connectors)+len(f.facts) > 0 {
		return errors.New("--flow, --app-id, --connector, --fact: go with --composite")
	}
	return nil
}

// validate checks that the question is whole.
func (f *compositeFlags) validate(r checkRequest) error {
	if err := r.validateCaller(); err != nil {
		return err
	}
	switch {
	case r.Scope == "":
		return errors.New("scope: missing: the environment, /tenants/{tenant}/environments/{environment}")
	case r.Permission != "" || r.Method != "" || r.Path != "" || r.Record != nil || r.Relate != nil || r.OnBehalfOf != nil || len(r.Columns) > 0:
		return errors.New("--composite asks for all that it takes: leave out --permission, --method, --path and what goes with them")
	case (f.flow == "") == (f.app == ""):
		return errors.New("--flow, --app-id: want one of them")
	}
	for name, facts := range map[string]map[string]string{"connector": f.connectors, "fact": f.facts} {
		for key, value := range facts {
			if _, err := strconv.ParseBool(value); err != nil {
				return fmt.Errorf("--%s %s=%s: want true or false", name, key, value)
			}
		}
	}
	return nil
}

func (f *compositeFlags) question(r checkRequest) *pathgrantv1.CompositeQuestion {
	return &pathgrantv1.CompositeQuestion{
		Subject: r.subject(), Composite: f.name, Scope: r.Scope, Object: f.flow + f.app,
		Connectors: factsOf(f.connectors), Facts: factsOf(f.facts),
	}
}

// factsOf reads facts that were validated.
func factsOf(texts map[string]string) map[string]bool {
	facts := make(map[string]bool, len(texts))
	for name, text := range texts {
		facts[name], _ = strconv.ParseBool(text)
	}
	return facts
}

// compositeResult is a composite answer as it is printed.
type compositeResult struct {
	Allowed    bool           `json:"allowed"`
	Reason     string         `json:"reason"`
	Composite  string         `json:"composite"`
	Object     string         `json:"object"`
	Scope      string         `json:"scope"`
	Layers     []layerResult  `json:"layers"`
	Revision   authz.Revision `json:"revision"`
	DecisionID string         `json:"decisionId"`
	Detail     string         `json:"detail,omitempty"`
}

type layerResult struct {
	Layer        string              `json:"layer"`
	State        string              `json:"state"`
	Reason       string              `json:"reason"`
	Mend         string              `json:"mend,omitempty"`
	Requirements []requirementResult `json:"requirements"`
}

type requirementResult struct {
	State             string `json:"state"`
	Reason            string `json:"reason"`
	Requirement       string `json:"requirement"`
	Of                string `json:"of,omitempty"`
	PrincipalType     string `json:"principalType,omitempty"`
	PrincipalObjectID string `json:"principalObjectId,omitempty"`
	Permission        string `json:"permission,omitempty"`
	Scope             string `json:"scope,omitempty"`
	Detail            string `json:"detail,omitempty"`
	Mend              string `json:"mend,omitempty"`
}

func (c checker) composite(ctx context.Context, w io.Writer, output string, q *pathgrantv1.CompositeQuestion) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.asker.CheckComposite(ctx, &pathgrantv1.CheckCompositeRequest{Question: q, AtLeastRevision: c.atLeast})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	result := compositeResultOf(response.GetDecision())
	if output == "json" {
		err = printJSON(w, result)
	} else {
		err = result.print(w)
	}
	if err == nil && !result.Allowed {
		err = errDenied
	}
	return err
}

func compositeResultOf(d *pathgrantv1.CompositeDecision) compositeResult {
	result := compositeResult{
		Allowed:   d.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW,
		Reason:    enumName(d.GetReason().String(), "REASON_"),
		Composite: d.GetComposite(), Object: d.GetObject(), Scope: d.GetScope(), Layers: []layerResult{},
		Revision:   authz.Revision{Epoch: d.GetRevision().GetEpoch(), Number: d.GetRevision().GetNumber()},
		DecisionID: d.GetDecisionId(), Detail: d.GetDetail(),
	}
	for _, l := range d.GetLayers() {
		layer := layerResult{
			Layer: l.GetName(), State: stateName(l.GetState()), Reason: enumName(l.GetReason().String(), "REASON_"),
			Mend: l.GetMend(), Requirements: []requirementResult{},
		}
		for _, q := range l.GetRequirements() {
			layer.Requirements = append(layer.Requirements, requirementResult{
				State: stateName(q.GetState()), Reason: enumName(q.GetReason().String(), "REASON_"), Requirement: q.GetText(),
				Of:            strings.ToLower(enumName(q.GetOf().String(), "COMPOSITE_PARTY_")),
				PrincipalType: principalTypeName(q.GetPrincipal().GetType()), PrincipalObjectID: q.GetPrincipal().GetId(),
				Permission: q.GetPermission(), Scope: q.GetScope(), Detail: q.GetDetail(), Mend: q.GetMend(),
			})
		}
		result.Layers = append(result.Layers, layer)
	}
	return result
}

// stateName is a layer's state; one that is not known has failed.
func stateName(s pathgrantv1.LayerState) string {
	switch s {
	case pathgrantv1.LayerState_LAYER_STATE_PASSED, pathgrantv1.LayerState_LAYER_STATE_UNKNOWN:
		return strings.TrimPrefix(s.String(), "LAYER_STATE_")
	default:
		return "FAILED"
	}
}

// print shows every layer in a table, and below each that did not pass, what it lacks.
func (result compositeResult) print(w io.Writer) error {
	effect := authz.Deny
	if result.Allowed {
		effect = authz.Allow
	}
	fmt.Fprintf(w, "%-12s %s\n", "decision", effect.String()+" "+result.Reason)
	if result.Detail != "" {
		fmt.Fprintf(w, "%-12s %s\n", "detail", result.Detail)
	}
	if result.Revision != (authz.Revision{}) {
		fmt.Fprintf(w, "%-12s %d.%d\n", "revision", result.Revision.Epoch, result.Revision.Number)
	}
	fmt.Fprintf(w, "%-12s %s\n", "decision id", result.DecisionID)
	if len(result.Layers) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows []string
	for _, layer := range result.Layers {
		rows = append(rows, strings.Join([]string{layer.Layer, layer.State, layer.Reason, count(len(layer.Requirements)), orDash(layer.Mend)}, "\t"))
		for _, q := range layer.Requirements {
			if q.State != "PASSED" {
				rows = append(rows, strings.Join([]string{"", q.State, q.Reason, q.Requirement, orDash(q.Mend)}, "\t"))
			}
		}
	}
	return printTable(w, "LAYER\tSTATE\tREASON\tWHAT IT TAKES\tMEND", rows)
}

func count(n int) string {
	if n == 1 {
		return "1 requirement"
	}
	return fmt.Sprintf("%d requirements", n)
}

// principalTypeNamed is the other way round of [principalTypeName].
func principalTypeNamed(t authz.PrincipalType) pathgrantv1.PrincipalType {
	for number := range pathgrantv1.PrincipalType_name {
		if theirs := pathgrantv1.PrincipalType(number); t != authz.NoPrincipal && principalTypeName(theirs) == t.String() {
			return theirs
		}
	}
	return pathgrantv1.PrincipalType_PRINCIPAL_TYPE_UNSPECIFIED
}
