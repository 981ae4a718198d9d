package naming_test

import (
	"os"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// mapped is a resolution in the words of a table.
type mapped struct {
	Reason      string
	Permissions string // comma separated
	Scopes      string // comma separated, in the tenant {tenant}
	DecidedBy   string
}

func resolve(c *naming.Catalogues, req naming.Request) mapped {
	var r naming.Resolution
	c.Default().Resolve(req, &r)
	return inWords(c, &r)
}

func inWords(c *naming.Catalogues, r *naming.Resolution) mapped {
	m := mapped{DecidedBy: r.DecidedBy}
	if r.Reason != authz.ReasonUnspecified {
		m.Reason = r.Reason.String()
	}
	var permissions, scopes []string
	for _, id := range r.Permissions {
		permissions = append(permissions, string(c.Vocabulary().Name(id)))
	}
	for _, scope := range r.Scopes {
		scopes = append(scopes, string(scope.In("{tenant}")))
	}
	m.Permissions, m.Scopes = strings.Join(permissions, ","), strings.Join(scopes, ",")
	return m
}

func shipped(t testing.TB) *naming.Catalogues {
	t.Helper()
	c, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t testing.TB, text string) *naming.Catalogues {
	t.Helper()
	c, err := naming.Load(naming.Source{File: "test.yaml", Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every operation of the API that is known from public evidence, and the tricky cases of
// the grammar, come out as a person wrote them down.
func TestShippedCatalogueMapsTheKnownOperations(t *testing.T) {
	table, err := os.ReadFile("testdata/operations.tsv")
	if err != nil {
		t.Fatal(err)
	}
	c := shipped(t)
	rows, good := 0, 0
	for n, line := range strings.Split(strings.TrimRight(string(table), "\n"), "\n") {
		if n == 0 || line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		field := strings.Split(line, "\t")
		if len(field) != 6 {
			t.Fatalf("line %d has %d fields, want 6", n+1, len(field))
		}
		want := mapped{Permissions: field[3], Scopes: field[4], DecidedBy: field[5]}
		if field[3] == "UNMAPPED" || field[3] == "BAD_REQUEST" {
			want = mapped{Reason: field[3]}
		}
		rows++
		got := resolve(c, naming.Request{Method: field[0], Path: field[1], Host: field[2]})
		if got.Reason == "" {
			good++
		}
		if got != want {
			t.Errorf("line %d: %s %s (host %q)\n got %+v\nwant %+v", n+1, field[0], field[1], field[2], got, want)
		}
	}
	if rows < 150 {
		t.Errorf("only %d rows: the table is not complete", rows)
	}
	t.Logf("%d of %d rows are mapped", good, rows)
}
