package extauthz_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A header as it is sent.
type sent struct{ name, value string }

// sentHeaders reads one header a line, "name:value".
func sentHeaders(text string) []sent {
	var all []sent
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":"); ok {
			all = append(all, sent{name, value})
		}
	}
	return all
}

// joined is the form in which each name stands once.
func joined(all []sent) map[string]string {
	m := map[string]string{}
	for _, h := range all {
		if earlier, again := m[h.name]; again {
			m[h.name] = earlier + "," + h.value
		} else {
			m[h.name] = h.value
		}
	}
	return m
}

// apart is the form in which each header stands for itself, as text or as bytes.
func apart(all []sent, raw bool) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for _, h := range all {
		value := &corev3.HeaderValue{Key: h.name, Value: h.value}
		if raw {
			value.Value, value.RawValue = "", []byte(h.value)
		}
		m.Headers = append(m.Headers, value)
	}
	return m
}

// FuzzHeaders: the same headers are read alike in whichever form they come, and in both
// at once; two forms that differ in anything are refused.
func FuzzHeaders(f *testing.F) {
	f.Add("authorization:Bearer x\ncontent-type:application/grpc+proto\n")
	f.Add("authorization:Bearer x\nauthorization:Bearer y\n")
	f.Add("a:\na:\nb:,\n")
	f.Add("a:1,2\na:3\n")
	f.Add("Authorization:Bearer x\n")
	f.Add("x-tenant:t1\nx-user:\xff\n")
	f.Add("content-type:APPLICATION/GRPC\n:authority:a\n")
	f.Fuzz(func(t *testing.T, text string) {
		all := sentHeaders(text)
		if slices.ContainsFunc(all, func(h sent) bool { return !utf8.ValidString(h.name) }) {
			return // cannot be put in a message; FuzzScanIsUnmarshal has such bytes
		}
		for _, h := range all {
			if h.name != strings.ToLower(h.name) {
				refuse(t, "a name that is not lower case", all, nil, apart(all, true))
				return
			}
		}
		bytes := read(t, nil, apart(all, true))
		if bytes.Unreadable != "" {
			t.Fatalf("%q is refused: %s", all, bytes.Unreadable)
		}
		for name, want := range joined(all) {
			if got := bytes.Header(name); got != want {
				t.Errorf("%q: %s is read as %q, want %q", all, name, got, want)
			}
		}
		if len(all) == 0 || !utf8.ValidString(text) { // "headers" and "value" hold nothing but UTF-8
			return
		}
		for form, r := range map[string]*ask.Request{
			"headers":              read(t, joined(all), nil),
			"header_map, as text":  read(t, nil, apart(all, false)),
			"both, text and bytes": read(t, joined(all), apart(all, true)),
			"both, text":           read(t, joined(all), apart(all, false)),
		} {
			if r.Unreadable != "" {
				t.Errorf("%q in %s is refused: %s", all, form, r.Unreadable)
				continue
			}
			if r.GRPC != bytes.GRPC || strings.Join(r.Credentials.Authorization, ",") != strings.Join(bytes.Credentials.Authorization, ",") {
				t.Errorf("%q in %s: gRPC %t, credentials %q; as bytes %t, %q", all, form, r.GRPC, r.Credentials.Authorization, bytes.GRPC, bytes.Credentials.Authorization)
			}
			for name, want := range joined(all) {
				if got := r.Header(name); got != want || strings.Join(r.Credentials.Header(name), ",") != want {
					t.Errorf("%q in %s: %s is read as %q, want %q", all, form, name, got, want)
				}
			}
		}
		for i := range all {
			changed := append([]sent(nil), all...)
			changed[i].value += "x"
			refuse(t, "another value", all, joined(changed), apart(all, true))
			missing := append(append([]sent(nil), all[:i]...), all[i+1:]...)
			if len(missing) > 0 {
				refuse(t, "one less apart", all, joined(all), apart(missing, true))
				refuse(t, "one less joined", all, joined(missing), apart(all, false))
			}
		}
		more := append(append([]sent(nil), all...), sent{"one-more", "x"})
		refuse(t, "one more apart", all, joined(all), apart(more, true))
		refuse(t, "one more joined", all, joined(more), apart(all, false))
	})
}

// read returns the question that a check with these headers becomes. It stays as it is
// because the server, which would use its memory again, is never asked again.
func read(t *testing.T, headers map[string]string, headerMap *corev3.HeaderMap) *ask.Request {
	t.Helper()
	var seen *ask.Request
	s := newServer(func(r *ask.Request, a *ask.Answer) { seen, a.Reason = r, authz.NoAssignment }, extauthz.DetailPermission)
	check(t, s, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/a", Headers: headers, HeaderMap: headerMap},
	}}})
	return seen
}

func refuse(t *testing.T, what string, all []sent, headers map[string]string, headerMap *corev3.HeaderMap) {
	t.Helper()
	if r := read(t, headers, headerMap); r.Unreadable == "" {
		t.Errorf("%s is not refused: %q sent as %q and %v", what, all, headers, headerMap.GetHeaders())
	}
}
