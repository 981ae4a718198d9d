package authz_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The five forms of a pattern with a star, and an exact name, as regular expressions.
var (
	patternForm = regexp.MustCompile(`^(\*|\*\.W|W\.\*\.W|W(\.W)*\.\*|W(\.W){2,})$`)
	nameForm    = regexp.MustCompile(`^W(\.W){2,}$`)
	word        = regexp.MustCompile(`[A-Za-z0-9_-]+`)
)

// hasForm tells whether the text is of the form, in which W stands for a word.
func hasForm(form *regexp.Regexp, text string) bool {
	return form.MatchString(word.ReplaceAllString(text, "W"))
}

// What a pattern is, and what it matches, is what the regular expression says that one
// would write for it.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{
		"*", "*.Read", "PowerApps.*", "PowerApps.*.Read", "PowerApps.Apps.*", "PowerApps.Apps.Read", "powerapps.APPS.read",
		"PowerApps.*.", ".*.Read", "**", "*Read", "PowerApps.Apps.*.Read", "Apps.*", "PowerApps.Admin.*", "*.Admin.Read", "",
	} {
		for _, name := range []string{"PowerApps.Apps.Read", "PowerApps.Apps.ReadWrite", "PowerApps.Admin.Apps.Read", "a.b.Read"} {
			f.Add(pattern, name)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		folded := strings.ToLower(name)
		if !hasForm(nameForm, name) || strings.HasPrefix(folded, "dataverse.") || folded == "all.all.readwrite" {
			if _, err := authz.NewVocabulary([]authz.Permission{authz.Permission(name)}, nil); err == nil {
				t.Errorf("a catalogue may declare %q", name)
			}
			name = "PowerApps.Apps.Read"
		}
		v, err := authz.NewVocabulary([]authz.Permission{authz.Permission(name)}, nil)
		if err != nil {
			t.Fatalf("a catalogue may not declare %q: %v", name, err)
		}
		role, err := v.CompileShipped(authz.RoleDefinition{Permissions: []string{pattern}})
		if want := hasForm(patternForm, pattern); want != (err == nil) {
			t.Fatalf("%q is a pattern: %v, got the error %v", pattern, want, err)
		}
		if err != nil {
			return
		}
		expression := "(?is)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".+") + "$"
		if want := regexp.MustCompile(expression).MatchString(name); role.Grants(0) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, !want, want)
		}
	})
}

// What is accepted is in its one spelling when written, and means the same when read again.
func FuzzParseScope(f *testing.F) {
	for _, text := range []string{
		"/tenants/t", "/tenants/t/environmentGroups/g", "/tenants/t/environments/e", "/tenants/t/environments/e/businessUnits/b",
		"/tenants/" + upperGUID + "/environments/Default-" + guid + "/powerapps/a%20b", "/Tenants/T/BusinessUnits/B",
		"/tenants/%37F1D0A2B-0000-4ABC-8DEF-0123456789AB", "/tenants/t/environments/e/environments/e", "/tenants/%e2%82%ac", "/tenants/{",
	} {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, foldCase bool) {
		tenant, named, err := authz.ParseScope(text, foldCase)
		if err != nil {
			if tenant != "" || named != (authz.NamedScope{}) {
				t.Errorf("%q was refused and left %q and %+v behind", text, tenant, named)
			}
			return
		}
		written := named.In(tenant)
		again, namedAgain, err := authz.ParseScope(string(written), foldCase)
		if err != nil {
			t.Fatalf("%q is written %q, which is refused: %v", text, written, err)
		}
		if again != tenant || namedAgain != named {
			t.Errorf("%q is %q %+v, and what that is written as is %q %+v", text, tenant, named, again, namedAgain)
		}
		if strings.Count(string(written), "/") != strings.Count(text, "/") || !strings.HasPrefix(string(written), "/tenants/") {
			t.Errorf("%q is written %q", text, written)
		}
	})
}

// An identifier has one spelling: giving it that again changes nothing, it stands in a
// path as one segment, and every way to escape it leads there.
func FuzzCanonicalPathID(f *testing.F) {
	for _, id := range []string{
		"a7", guid, upperGUID, "%37F1D0A2B-0000-4ABC-8DEF-0123456789AB", "user%40contoso.com", "a b", "%c3a%a9", "%c3%a9", "é%A9",
		"..", "%2e%2E", "a%2Fb", strings.Repeat("{", 100), "Default-" + upperGUID,
	} {
		f.Add(id, false)
		f.Add(id, true)
	}
	f.Fuzz(func(t *testing.T, id string, foldCase bool) {
		canonical, err := authz.CanonicalPathID(id, foldCase)
		if err != nil {
			if canonical != "" {
				t.Errorf("%q was refused and left %q behind", id, canonical)
			}
			return
		}
		if again, err := authz.CanonicalPathID(canonical, foldCase); again != canonical || err != nil {
			t.Errorf("%q is %q, which is %q and %v", id, canonical, again, err)
		}
		if strings.ContainsAny(canonical, "/\\?#; ") || canonical == "." || canonical == ".." || canonical == "" || len(canonical) > authz.MaxIDLen {
			t.Errorf("%q is %q, which is no segment of a path", id, canonical)
		}
		meaning, err := url.PathUnescape(canonical)
		if err != nil {
			t.Fatalf("%q is %q: %v", id, canonical, err)
		}
		if before, err := url.PathUnescape(id); err != nil || !strings.EqualFold(before, meaning) {
			t.Errorf("%q, which means %q, is %q, which means %q", id, before, canonical, meaning)
		}
		var all strings.Builder // every byte escaped
		for i := range len(meaning) {
			all.WriteString("%" + string("0123456789abcdef"[meaning[i]>>4]) + string("0123456789abcdef"[meaning[i]&15]))
		}
		if again, err := authz.CanonicalPathID(all.String(), foldCase); again != canonical || err != nil {
			t.Errorf("%q is %q, and with all escaped it is %q and %v", id, canonical, again, err)
		}
	})
}

