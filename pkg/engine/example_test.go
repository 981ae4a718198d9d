package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/engine"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "pathgrant-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// pathgrant import --data dir policy.yaml
	if _, err := importBundle(ctx, dir, policy, false); err != nil {
		log.Fatal(err)
	}

	e, err := engine.Open(ctx, dir, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	ada, err := e.Subject(authz.SubjectSpec{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: "ada"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range []string{"/powerapps/environments/e1/apps/a7", "/powerapps/environments/e2/apps/a7"} {
		d := e.Check(ctx, engine.Question{Subject: ada, Request: &naming.Request{Method: "PATCH", Path: path}})
		fmt.Println(d.Allowed(), d.Reason, d.Permissions, d.Scopes)
	}
	// Output:
	// true GRANTED [PowerApps.Apps.Update] [/tenants/contoso/environments/e1/powerapps/a7]
	// false OVERRIDDEN [PowerApps.Apps.Update] [/tenants/contoso/environments/e2/powerapps/a7]
}
