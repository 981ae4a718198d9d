package naming

import (
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// webProfileName is the one profile there is.
const webProfileName = "dataverse"

// webSections are the parts of a document that only a profile has.
type webSections struct {
	extends, environment, entitySets section
}

// readWebProfile reads a catalogue with profile: dataverse. Words of paths and queries are
// compared exactly there, whatever caseInsensitivePaths says: it counts for identifiers of
// scopes.
func (l *loader) readWebProfile(sections webSections, hosts, suffixes, routes section) {
	l.c.web = &webProfile{sets: map[string]*entitySet{}, routes: map[string]*webRoute{}}
	l.readHosts(nil, suffixes)
	if sections.extends != nil {
		l.readExtends(*sections.extends, suffixes == nil)
	}
	if hosts != nil {
		l.readEnvironmentHosts(*hosts)
	}
	if sections.environment != nil {
		given := false
		sections.environment.Fields(map[string]func(strictyaml.Value){
			"contextExtension": func(v strictyaml.Value) { l.c.web.extension, given = v.Text(), true },
		})
		if !given {
			sections.environment.Problemf("want contextExtension: the key under which the proxy's configuration names the environment")
		}
	}
	if l.c.web.environments == nil && l.c.suffixes == nil && l.c.web.extension == "" {
		l.root.Problemf("nothing says which environment a request is for: add hosts, hostSuffixes or environment")
	}
	l.entries(sections.entitySets, l.readEntitySet)
	l.readWebRoutes(routes)
}

// readExtends takes over what the shipped catalogue of the profile declares. What the
// document declares itself under the same name stands in its place.
func (l *loader) readExtends(v strictyaml.Value, takeSuffixes bool) {
	if name := v.Text(); name != webProfileName {
		if name != "" {
			v.Problemf("%q cannot be extended: want %s, the catalogue that comes with the product", name, webProfileName)
		}
		return
	}
	root, reader, err := strictyaml.Parse(dataverseFile, shippedDataverse)
	if err != nil {
		v.Problemf("%v", err)
		return
	}
	base := newLoader(ShippedDataverse(), reader)
	base.read(root)
	if err := reader.Err(); err != nil {
		v.Problemf("%v", err)
		return
	}
	l.c.web = base.c.web
	for _, set := range l.c.web.sets {
		for _, n := range set.navigation {
			n.line = 0
		}
	}
	if takeSuffixes {
		l.c.suffixes = base.c.suffixes
	}
}

// readEnvironmentHosts reads which host is whose.
func (l *loader) readEnvironmentHosts(v strictyaml.Value) {
	if !v.IsNull() && (v.IsScalar() || v.IsList()) {
		v.Problemf("want host: environment, one a line: with this profile a host names its environment")
		return
	}
	l.c.hosts, l.c.web.environments = map[string]bool{}, map[string]string{}
	l.entries(&v, func(key string, at, value strictyaml.Value) {
		name, id := trimHost(lowerASCII(key)), value.Text()
		switch {
		case !isHost(name):
			at.Problemf("%q is not a host name", key)
		case l.c.hosts[name]:
			at.Problemf("the host %q is listed twice", name)
		case id == "":
		default:
			if _, err := authz.CanonicalPathID(id, false); err != nil {
				value.Problemf("%v", err)
			}
			l.c.hosts[name], l.c.web.environments[name] = true, id
		}
	})
	if len(l.c.hosts) == 0 {
		v.Problemf("an empty list: leave hosts out, or list a host")
	}
}

// readEntitySet reads what paths and queries may name behind a record.
func (l *loader) readEntitySet(name string, at, value strictyaml.Value) {
	if !isColumnName(name) {
		at.Problemf("%q is not an entity set's name: want letters, digits and _", name)
		return
	}
	set := &entitySet{columns: map[string]bool{}, navigation: map[string]*navigation{}}
	if inherited := l.c.web.sets[name]; inherited != nil {
		set = inherited
	}
	var columns, navigations section
	fields(value, map[string]func(strictyaml.Value){"columns": hold(&columns), "navigation": hold(&navigations)})
	own := map[string]bool{}
	if columns != nil {
		columns.List(func(item strictyaml.Value) {
			column := item.Text()
			switch {
			case column == "":
			case !isColumnName(column):
				item.Problemf("%q is not a column's name: want letters, digits and _", column)
			case own[column]:
				item.Problemf("the column %q is listed twice", column)
			default:
				own[column], set.columns[column] = true, true
				delete(set.navigation, column)
			}
		})
	}
	l.entries(navigations, func(key string, at, value strictyaml.Value) {
		switch {
		case !isColumnName(key) || isLookupValue(key):
			at.Problemf("%q is not a navigation property's name: want letters, digits and _", key)
			return
		case own[key]:
			at.Problemf("%q is listed as a column too: a path could mean either", key)
			return
		}
		if n := readNavigation(key, at, value); n != nil {
			set.navigation[key] = n
		}
	})
	l.c.web.sets[name] = set
}

// readNavigation reads where a navigation property leads.
func readNavigation(name string, at, value strictyaml.Value) *navigation {
	n := &navigation{line: at.Line()}
	kind := ""
	var column, attach section
	value.Fields(map[string]func(strictyaml.Value){
		"entitySet": func(v strictyaml.Value) { n.set = readName(v, isColumnName) },
		"table":     func(v strictyaml.Value) { n.table = readName(v, isWord) },
		"kind": func(v strictyaml.Value) {
			if kind = v.Text(); kind != "" && navigationKinds[kind] == notNavigable {
				v.Problemf("%q is no kind of navigation property: want manyToOne, oneToMany, manyToMany or contains", kind)
			}
		},
		"column": func(v strictyaml.Value) { column, n.column = &v, readName(v, isColumnName) },
		"attach": func(v strictyaml.Value) { attach, n.readOnly = &v, !v.Bool() },
	})
	n.kind = navigationKinds[kind]
	if (n.set == "") == (n.table == "") {
		at.Problemf("the navigation property %s leads to one table: give its entitySet or, where it has none, its table", name)
		return nil
	}
	if kind == "" {
		at.Problemf("the navigation property %s has no kind: want manyToOne, oneToMany, manyToMany or contains", name)
		return nil
	}
	if n.kind == contains {
		if attach != nil {
			attach.Problemf("nothing is attached to what contains it: leave attach out")
		}
		n.readOnly = true
	}
	if column != nil && n.kind != manyToOne && n.kind != oneToMany {
		column.Problemf("only a lookup column carries a relation, and of %s there is none", kind)
	}
	if n.column != "" {
		n.column = columnOf(n.column)
	}
	return n
}

// readWebRoutes reads the operations that the catalogue names.
func (l *loader) readWebRoutes(s section) {
	if s == nil {
		return
	}
	own := map[string]int{}
	s.List(func(item strictyaml.Value) {
		if item.IsScalar() || item.IsList() {
			item.Fields(nil)
			return
		}
		var method, path, privileges, deny section
		item.Fields(map[string]func(strictyaml.Value){
			"method": hold(&method), "path": hold(&path), "privileges": hold(&privileges), "deny": hold(&deny),
			"displayName": func(v strictyaml.Value) { v.OptionalText() },
			"description": func(v strictyaml.Value) { v.OptionalText() },
		})
		rt := &webRoute{}
		key := ""
		if method == nil {
			item.Problemf("the route has no method")
		} else if rt.method = method.Text(); rt.method != "" && !slices.Contains(webMethods, rt.method) {
			method.Problemf("%q is not a method of the Web API: want one of %s", rt.method, strings.Join(webMethods, ", "))
		}
		if path == nil {
			item.Problemf("the route has no path")
		} else if text := path.Text(); text != "" {
			pieces, problem := parseWebTemplate(text)
			if problem != "" {
				path.Problemf("%q: %s", text, problem)
			} else {
				key = routeKey(rt.method, pieces)
			}
			rt.rule = rt.method + " " + text
		}
		l.readWebOutcome(item, rt, privileges, deny)
		switch line, twice := own[key]; {
		case key == "" || rt.method == "":
		case twice:
			item.Problemf("the route %s matches the same paths as the one on line %d: remove one", rt.rule, line)
		default:
			own[key] = item.Line()
			l.c.web.routes[key] = rt
		}
	})
}

var webMethods = []string{"GET", "POST", "PATCH", "PUT", "DELETE"}

// parseWebTemplate reads a route's path: /WhoAmI, or /accounts({id})/name.
func parseWebTemplate(text string) (pieces []webPiece, problem string) {
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return nil, "a path begins with /, and what follows is behind /api/data/v9.x"
	}
	for segment := range strings.SplitSeq(rest, "/") {
		name, parameter, hasKey := strings.Cut(segment, "(")
		p := webPiece{name: name}
		if !isWebName(name) {
			return nil, "a segment is a name, or a name with a key as in accounts({id})"
		}
		if hasKey && parameter != ")" {
			parameter, opened := strings.CutPrefix(parameter, "{")
			parameter, closed := strings.CutSuffix(parameter, "})")
			if !opened || !closed || !isWord(parameter) {
				return nil, "a key is a parameter, as in accounts({id})"
			}
			p.key = argumentKey
		}
		pieces = append(pieces, p)
	}
	return pieces, ""
}

