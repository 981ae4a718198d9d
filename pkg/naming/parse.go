package naming

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A section is a part of a document that is read later than it stands; nil if it is not
// there.
type section = *strictyaml.Value

// hold keeps a section for later.
func hold(s *section) func(strictyaml.Value) {
	return func(v strictyaml.Value) { *s = &v }
}

// read reads the whole document. How words are compared and which of them are scope
// words counts for everything, so that these are read first, wherever they stand.
func (l *loader) read(root strictyaml.Value) {
	l.root, l.nameAt = root, root
	var name, profile, fold, strict, hosts, suffixes, implications, scopes, routes, namespaces, permissions, grpc, composites section
	var web webSections
	root.Fields(map[string]func(strictyaml.Value){
		"catalogue": hold(&name), "profile": hold(&profile), "composites": hold(&composites),
		"extends": hold(&web.extends), "environment": hold(&web.environment), "entitySets": hold(&web.entitySets), "caseInsensitivePaths": hold(&fold), "strictReads": hold(&strict),
		"hosts": hold(&hosts), "hostSuffixes": hold(&suffixes), "implications": hold(&implications),
		"scopes": hold(&scopes), "routes": hold(&routes), "namespaces": hold(&namespaces),
		"permissions": hold(&permissions), "grpc": hold(&grpc),
	})
	if name == nil {
		root.Problemf("the catalogue has no name: add catalogue: NAME")
	} else {
		l.nameAt = *name
		if l.c.name = name.Text(); l.c.name != "" && !isDottedName(l.c.name) {
			name.Problemf("%q is not a catalogue's name: want letters, digits, dots, _ and -", l.c.name)
		}
	}
	if fold != nil {
		l.c.fold, l.foldAt = fold.Bool(), fold
	}
	if profile != nil {
		if text := profile.Text(); text != "" && text != webProfileName {
			profile.Problemf("%q is no profile: want %s, or leave it out", text, webProfileName)
		}
		for key, s := range map[string]section{
			"strictReads": strict, "implications": implications, "scopes": scopes,
			"namespaces": namespaces, "permissions": permissions, "grpc": grpc,
		} {
			if s != nil {
				s.Problemf("a catalogue with a profile has no %s", key)
			}
		}
		l.readWebProfile(web, hosts, suffixes, routes)
		l.entries(composites, l.readComposite)
		return
	}
	for key, s := range map[string]section{"extends": web.extends, "environment": web.environment, "entitySets": web.entitySets} {
		if s != nil {
			s.Problemf("%s goes with profile: %s", key, webProfileName)
		}
	}
	if strict != nil {
		l.c.strictReads = strict.Bool()
	}
	l.readHosts(hosts, suffixes)
	l.readImplications(implications)
	l.readScopes(scopes)
	l.entries(namespaces, l.readNamespace)
	l.readRoutes(routes)
	l.readPermissions(permissions)
	l.entries(grpc, l.readService)
	l.entries(composites, l.readComposite)
}

// entries reads a mapping that may be left out or empty.
func (l *loader) entries(s section, entry func(key string, at, value strictyaml.Value)) {
	if s != nil && !s.IsNull() {
		s.Entries(entry)
	}
}

// fields reads a mapping of known keys that may be empty.
func fields(v strictyaml.Value, known map[string]func(strictyaml.Value)) {
	if !v.IsNull() {
		v.Fields(known)
	}
}

func (l *loader) readHosts(hosts, suffixes section) {
	read := func(s section, key string) map[string]bool {
		if s == nil {
			return nil
		}
		names := map[string]bool{}
		s.List(func(item strictyaml.Value) {
			text := item.Text()
			name := trimHost(lowerASCII(text))
			if text != "" && !isHost(name) {
				item.Problemf("%q is not a host name", text)
			}
			if names[name] {
				item.Problemf("the host %q is listed twice", name)
			}
			names[name] = true
		})
		if s.IsList() && len(names) == 0 || s.IsNull() {
			s.Problemf("an empty list: leave %s out, or list a host", key)
		}
		return names
	}
	l.c.hosts, l.c.suffixes = read(hosts, "hosts"), read(suffixes, "hostSuffixes")
}

