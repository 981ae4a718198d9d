package naming_test

import (
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// Every way in which a path is refused, each with its own case.
func TestAnAmbiguousPathIsRefused(t *testing.T) {
	const (
		empty    = "the path is empty"
		relative = "the path does not start with /"
		long     = "the path is longer than 8 KiB"
		many     = "the path has more than 128 segments"
		char     = "the path has a byte that must not stand in one"
		percent  = "the path has a % that is not followed by two hex digits"
		escape   = "the path escapes a character that must not stand in one"
		utf8     = "the path escapes invalid UTF-8"
		slashes  = "the path has an empty segment"
		dots     = "the path has a segment . or .."
	)
	c := shipped(t)
	for _, test := range []struct{ name, path, detail string }{
		{"an empty path", "", empty},
		{"nothing but a query", "?a=b", empty},
		{"a path without its first slash", "powerapps/apps", relative},
		{"an absolute URL", "http://api.example/powerapps", relative},
		{"a star", "*", relative},
		{"an authority", "api.example:443", relative},
		{"a space first", " /powerapps", relative},
		{"an escaped slash first", "%2Fpowerapps", relative},
		{"one byte too many", "/" + strings.Repeat("a", 8<<10), long},
		{"one segment too many", strings.Repeat("/a", 129), many},
		{"a space", "/a b", char},
		{"a tab", "/a\tb", char},
		{"a line feed", "/a\nb", char},
		{"a carriage return", "/a\rb", char},
		{"a NUL", "/a\x00b", char},
		{"the last control", "/a\x1fb", char},
		{"a DEL", "/a\x7fb", char},
		{"the first byte that is not ASCII", "/a\x80b", char},
		{"UTF-8 that is not escaped", "/grün", char},
		{"the last byte", "/a\xff", char},
		{"a backslash", `/a\b`, char},
		{"a fragment", "/a#b", char},
		{"a fragment before the query", "/a#b?c", char},
		{"a semicolon", "/a;b", char},
		{"a parameter of a segment", "/a;jsessionid=1/b", char},
		{"a percent at the end", "/a%", percent},
		{"a percent and one digit", "/a%4", percent},
		{"a percent and one digit before a slash", "/a%4/b", percent},
		{"a percent and no digits", "/a%zz", percent},
		{"a percent and a digit too high", "/a%4g", percent},
		{"a percent of IIS", "/a%u0041", percent},
		{"an escaped NUL", "/a%00", escape},
		{"an escaped line feed", "/a%0Ab", escape},
		{"the last escaped control", "/a%1Fb", escape},
		{"an escaped DEL", "/a%7fb", escape},
		{"an escaped slash", "/a%2Fb", escape},
		{"an escaped slash in lower case", "/a%2fb", escape},
		{"an escaped backslash", "/a%5Cb", escape},
		{"an escaped percent", "/a%2541", escape},
		{"an escaped fragment", "/a%23b", escape},
		{"an escaped query", "/a%3Fb", escape},
		{"an escaped semicolon", "/a%3Bb", escape},
		{"a lone continuation byte", "/a%80", utf8},
		{"half a character", "/a%C3", utf8},
		{"half a character before another segment", "/a%C3/%A9", utf8},
		{"a character torn by another", "/%C3a%A9", utf8},
		{"a character torn by an escaped one", "/%C3%61%A9", utf8},
		{"a slash in two bytes", "/a%C0%AF", utf8},
		{"a dot in two bytes", "/%C0%AE%C0%AE/a", utf8},
		{"a slash in three bytes", "/a%E0%80%AF", utf8},
		{"half a surrogate pair", "/a%ED%A0%80", utf8},
		{"a character beyond the last", "/a%F4%90%80%80", utf8},
		{"a byte that UTF-8 never has", "/a%FF", utf8},
		{"two slashes", "/a//b", slashes},
		{"two slashes first", "//a", slashes},
		{"nothing but two slashes", "//", slashes},
		{"two slashes last", "/a//", slashes},
		{"two slashes before the query", "/a//?b", slashes},
		{"a dot", "/a/./b", dots},
		{"a dot last", "/a/.", dots},
		{"a dot and a slash last", "/a/./", dots},
		{"nothing but a dot", "/.", dots},
		{"two dots", "/a/../b", dots},
		{"two dots last", "/a/..", dots},
		{"two dots first", "/../a", dots},
		{"an escaped dot", "/a/%2e/b", dots},
		{"two escaped dots", "/a/%2E%2e/b", dots},
		{"one dot of two escaped", "/a/.%2e", dots},
		{"the other dot of two escaped", "/a/%2E./b", dots},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "get", ""} {
				for _, grpc := range []bool{false, true} {
					var r naming.Resolution
					c.Default().Resolve(naming.Request{Method: method, Path: test.path, GRPC: grpc}, &r)
					if r.Reason != authz.BadRequest || r.Detail != test.detail {
						t.Errorf("%q: got %v %q, want BAD_REQUEST %q", test.path, r.Reason, r.Detail, test.detail)
					}
				}
			}
		})
	}
}