// spell is what a subject is made of, each identifier in its one spelling by rules of
// its own, so that two subjects are the same if and only if two of these are.
func spell(tenant, id, groups, roles string, flags uint8) string {
	one := func(id string) string {
		if flags&4 != 0 || regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
			lower := []byte(id) // by bytes: what is not UTF-8 must not become one and the same rune
			for i, c := range lower {
				if 'A' <= c && c <= 'Z' {
					lower[i] = c + 'a' - 'A'
				}
			}
			return string(lower)
		}
		return id
	}
	many := func(text string) string {
		var ids []string
		for id := range strings.SplitSeq(text, ",") {
			if id != "" {
				ids = append(ids, one(id))
			}
		}
		slices.Sort(ids)
		return strings.Join(slices.Compact(ids), ",")
	}
	return strings.Join([]string{one(tenant), one(id), many(groups), many(roles), []string{"user", "app"}[flags&1], []string{"known", "unknown"}[flags>>1&1]}, "\xff\xff")
}

// Two subjects have one key if and only if they are the same subject: else one would be
// answered with what the other may do.
func FuzzSubjectKey(f *testing.F) {
	f.Add("t", "u", "g1,g2", "r", uint8(0), "t", "u", "g2,g1,g1,", "r", uint8(0))
	f.Add("t", "u", "g1", "", uint8(0), "t", "u", "", "g1", uint8(0))
	f.Add("t", "u", "", "", uint8(0), "t", "u", "", "", uint8(1))
	f.Add("t", "u", "", "", uint8(0), "t", "u", "", "", uint8(2))
	f.Add("tu", "u", "", "", uint8(0), "t", "uu", "", "", uint8(0))
	f.Add(guid, upperGUID, guid, upperGUID, uint8(0), upperGUID, guid, upperGUID, guid, uint8(0))
	f.Add("T", "U", "G", "R", uint8(4), "t", "u", "g,G", "r", uint8(4))
	f.Add("t", "u", "ab,c", "", uint8(0), "t", "u", "a,bc", "", uint8(0))
	f.Add("t\x01u", "v", "", "", uint8(0), "t", "u\x01v", "", "", uint8(0))
	f.Add("t", "u", "a\x01b", "", uint8(0), "t", "u", "a,b", "", uint8(0))
	f.Fuzz(func(t *testing.T, tenantA, idA, groupsA, rolesA string, flagsA uint8, tenantB, idB, groupsB, rolesB string, flagsB uint8) {
		subject := func(tenant, id, groups, roles string, flags uint8) *authz.Subject {
			kind := authz.User
			if flags&1 != 0 {
				kind = authz.ApplicationUser
			}
			s, err := authz.NewSubject(authz.SubjectSpec{
				Tenant: tenant, Principal: authz.Principal{Type: kind, ID: id}, Groups: strings.Split(groups, ","),
				DirectoryRoles: strings.Split(roles, ","), GroupsUnknown: flags&2 != 0, FoldCase: flags&4 != 0,
			})
			if (err == nil) != (tenant != "" && id != "") {
				t.Fatalf("tenant %q, principal %q: error %v", tenant, id, err)
			}
			return s
		}
		a, b := subject(tenantA, idA, groupsA, rolesA, flagsA), subject(tenantB, idB, groupsB, rolesB, flagsB)
		if a == nil || b == nil {
			return
		}
		if strings.Contains(tenantA+idA+groupsA+rolesA+tenantB+idB+groupsB+rolesB, "\xff") {
			return // spell parts by it
		}
		same := spell(tenantA, idA, groupsA, rolesA, flagsA) == spell(tenantB, idB, groupsB, rolesB, flagsB)
		if (a.Key() == b.Key()) != same || (a.Hash() == b.Hash()) != same {
			t.Errorf("one subject: %v, one key: %v, one hash: %v", same, a.Key() == b.Key(), a.Hash() == b.Hash())
		}
	})
}
