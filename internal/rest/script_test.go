package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs what somebody would type, with a curl that knows -s, -X, -H and -d and
// writes the status before the body. Before each script an empty store is served at $API;
// "bundle" serves the company of the other tests instead.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			tenants := ""
			if strings.Contains(env.WorkDir, "company") {
				tenants = company
			}
			w := newWorld(t, tenants)
			server := httptest.NewServer(w)
			env.Defer(server.Close)
			env.Defer(http.DefaultClient.CloseIdleConnections)
			env.Setenv("API", server.URL)
			env.Setenv("SECRET_FILE", w.secret.Path())
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"curl": curl,
			// secret NAME puts what the operator's file holds into a variable.
			"secret": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(ts.Getenv("SECRET_FILE"))))
			},
			// keep NAME FIELD puts a field of the last answer into a variable.
			"keep": func(ts *testscript.TestScript, _ bool, args []string) {
				_, body, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
				var answer map[string]any
				ts.Check(json.Unmarshal([]byte(body), &answer))
				text, ok := answer[args[1]].(string)
				if !ok {
					ts.Fatalf("the answer has no %s: %s", args[1], body)
				}
				ts.Setenv(args[0], text)
			},
		},
	})
}

func curl(ts *testscript.TestScript, neg bool, args []string) {
	method, address, body := "", "", ""
	header := http.Header{}
	for i := 0; i < len(args); i++ {
		next := func() string {
			if i++; i == len(args) {
				ts.Fatalf("curl: %s needs a value", args[i-1])
			}
			return args[i]
		}
		switch args[i] {
		case "-s":
		case "-X":
			method = next()
		case "-H":
			name, value, ok := strings.Cut(next(), ": ")
			if !ok {
				ts.Fatalf("curl: the header %q has no value", args[i])
			}
			header.Add(name, value)
		case "-d":
			body = next()
		default:
			address = args[i]
		}
	}
	if method == "" {
		method = http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	ts.Check(err)
	r.Header = header
	if body != "" && header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl does
	}
	answered, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer func() { _ = answered.Body.Close() }() // it is only read
	text, err := io.ReadAll(answered.Body)
	ts.Check(err)
	_, err = fmt.Fprintf(ts.Stdout(), "HTTP %d\n%s", answered.StatusCode, text)
	ts.Check(err)
	if failed := answered.StatusCode >= http.StatusBadRequest; failed != neg {
		ts.Fatalf("curl: %s %s: %d %s", method, address, answered.StatusCode, text)
	}
}