// isHost tells whether name could be a host, with or without a port.
func isHost(name string) bool {
	for i := 0; i < len(name); i++ {
		if !isWord(name[i:i+1]) && strings.IndexByte(".:[]", name[i]) < 0 {
			return false
		}
	}
	return name != "" && name[0] != '.' && name[len(name)-1] != '.'
}

func (l *loader) readImplications(s section) {
	l.entries(s, func(key string, at, value strictyaml.Value) {
		to := value.Texts()
		if value.IsList() && len(to) == 0 || value.IsNull() {
			value.Problemf("%s implies nothing: leave it out, or list what it implies", key)
			return
		}
		if slices.Contains(to, "") {
			return // reported already
		}
		l.implications = append(l.implications, implication{from: key, to: to, at: at})
	})
}

// scopeKinds are the kinds of scope that a word or a parameter can be declared as.
var scopeKinds = map[string]authz.ScopeKind{
	"environment":      authz.EnvironmentScope,
	"environmentGroup": authz.EnvironmentGroupScope,
	"tenant":           authz.TenantScope,
}

func (l *loader) readScopes(s section) {
	// These words are containers in every catalogue; it may declare more.
	l.c.scopeWords.set(l.fold("environments"), authz.EnvironmentScope)
	l.c.scopeWords.set(l.fold("environmentGroups"), authz.EnvironmentGroupScope)
	seen := map[string]bool{}
	l.entries(s, func(key string, at, value strictyaml.Value) {
		word, ok := l.word(at, key)
		text := value.Text()
		kind, known := scopeKinds[text]
		if !known && text != "" {
			value.Problemf("%q is no kind of scope: want environment, environmentGroup or tenant", text)
		}
		if seen[word] {
			at.Problemf("the scope word %q is there twice", key)
		}
		if ok && known {
			l.c.scopeWords.set(word, kind)
			seen[word] = true
		}
	})
}

// fold gives a word of the catalogue the form in which it is looked up.
func (l *loader) fold(word string) string {
	if l.c.fold {
		return lowerASCII(word)
	}
	return word
}

// word gives a word that stands in paths the form in which it is looked up.
func (l *loader) word(at strictyaml.Value, text string) (word string, ok bool) {
	if text == "" {
		return "", false // reported already
	}
	if strings.ContainsAny(text, "/?{}") {
		at.Problemf("%q is not one segment of a path", text)
		return "", false
	}
	var s segments
	if refusal := s.read("/" + text); refusal != "" {
		at.Problemf("%q cannot stand in a path: %s", text, refusal)
		return "", false
	}
	return strings.Clone(s.word(0, l.c.fold)), true
}

const reservedNamespace = "the namespace Dataverse is reserved: its permissions come from the tables that environments declare"

func (l *loader) readNamespace(name string, at, value strictyaml.Value) {
	if !isWord(name) {
		at.Problemf("%q is not a namespace's name: want letters, digits, _ and -", name)
		return
	}
	if lowerASCII(name) == "dataverse" {
		at.Problemf(reservedNamespace)
		return
	}
	for _, other := range l.c.namespaces {
		if lowerASCII(other.name) == lowerASCII(name) {
			at.Problemf("the namespace %s is there already: names are compared without case", other.name)
			return
		}
	}
	ns := &namespace{name: name, types: map[string]*resourceType{}}
	path, pathAt := lowerASCII(name), at
	var types section
	fields(value, map[string]func(strictyaml.Value){
		"path":          func(v strictyaml.Value) { path, pathAt = v.Text(), v },
		"displayName":   func(v strictyaml.Value) { v.OptionalText() },
		"description":   func(v strictyaml.Value) { v.OptionalText() },
		"resourceTypes": hold(&types),
	})
	if word, ok := l.word(pathAt, path); ok {
		other := l.c.namespaces[word]
		switch {
		case l.c.scopeWords.of(word) != authz.NoScope:
			pathAt.Problemf("%q is a scope word: give the namespace another path", path)
		case other != nil:
			pathAt.Problemf("the namespace %s has the path %q too: give each its own", other.name, path)
		default:
			l.c.namespaces[word] = ns
		}
	}
	l.entries(types, func(typeName string, at, value strictyaml.Value) { l.readType(ns, typeName, at, value) })
}

