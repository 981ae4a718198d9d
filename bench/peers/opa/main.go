// Command opa is Open Policy Agent with the same rules in Rego: in process, and as the
// policy of a plain ext_authz server.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
)

func main() {
	file := flag.String("world", "", "the world's file")
	listen := flag.String("listen", "", "serve ext_authz at unix:///path or tcp://host:port; otherwise measure in process")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *listen != "" {
		err = serve(ctx, os.Stdout, *listen, *file)
	} else {
		err = inprocess.Main(*file, func(w *world.World) ([]inprocess.Row, error) { return rows(ctx, w) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "opa:", err)
		os.Exit(1)
	}
}

func rows(ctx context.Context, w *world.World) ([]inprocess.Row, error) {
	e, err := newEngine(ctx, w)
	if err != nil {
		return nil, err
	}
	inputs := make([]ast.Value, len(w.Requests))
	for i, request := range w.Requests {
		inputs[i] = input(request.User, request.Permission, request.Environment)
	}
	return []inprocess.Row{
		{Name: "OPA, prepared query", Ask: func(i int) (string, error) { return e.ask(ctx, inputs[i]) }},
	}, nil
}
