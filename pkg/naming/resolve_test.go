package naming_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// The cases stand in testdata/resolve, one a line:
//
//	METHOD PATH [host:H] [grpc] [header:value]… => PERMISSIONS @ SCOPES (step) [tail N] [tenants …]
func TestResolve(t *testing.T) {
	files, err := filepath.Glob("testdata/resolve/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := load(t, string(archive.Files[0].Data))
			var r naming.Resolution // used again for every case: nothing may stay from the one before
			for line := range strings.SplitSeq(string(archive.Files[1].Data), "\n") {
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				request, want, ok := strings.Cut(line, "=>")
				if !ok {
					t.Fatalf("no => in %q", line)
				}
				want = strings.Join(strings.Fields(want), " ")
				for range 2 { // cold and warm
					c.Default().Resolve(parseRequest(t, request), &r)
					if got := describe(c, &r); got != want {
						t.Errorf("%s\n got %s (%s)\nwant %s", strings.TrimSpace(request), got, r.Detail, want)
					}
				}
			}
		})
	}
}

func parseRequest(t *testing.T, text string) naming.Request {
	t.Helper()
	words := strings.Fields(text)
	if len(words) < 2 {
		t.Fatalf("no request: %q", text)
	}
	req := naming.Request{Method: words[0], Path: words[1]}
	headers, extensions := map[string]string{}, map[string]string{}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, ":")
		switch {
		case word == "grpc":
			req.GRPC = true
		case name == "host":
			req.Host = value
		case name == "extension":
			name, value, _ = strings.Cut(value, "=")
			extensions[name] = value
		default:
			headers[name] = value
		}
	}
	if len(headers) > 0 {
		req.Header = func(name string) string { return headers[name] }
	}
	if len(extensions) > 0 {
		req.ContextExtension = func(name string) string { return extensions[name] }
	}
	return req
}

// describe writes a resolution as the cases do, and checks what holds for all.
func describe(c *naming.Catalogues, r *naming.Resolution) string {
	m := inWords(c, r)
	if r.Reason != authz.ReasonUnspecified {
		left := fmt.Sprintf("%v%v%v%v%d", r.Permissions, r.Scopes, r.Tenants, r.GrantedTo, r.Unread)
		if r.Reason != authz.Public {
			left += r.DecidedBy + r.Rule
		}
		if left != "[][][][]0" {
			return m.Reason + " and left behind: " + left
		}
		if r.Reason == authz.Public {
			return m.Reason + " (" + r.DecidedBy + ")"
		}
		return m.Reason
	}
	scopes := strings.ReplaceAll(m.Scopes, "/tenants/{tenant}/", "")
	scopes = strings.ReplaceAll(scopes, "/tenants/{tenant}", "tenant")
	text := m.Permissions + " @ " + scopes + " (" + m.DecidedBy + ")"
	if r.Unread > 0 {
		text += fmt.Sprintf(" tail %d", r.Unread)
	}
	for _, scope := range r.Scopes {
		if scope.FromHost {
			text += " fromHost"
			break
		}
	}
	if len(r.Tenants) > 0 {
		text += " tenants " + strings.Join(r.Tenants, ",")
	}
	for _, principal := range r.GrantedTo {
		text += " grantedTo " + principal.String()
	}
	return text
}