func (l *loader) readType(ns *namespace, name string, at, value strictyaml.Value) {
	if !isDottedName(name) {
		at.Problemf("%q is not a resource type's name: want letters, digits, _ and -, with dots between parts", name)
		return
	}
	t := &resourceType{rule: ns.name + "." + name, line: at.Line(), actions: map[string]authz.PermissionID{}}
	path, pathAt := "", at
	var actions, scope section
	fields(value, map[string]func(strictyaml.Value){
		"path":        func(v strictyaml.Value) { path, pathAt = v.Text(), v },
		"actions":     hold(&actions),
		"scope":       hold(&scope),
		"level":       func(v strictyaml.Value) { t.tenantLevel = readLevel(v) },
		"singleton":   func(v strictyaml.Value) { t.singleton = v.Bool() },
		"displayName": func(v strictyaml.Value) { t.displayName = v.OptionalText() },
		"description": func(v strictyaml.Value) { t.description = v.OptionalText() },
	})
	folded := lowerASCII(t.rule)
	if other := l.c.types[folded]; other != nil {
		at.Problemf("the resource type %s is there already, as %s: names are compared without case", t.rule, other.rule)
		return
	}
	l.c.types[folded] = t
	word, ok := "", false
	switch {
	case path == "" && pathAt != at: // reported already
	case path == "" && strings.ContainsRune(name, '.'):
		at.Problemf("the resource type %s has dots in its name: say how paths name it, path: …", name)
	default:
		if path == "" {
			path = lowerCamelCase(name)
		}
		word, ok = l.word(pathAt, path)
	}
	if ok {
		if other := ns.types[word]; other != nil {
			pathAt.Problemf("the resource type %s has the path %q too: give each its own", other.rule, path)
		} else {
			ns.types[word] = t
		}
	}
	container := ok && l.c.scopeWords.of(word) != authz.NoScope
	if container && t.singleton {
		pathAt.Problemf("%q is a scope word, and a singleton has no identifiers", path)
	}
	if scope != nil {
		l.readTypeScope(t, *scope, container)
	}
	l.readActions(t, at, actions)
}

func readLevel(v strictyaml.Value) bool {
	text := v.Text()
	if text != "" && text != "tenant" {
		v.Problemf("%q is no level: want tenant, or leave it out", text)
	}
	return text == "tenant"
}

// readTypeScope reads the word under which a type's identifiers are scopes.
func (l *loader) readTypeScope(t *resourceType, v strictyaml.Value, container bool) {
	text := v.Text()
	if text == "" {
		return
	}
	folded := lowerASCII(text)
	switch {
	case !isWord(text):
		v.Problemf("%q is not a scope's word: want letters, digits, _ and -", text)
	case folded == "tenants" || folded == "environments" || folded == "environmentgroups":
		v.Problemf("%q is the word of another scope: give the type's scopes their own", text)
	case t.singleton:
		v.Problemf("a singleton has no identifiers that could be scopes")
	case container:
		v.Problemf("the identifiers of %s are scopes already: its path is a scope word", t.rule)
	default:
		t.scope = scopeType{kind: authz.ResourceScope, word: l.fold(text)}
		if t.scope.word == l.fold("businessUnits") {
			t.scope = scopeType{kind: authz.BusinessUnitScope}
		}
		l.typeScopes[l.fold(text)] = t.scope
	}
}

