package authz_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	guid      = "7f1d0a2b-0000-4abc-8def-0123456789ab"
	upperGUID = "7F1D0A2B-0000-4ABC-8DEF-0123456789AB"
)

func TestParseScope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		fold   bool
		tenant string
		want   authz.NamedScope
		scope  authz.Scope
	}{
		{"/tenants/t", false, "t", authz.NamedScope{Kind: authz.TenantScope}, "/tenants/t"},
		{"/tenants/" + upperGUID, false, guid, authz.NamedScope{Kind: authz.TenantScope}, "/tenants/" + guid},
		{"/tenants/t/environmentGroups/G", false, "t", authz.NamedScope{Kind: authz.EnvironmentGroupScope, ID: "G"}, "/tenants/t/environmentGroups/G"},
		{"/tenants/t/environments/E", false, "t", authz.NamedScope{Kind: authz.EnvironmentScope, Environment: "E"}, "/tenants/t/environments/E"},
		{"/tenants/t/environments/E", true, "t", authz.NamedScope{Kind: authz.EnvironmentScope, Environment: "e"}, "/tenants/t/environments/e"},
		{"/Tenants/T/ENVIRONMENTS/E", true, "t", authz.NamedScope{Kind: authz.EnvironmentScope, Environment: "e"}, "/tenants/t/environments/e"},
		{"/tenants/T/environmentgroups/G", true, "t", authz.NamedScope{Kind: authz.EnvironmentGroupScope, ID: "g"}, "/tenants/t/environmentGroups/g"},
		{"/tenants/t/environments/e/businessUnits/b", false, "t", authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: "e", ID: "b"}, "/tenants/t/environments/e/businessUnits/b"},
		{"/tenants/t/environments/e/BUSINESSUNITS/B", true, "t", authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: "e", ID: "b"}, "/tenants/t/environments/e/businessUnits/b"},
		{"/tenants/t/environments/e/powerapps/" + upperGUID, false, "t", authz.NamedScope{Kind: authz.ResourceScope, Environment: "e", Type: "powerapps", ID: guid}, authz.Scope("/tenants/t/environments/e/powerapps/" + guid)},
		{"/tenants/t/environments/e/PowerApps/A", true, "t", authz.NamedScope{Kind: authz.ResourceScope, Environment: "e", Type: "powerapps", ID: "a"}, "/tenants/t/environments/e/powerapps/a"},
		{"/tenants/t/environments/e/flows/a%2cb%7b", false, "t", authz.NamedScope{Kind: authz.ResourceScope, Environment: "e", Type: "flows", ID: "a,b%7B"}, "/tenants/t/environments/e/flows/a,b%7B"},
	} {
		tenant, named, err := authz.ParseScope(c.text, c.fold)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if diff := cmp.Diff(c.want, named); diff != "" || tenant != c.tenant {
			t.Errorf("%q is of tenant %q (-want +got):\n%s", c.text, tenant, diff)
		}
		if got := named.In(tenant); got != c.scope {
			t.Errorf("%q is written %q, want %q", c.text, got, c.scope)
		}
	}
}

func TestParseScopeRefusesEveryOtherForm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "/", "//", "tenants/t", "/tenants", "/tenants/", "/tenants//", "/tenants/t/", " /tenants/t",
		"/Tenants/t", "/tenants/t/Environments/e", "/tenants/t/environmentgroups/g",
		"/tenants/t/environments/e/environmentGroups/g", "/tenants/t/environments/e/environments/f",
		"/tenants/t/environments/e/businessunits/b", "/tenants/t/environments/e/tenants/u",
		"/tenants/t/environments", "/tenants/t/environments/", "/tenants/t//e", "/tenants/t/powerapps/a",
		"/environments/e", "/tenants/t/environmentGroups/g/environments/e", "/tenants/t/environments/e/powerapps",
		"/tenants/t/environments/e/powerapps/", "/tenants/t/environments/e/powerapps/a/b/c", "/tenants/t/environments/e/power apps/a",
		"/tenants/t/environments/e//a", "/tenants/./environments/e", "/tenants/t/environments/..", "/tenants/%2e%2E",
		"/tenants/a%2fb", "/tenants/a%00b", "/tenants/a%", "/tenants/a%zz", "/tenants/a;b", "/tenants/a?b", "/tenants/a#b", `/tenants/a\b`,
		"/tenants/\xff", "/tenants/%ff", "/tenants/" + strings.Repeat("a", authz.MaxIDLen+1),
	} {
		tenant, named, err := authz.ParseScope(text, false)
		if err == nil {
			t.Errorf("%q is a scope", text)
		}
		if tenant != "" || named != (authz.NamedScope{}) {
			t.Errorf("%q was refused and left %q and %+v behind", text, tenant, named)
		}
	}
}