func TestAPathGetsOneSpelling(t *testing.T) {
	for _, test := range []struct{ name, path, want string }{
		{"nothing", "/", ""},
		{"one segment", "/a", "a"},
		{"a slash at the end", "/a/b/", "a|b"},
		{"the query", "/a?b/c", "a"},
		{"a query that no path could be", "/a?//../;#\x00%", "a"},
		{"letters keep their case", "/aB/Cd", "aB|Cd"},
		{"what may stand", "/-._~!$&'()*+,:=@09azAZ", "-._~!$&'()*+,:=@09azAZ"},
		{"escapes of what may stand", "/%2D%2E%5F%7E%21%24%26%27%28%29%2A%2B%2C%3A%3D%40%30%39%61%7a%41%5A", "-._~!$&'()*+,:=@09azAZ"},
		{"escapes that stay", "/%20%22%3C%3E%5B%5D%5E%60%7B%7C%7D", "%20%22%3C%3E%5B%5D%5E%60%7B%7C%7D"},
		{"escapes that stay, in upper case", "/%3c%e2%82%ac", "%3C%E2%82%AC"},
		{"what may not stand has the same spelling as its escape", "/\"<>[]^`{|}", "%22%3C%3E%5B%5D%5E%60%7B%7C%7D"},
		{"characters of two, three and four bytes", "/%c3%a9%e2%82%ac%f0%9f%98%80", "%C3%A9%E2%82%AC%F0%9F%98%80"},
		{"the replacement character", "/%EF%BF%BD", "%EF%BF%BD"},
		{"the last character", "/%F4%8F%BF%BF", "%F4%8F%BF%BF"},
		{"three dots", "/.../..a/a../%2e%2e%2e", "...|..a|a..|..."},
		{"a dot before a space", "/.%20", ".%20"},
		{"an address", "/user%40contoso.com/user@contoso.com", "user@contoso.com|user@contoso.com"},
		{"the most segments", strings.Repeat("/a", 128), strings.Repeat("|a", 128)[1:]},
		{"the most segments and a slash", strings.Repeat("/a", 128) + "/", strings.Repeat("|a", 128)[1:]},
		{"the longest path", "/" + strings.Repeat("a", 8<<10-1), strings.Repeat("a", 8<<10-1)},
		{"the longest path and a query", "/" + strings.Repeat("a", 8<<10-1) + "?" + strings.Repeat("b", 99), strings.Repeat("a", 8<<10-1)},
		{"a path that grows", "/" + strings.Repeat(`"`, 8<<10-1), strings.Repeat("%22", 8<<10-1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			segments, refusal := naming.Canonical(test.path)
			if got := strings.Join(segments, "|"); got != test.want || refusal != "" {
				t.Errorf("%q: got %q, refused for %q; want %q", test.path, got, refusal, test.want)
			}
		})
	}
}

// Identifiers in files and in paths meet: what a path was given, a file is given too.
func TestIdentifiersOfPathsAndFilesHaveOneSpelling(t *testing.T) {
	for _, id := range []string{
		"e1", "E1", "user%40contoso.com", "a%20b", "gr%c3%bcn", `a"b`, "%7bx%7D", "B5E65502-F2E4-ECC7-8E66-DF670E46B100", "%42%35E65502-F2E4-ECC7-8E66-DF670E46B100",
		"Default-B5E65502-F2E4-ECC7-8E66-DF670E46B100", "...", "!$&'()*+,:=@",
	} {
		for _, fold := range []bool{false, true} {
			inFile, err := authz.CanonicalPathID(id, fold)
			if err != nil {
				t.Errorf("%q: %v", id, err)
			}
			c := load(t, catalogueOfApps(fold))
			var r naming.Resolution
			c.Default().Resolve(naming.Request{Method: "GET", Path: "/powerapps/environments/" + id + "/apps"}, &r)
			if len(r.Scopes) != 1 {
				t.Fatalf("%q: no scope: %v %s", id, r.Reason, r.Detail)
			}
			if got := r.Scopes[0].Environment; got != inFile {
				t.Errorf("%q, fold %t: %q in a path, %q in a file", id, fold, got, inFile)
			}
		}
	}
}

func catalogueOfApps(fold bool) string {
	text := "catalogue: apps\nnamespaces: {PowerApps: {resourceTypes: {Apps: {actions: [Play], scope: powerapps}}}}\n"
	if fold {
		text += "caseInsensitivePaths: true\n"
	}
	return text
}

// FuzzCanonicalPath: what is not refused is read the same again, and an identifier in it
// is spelled as one in a file.
func FuzzCanonicalPath(f *testing.F) {
	for _, path := range []string{
		"/", "/a/b/", "/a?b", "/%2e%2e/a", "/a%2Fb", "/a//b", "/gr%c3%bcn", "/%C3a%A9", "/a;b", "/a%00", `/"x"`, "/%F0%9F%98%80", "/.%2e", "/a%", "*",
		"/powerapps/environments/B5E65502-F2E4-ECC7-8E66-DF670E46B100/apps/user%40contoso.com", "/%E2%82%AC%E2%82", "/\xff", "/a/%20/",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, refusal := naming.Canonical(path)
		if refusal != "" {
			return
		}
		again, refusal := naming.Canonical("/" + strings.Join(segments, "/"))
		if refusal == "the path is longer than 8 KiB" {
			return // escapes of what came unescaped make it longer
		}
		if refusal != "" || strings.Join(again, "/") != strings.Join(segments, "/") {
			t.Fatalf("%q is read as %q, and that as %q (%s)", path, segments, again, refusal)
		}
		for _, segment := range segments {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "/\\;#? \"<>[]^`{|}") {
				t.Errorf("%q has the segment %q", path, segment)
			}
			if len(segment) > authz.MaxIDLen {
				continue
			}
			inFile, err := authz.CanonicalPathID(segment, false)
			if err != nil || inFile != segment && !strings.EqualFold(inFile, segment) {
				t.Errorf("the segment %q is %q in a file: %v", segment, inFile, err)
			}
		}
	})
}