// readActions reads what a type declares to have beyond the table's actions, and notes
// all the permissions of the type.
func (l *loader) readActions(t *resourceType, at strictyaml.Value, s section) {
	set := map[string]*authz.PermissionID{
		actionRead: &t.read, actionCreate: &t.create, actionUpdate: &t.update, actionDelete: &t.delete,
	}
	for _, action := range tableActions() {
		var bind func(authz.PermissionID)
		if number := set[action]; number != nil {
			bind = func(id authz.PermissionID) { *number = id }
		}
		l.use(at, t.rule+"."+action, true, bind)
	}
	if s == nil {
		return
	}
	seen := map[string]bool{}
	s.List(func(item strictyaml.Value) {
		action := item.Text()
		folded := lowerASCII(action)
		switch {
		case action == "":
		case !isWord(action):
			item.Problemf("%q is not an action: want letters, digits, _ and -", action)
		case slices.ContainsFunc(tableActions(), func(a string) bool { return lowerASCII(a) == folded }):
			item.Problemf("%s is what the naming table gives every type: it cannot be an action that a path names", action)
		case seen[folded]:
			item.Problemf("the action %q is listed twice", action)
		default:
			l.use(item, t.rule+"."+action, true, func(id authz.PermissionID) {
				// Paths name it as they name types: Play is play, or as it is written here.
				t.actions[l.fold(lowerCamelCase(action))] = id
				t.actions[l.fold(action)] = id
			})
		}
		seen[folded] = true
	})
}

func (l *loader) readPermissions(s section) {
	if s == nil {
		return
	}
	seen := map[string]bool{}
	s.List(func(item strictyaml.Value) {
		var name string
		var text describedBy
		if item.IsScalar() {
			name = item.Text()
		} else {
			given := false
			item.Fields(map[string]func(strictyaml.Value){
				"name":        func(v strictyaml.Value) { name, given = v.Text(), true },
				"displayName": func(v strictyaml.Value) { text.displayName = v.OptionalText() },
				"description": func(v strictyaml.Value) { text.description = v.OptionalText() },
			})
			if !given {
				item.Problemf("the permission has no name")
			}
		}
		if name == "" {
			return
		}
		folded := lowerASCII(name)
		if seen[folded] {
			item.Problemf("the permission %q is listed twice", name)
			return
		}
		seen[folded] = true
		l.c.texts[folded] = text
		l.use(item, name, true, nil)
	})
}

func (l *loader) readRoutes(s section) {
	if s == nil {
		return
	}
	places := map[*route]strictyaml.Value{}
	s.List(func(item strictyaml.Value) {
		if rt := l.readRoute(item); rt != nil {
			l.c.routeList = append(l.c.routeList, rt)
			places[rt] = item
		}
	})
	l.c.routes = buildTrees(l.c.routeList, func(later, earlier *route, same bool) {
		if same {
			places[later].Problemf("the route %s matches the same paths as the route %s on line %d: remove one", later.rule, earlier.rule, places[earlier].Line())
			return
		}
		places[later].Problemf("the route %s and the route %s on line %d both match some paths, and neither is more literal at every position: change one, so that it is clear which wins",
			later.rule, earlier.rule, places[earlier].Line())
	})
}

// readRoute returns nil if the route cannot be compared with others.
func (l *loader) readRoute(item strictyaml.Value) *route {
	rt := &route{place: fmt.Sprintf("%s:%d", l.c.file, item.Line()), line: item.Line()}
	var method, path, permissions, public, deny, scopes, grantedTo section
	if item.IsScalar() || item.IsList() {
		item.Fields(nil)
		return nil
	}
	item.Fields(map[string]func(strictyaml.Value){
		"method": hold(&method), "path": hold(&path),
		"permissions": hold(&permissions), "public": hold(&public), "deny": hold(&deny),
		"scopes": hold(&scopes), "grantedTo": hold(&grantedTo),
		"displayName": func(v strictyaml.Value) { v.OptionalText() },
		"description": func(v strictyaml.Value) { v.OptionalText() },
	})
	text := ""
	if method == nil {
		item.Problemf("the route has no method")
	} else if rt.method = method.Text(); rt.method != "" && !isMethod(rt.method) {
		method.Problemf("%q is not one method: a route has one, such as GET", rt.method)
	}
	good := false
	if path == nil {
		item.Problemf("the route has no path")
	} else if text = path.Text(); text != "" {
		var err error
		if rt.template, err = parseTemplate(text, l.c.fold); err != nil {
			path.Problemf("%q: %v", text, err)
		}
		good = err == nil
	}
	rt.rule = rt.method + " " + text
	l.readOutcome(item, rt, permissions, public, deny)
	if scopes != nil && good {
		l.readParameters(*scopes, rt)
	}
	if grantedTo != nil {
		l.readGrantedTo(*grantedTo, rt)
	}
	if rt.permissions == nil && (scopes != nil || grantedTo != nil) {
		item.Problemf("scopes and grantedTo go with permissions only")
	}
	if !good || rt.method == "" {
		return nil
	}
	return rt
}