// The zero NamedScope and the zero kind are no scope of any tenant.
func TestZeroNamedScopeIsKnownToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var scratch []byte
	for _, named := range []authz.NamedScope{{}, {Kind: 99}, {Environment: "prod"}} {
		if chain, ok := w.hierarchy.AppendChain(nil, named, &scratch); ok || len(chain) > 0 {
			t.Errorf("%+v has the chain %v", named, chain)
		}
	}
}

func TestCanonicalID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id   string
		fold bool
		want string
	}{
		{guid, false, guid},
		{upperGUID, false, guid},
		{upperGUID, true, guid},
		{"Ada", false, "Ada"},
		{"Ada", true, "ada"},
		{"ÄDA", true, "Äda"}, // ASCII only: no spelling changes its meaning
		{upperGUID + "A", false, upperGUID + "A"},
		{upperGUID[1:], false, upperGUID[1:]},
		{strings.ReplaceAll(upperGUID, "-", "A"), false, strings.ReplaceAll(upperGUID, "-", "A")},
		{"{" + upperGUID[2:] + "}", false, "{" + upperGUID[2:] + "}"},
		{"G" + upperGUID[1:], false, "G" + upperGUID[1:]},
		{"", false, ""},
	} {
		if got := authz.CanonicalID(c.id, c.fold); got != c.want {
			t.Errorf("CanonicalID(%q, %v) = %q, want %q", c.id, c.fold, got, c.want)
		}
	}
}

func TestCanonicalPathID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id   string
		fold bool
		want string
	}{
		{"a7", false, "a7"},
		{"A7", false, "A7"},
		{"A7", true, "a7"},
		{upperGUID, false, guid},
		{"%37F1D0A2B-0000-4ABC-8DEF-0123456789AB", false, guid}, // a GUID however it is spelled
		{"7f1d0a2b%2D0000-4abc-8def-0123456789%41B", false, guid},
		{"user@contoso.com", false, "user@contoso.com"},
		{"user%40contoso.com", false, "user@contoso.com"},
		{"%41%62%63", false, "Abc"},
		{"%41%62%63", true, "abc"},
		{"-._~!$&'()*+,:=@", false, "-._~!$&'()*+,:=@"},
		{"%2d%2e%5f%7e%21%24%26%27%28%29%2a%2b%2c%3a%3d%40", false, "-._~!$&'()*+,:=@"},
		{"a b", false, "a%20b"},
		{"a%20b", false, "a%20b"},
		{"a{b", false, "a%7Bb"},
		{"a%7bb", true, "a%7Bb"},
		{"é", false, "%C3%A9"},
		{"%c3%a9", false, "%C3%A9"},
		{"%c3%a9é", false, "%C3%A9%C3%A9"},
		{"...", false, "..."},
		{strings.Repeat("a", authz.MaxIDLen), false, strings.Repeat("a", authz.MaxIDLen)},
		{strings.Repeat("%41", authz.MaxIDLen), false, strings.Repeat("A", authz.MaxIDLen)}, // the length is that of the one spelling
	} {
		got, err := authz.CanonicalPathID(c.id, c.fold)
		if err != nil || got != c.want {
			t.Errorf("CanonicalPathID(%q, %v) = %q and %v, want %q", c.id, c.fold, got, err, c.want)
		}
	}
	for _, id := range []string{
		"", ".", "..", "%2e", "%2E.", ".%2e", "a/b", "a%2fb", `a\b`, "a%5Cb", "a%25b", "a#b", "a%23b", "a?b", "a%3fb", "a;b", "a%3bb",
		"a\x00", "a%00", "a\x1f", "a%0a", "a\x7f", "a%7f", "%", "%4", "%4g", "a%", "\xff", "%ff", "%c3", "%c3a", "%c3é", "\xc3%a9",
		"%c3a%a9", // the two halves of an é with a letter between them
		strings.Repeat("a", authz.MaxIDLen+1), strings.Repeat("%41", authz.MaxIDLen+1), strings.Repeat("{", authz.MaxIDLen/2),
	} {
		if got, err := authz.CanonicalPathID(id, false); err == nil || got != "" {
			t.Errorf("CanonicalPathID(%q) = %q and no error", id, got)
		}
	}
}