// readWebOutcome reads the one of privileges and deny that a route must have.
func (l *loader) readWebOutcome(item strictyaml.Value, rt *webRoute, privileges, deny section) {
	if (privileges == nil) == (deny == nil) {
		item.Problemf("a route has exactly one of privileges and deny: true")
	}
	if deny != nil {
		if !deny.IsScalar() || deny.IsNull() || !deny.Bool() {
			deny.Problemf("want deny: true, or leave it out")
		}
		rt.deny = "the catalogue denies the route " + rt.rule
	}
	if privileges == nil {
		return
	}
	listed := 0
	privileges.List(func(v strictyaml.Value) {
		listed++
		text := v.Text()
		if text == "" {
			return
		}
		table, privilege, ok := readTablePrivilege(text)
		if !ok {
			v.Problemf("%q is not Dataverse.{table}.{privilege} with one of %v", text, authz.TablePrivileges())
			return
		}
		at := slices.IndexFunc(rt.asks, func(a TableAsk) bool { return a.Table == table })
		if at < 0 {
			at, rt.asks = len(rt.asks), append(rt.asks, TableAsk{Table: table, AllColumns: true})
		}
		if rt.asks[at].Privileges.Has(privilege) {
			v.Problemf("the privilege %q is listed twice", text)
		}
		rt.asks[at].Privileges |= authz.Privileges(privilege)
	})
	if privileges.IsNull() || privileges.IsList() && listed == 0 {
		privileges.Problemf("a route without privileges: list them, or say deny: true")
	}
}

// readTablePrivilege reads Dataverse.Account.Read.
func readTablePrivilege(text string) (table string, privilege authz.Privilege, ok bool) {
	name, err := authz.ParsePermission(text)
	if err != nil || lowerASCII(name.Namespace()) != "dataverse" || !isWord(name.ResourceType()) {
		return "", 0, false
	}
	err = privilege.UnmarshalText([]byte(name.Action()))
	return name.ResourceType(), privilege, err == nil && slices.Contains(authz.TablePrivileges(), privilege)
}