// isMethod tells whether text is a token of HTTP other than the star that looks like
// "any method".
func isMethod(text string) bool {
	for i := 0; i < len(text); i++ {
		if !isWord(text[i:i+1]) && strings.IndexByte("!#$%&'+.^`|~", text[i]) < 0 {
			return false
		}
	}
	return text != ""
}

// readOutcome reads the one of permissions, public and deny that a route must have.
func (l *loader) readOutcome(item strictyaml.Value, rt *route, permissions, public, deny section) {
	given := 0
	if permissions != nil {
		given++
		l.readRoutePermissions(*permissions, rt)
	}
	isTrue := func(v strictyaml.Value, key string) bool {
		if !v.IsScalar() || v.IsNull() || !v.Bool() {
			v.Problemf("want %s: true, or leave it out", key)
			return false
		}
		return true
	}
	if public != nil {
		given++
		rt.public = isTrue(*public, "public")
	}
	if deny != nil {
		given++
		if isTrue(*deny, "deny") {
			rt.deny = "the catalogue denies the route " + rt.rule + " (" + rt.place + ")"
		}
	}
	if given != 1 {
		item.Problemf("a route has exactly one of permissions, public: true and deny: true")
	}
}

func (l *loader) readRoutePermissions(v strictyaml.Value, rt *route) {
	seen := map[string]bool{}
	v.List(func(item strictyaml.Value) {
		name := item.Text()
		if name == "" {
			return
		}
		folded := lowerASCII(name)
		if seen[folded] {
			item.Problemf("the permission %q is listed twice", name)
			return
		}
		seen[folded] = true
		at := len(seen) - 1
		rt.permissions = append(rt.permissions, 0)
		l.use(item, name, false, func(id authz.PermissionID) {
			rt.permissions[at] = id
			rt.tenantLevel = rt.tenantLevel || l.c.tenantLevel(l.c.vocabulary.Name(id))
		})
	})
	if len(seen) == 0 {
		v.Problemf("a route without permissions: list them, or say public: true or deny: true")
	}
}

// readParameters reads which of a route's parameters are scopes.
func (l *loader) readParameters(v strictyaml.Value, rt *route) {
	v.Entries(func(key string, at, value strictyaml.Value) {
		text := value.Text()
		scope := scopeType{kind: scopeKinds[text]}
		if declared, ok := l.typeScopes[l.fold(text)]; ok && scope.kind == authz.NoScope {
			scope = declared
		}
		place, ok := rt.template.parameter(key)
		switch {
		case !ok:
			at.Problemf("the path has no parameter {%s} that is one segment", key)
		case text == "":
		case scope.kind == authz.NoScope:
			value.Problemf("%q is no kind of scope: want environment, environmentGroup, tenant or a word that a resource type declares as its scope", text)
		default:
			rt.parameters = append(rt.parameters, scopeParameter{at: place, scope: scope})
		}
	})
}

// readGrantedTo reads to whom a route is open, such as DirectoryRole 62e90394-….
func (l *loader) readGrantedTo(v strictyaml.Value, rt *route) {
	listed := 0
	v.List(func(item strictyaml.Value) {
		listed++
		text := item.Text()
		if text == "" {
			return
		}
		kind, id, _ := strings.Cut(text, " ")
		id = strings.TrimSpace(id)
		if kind != authz.DirectoryRole.String() || id == "" || strings.ContainsAny(id, " \t") {
			item.Problemf("%q is not DirectoryRole and a template id", text)
			return
		}
		rt.grantedTo = append(rt.grantedTo, authz.Principal{Type: authz.DirectoryRole, ID: authz.CanonicalID(id, l.c.fold)})
	})
	if v.IsNull() || v.IsList() && listed == 0 {
		v.Problemf("grantedTo lists nobody: leave it out, or list a DirectoryRole")
	}
}

// readService reads one entry of the grpc section.
func (l *loader) readService(name string, at, value strictyaml.Value) {
	if !isGRPCName(name, true) {
		at.Problemf("%q is not a gRPC service's name, such as pkg.Service", name)
		return
	}
	s := &service{methods: map[string]method{}}
	namespaceName, typeName := "", ""
	var methods, scope section
	value.Fields(map[string]func(strictyaml.Value){
		"namespace":    func(v strictyaml.Value) { namespaceName = readName(v, isWord) },
		"resourceType": func(v strictyaml.Value) { typeName = readName(v, isDottedName) },
		"methods":      hold(&methods),
		"scope":        hold(&scope),
	})
	l.c.services[name] = s
	if scope != nil {
		if scope.IsList() {
			scope.List(func(item strictyaml.Value) { l.readGRPCScope(item, s) })
		} else {
			l.readGRPCScope(*scope, s)
		}
		if scope.IsList() && len(s.scopes) == 0 {
			scope.Problemf("an empty list: leave scope out, or say which header names it")
		}
	}
	if namespaceName == "" || typeName == "" {
		at.Problemf("the service %s needs a namespace and a resourceType", name)
		return
	}
	if lowerASCII(namespaceName) == "dataverse" {
		at.Problemf(reservedNamespace)
		return
	}
	rule := namespaceName + "." + typeName
	if t := l.c.types[lowerASCII(rule)]; t != nil { // its declaration decides how it is spelled
		rule = t.rule
		_, typeName, _ = strings.Cut(rule, ".")
	}
	s.typeName = lowerASCII(rule)
	for _, action := range tableActions() {
		l.use(at, rule+"."+action, false, nil)
	}
	conventional := methodNames(typeName)
	for verb, action := range verbs {
		for _, noun := range conventional {
			if noun != "" {
				l.useMethod(at, s, verb+noun, method{decidedBy: ByConvention, rule: rule}, rule+"."+action)
			}
		}
	}
	l.entries(methods, func(key string, at, value strictyaml.Value) {
		if !isGRPCName(key, false) {
			at.Problemf("%q is not a gRPC method's name", key)
			return
		}
		if action := readName(value, isWord); action != "" {
			l.useMethod(value, s, key, method{decidedBy: ByRoute, rule: "/" + name + "/" + key}, rule+"."+action)
		}
	})
}

// useMethod declares what a gRPC method asks for. Of two, the later one counts.
func (l *loader) useMethod(at strictyaml.Value, s *service, name string, m method, permission string) {
	l.use(at, permission, false, func(id authz.PermissionID) {
		m.permission = id
		s.methods[name] = m
	})
}

func readName(v strictyaml.Value, good func(string) bool) string {
	text := v.Text()
	if text != "" && !good(text) {
		v.Problemf("%q is not a name: want letters, digits, _ and -", text)
		return ""
	}
	return text
}

// isGRPCName tells whether text can stand in a gRPC path as service or as method.
func isGRPCName(text string, dots bool) bool {
	for i := 0; i < len(text); i++ {
		if !isWord(text[i:i+1]) && (text[i] != '.' || !dots) || text[i] == '-' {
			return false
		}
	}
	return text != ""
}

func (l *loader) readGRPCScope(v strictyaml.Value, s *service) {
	var scope grpcScope
	kindText := ""
	v.Fields(map[string]func(strictyaml.Value){
		"kind":             func(v strictyaml.Value) { kindText = v.Text() },
		"header":           func(v strictyaml.Value) { scope.header = lowerASCII(v.Text()) },
		"contextExtension": func(v strictyaml.Value) { scope.extension = v.Text() },
	})
	scope.scope.kind = scopeKinds[kindText]
	if scope.scope.kind != authz.EnvironmentScope && scope.scope.kind != authz.EnvironmentGroupScope {
		v.Problemf("want kind: environment or kind: environmentGroup")
	}
	from := "the header " + scope.header
	if scope.header == "" {
		from = "the context extension " + scope.extension
	}
	if (scope.header == "") == (scope.extension == "") {
		v.Problemf("want either header or contextExtension to say where the scope is named")
	}
	scope.missing = fmt.Sprintf("the request lacks %s, which names its %s: the tenant must grant", from, kindText)
	s.scopes = append(s.scopes, scope)
}
