package naming

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A route names the permissions of the requests that match its method and template.
type route struct {
	method      string
	template    template
	rule        string // method and template as they were written
	place       string // file and line
	line        int
	permissions []authz.PermissionID
	public      bool
	deny        string // why, if the route denies
	parameters  []scopeParameter
	grantedTo   []authz.Principal
	tenantLevel bool // objects of a permission's type live at the tenant
}

// A scopeParameter is a parameter of a route that names a scope.
type scopeParameter struct {
	at    int
	scope scopeType
}

// A scopeType is a kind of scope and, of a resource, the word before its identifier.
type scopeType struct {
	kind authz.ScopeKind
	word string
}

// A template is a route's path: literals, {x} for one segment and, last, {rest=**} for
// one or more.
type template struct {
	parts []part
}

type part struct {
	literal string // in the form in which it is looked up; "" for a parameter
	name    string
	rest    bool
}

// How literal a part is, from the least.
const (
	isRest = iota
	isParameter
	isLiteral
)

func (p part) literalness() int {
	switch {
	case p.rest:
		return isRest
	case p.literal == "":
		return isParameter
	}
	return isLiteral
}

// parseTemplate reads a route's path. Literals are given the spelling that segments of
// a request's path are given.
func parseTemplate(text string, fold bool) (template, error) {
	if strings.ContainsRune(text, '?') {
		return template{}, errors.New("a route's path has no query")
	}
	// Parameters are taken out first: only what is left has to be good as a path.
	raw := strings.Split(strings.TrimSuffix(text, "/"), "/")
	parts := make([]part, len(raw))
	names := map[string]bool{}
	for i, segment := range raw {
		if !strings.ContainsAny(segment, "{}") {
			continue
		}
		p, err := parseParameter(segment)
		switch {
		case err != nil:
			return template{}, err
		case p.rest && i < len(raw)-1:
			return template{}, fmt.Errorf("{%s=**} must be last", p.name)
		case names[p.name]:
			return template{}, fmt.Errorf("the parameter {%s} is there twice", p.name)
		}
		names[p.name] = true
		parts[i], raw[i] = p, "x"
	}
	joined := strings.Join(raw, "/")
	if strings.HasSuffix(text, "/") {
		joined += "/"
	}
	var s segments
	if refusal := s.read(joined); refusal != "" {
		return template{}, errors.New(refusal)
	}
	if s.count == 0 {
		return template{}, nil
	}
	parts = parts[1:] // the text before the first /
	for i := range parts {
		if parts[i].name == "" {
			parts[i].literal = strings.Clone(s.word(i, fold))
		}
	}
	return template{parts: parts}, nil
}

func parseParameter(segment string) (part, error) {
	name, ok := strings.CutPrefix(segment, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !ok || !closed || strings.ContainsAny(name, "{}") {
		return part{}, fmt.Errorf("segment %q: a parameter is a whole segment, {name} or {name=**}", segment)
	}
	name, rest := strings.CutSuffix(name, "=**")
	if !isWord(name) {
		return part{}, fmt.Errorf("segment %q: a parameter's name is of letters, digits, _ and -", segment)
	}
	return part{name: name, rest: rest}, nil
}

// parameter returns the place of a parameter that is one segment.
func (t template) parameter(name string) (at int, ok bool) {
	for i, p := range t.parts {
		if p.name == name && !p.rest {
			return i, true
		}
	}
	return 0, false
}

// endless tells whether the template ends with {rest=**}.
func (t template) endless() bool { return len(t.parts) > 0 && t.parts[len(t.parts)-1].rest }

// at returns the part that matches the segment at a place.
func (t template) at(i int) part {
	if i >= len(t.parts) {
		return t.parts[len(t.parts)-1] // {rest=**}
	}
	return t.parts[i]
}

// How two templates stand to each other.
type comparison int

const (
	apart   comparison = iota // no path matches both
	equal                     // the same paths match both
	first                     // the first is more literal
	second                    // the second is
	neither                   // some paths match both, and neither is more literal at every position
)

// compareTemplates tells which of two templates wins the paths that match both: the one
// that is at least as literal at every position.
func compareTemplates(a, b template) comparison {
	if !a.endless() && !b.endless() && len(a.parts) != len(b.parts) ||
		a.endless() && !b.endless() && len(a.parts) > len(b.parts) ||
		b.endless() && !a.endless() && len(b.parts) > len(a.parts) {
		return apart
	}
	ahead, behind := false, false
	for i := range max(len(a.parts), len(b.parts)) {
		pa, pb := a.at(i), b.at(i)
		la, lb := pa.literalness(), pb.literalness()
		if la == isLiteral && lb == isLiteral && pa.literal != pb.literal {
			return apart
		}
		ahead, behind = ahead || la > lb, behind || la < lb
	}
	switch {
	case ahead && behind:
		return neither
	case ahead:
		return first
	case behind:
		return second
	}
	return equal
}

// A node is a place in the tree of the routes of one method.
type node struct {
	literals  words[*node]
	parameter *node
	rest      *route // ends here with {rest=**}
	end       *route // ends here
}

// insert adds a route that no other one equals.
func (n *node) insert(rt *route) {
	for _, p := range rt.template.parts {
		switch p.literalness() {
		case isRest:
			n.rest = rt
			return
		case isParameter:
			if n.parameter == nil {
				n.parameter = &node{}
			}
			n = n.parameter
		default:
			next := n.literals.of(p.literal)
			if next == nil {
				next = &node{}
				n.literals.set(p.literal, next)
			}
			n = next
		}
	}
	n.end = rt
}

// find returns the route that wins the path from a segment on, or nil. Taking the more
// literal way first finds the winner, because of any two routes that match one is more
// literal at every position.
func (n *node) find(s *segments, fold bool, at int) *route {
	if n == nil {
		return nil
	}
	if at == s.count {
		return n.end
	}
	if rt := n.literals.of(s.word(at, fold)).find(s, fold, at+1); rt != nil {
		return rt
	}
	if rt := n.parameter.find(s, fold, at+1); rt != nil {
		return rt
	}
	return n.rest
}

// buildTrees parts the routes by method. A route of GET serves HEAD too, unless HEAD has
// one of the same template. What cannot be decided goes to conflict; same says that the
// two templates match the same paths.
func buildTrees(routes []*route, conflict func(later, earlier *route, same bool)) map[string]*node {
	overruled := map[*route]bool{} // routes of GET that do not serve HEAD
	for i, later := range routes {
		for _, earlier := range routes[:i] {
			if !serveOneMethod(later, earlier) {
				continue
			}
			switch compareTemplates(later.template, earlier.template) {
			case equal:
				if later.method == earlier.method {
					conflict(later, earlier, true)
				}
				overruled[later], overruled[earlier] = true, true
			case neither:
				conflict(later, earlier, false)
			default: // at most one matches, or one wins
			}
		}
	}
	trees := map[string]*node{}
	insert := func(method string, rt *route) {
		if trees[method] == nil {
			trees[method] = &node{}
		}
		trees[method].insert(rt)
	}
	for _, rt := range routes {
		insert(rt.method, rt)
		if rt.method == "GET" && !overruled[rt] {
			insert("HEAD", rt)
		}
	}
	return trees
}

// serveOneMethod tells whether there are requests whose method both routes serve.
func serveOneMethod(a, b *route) bool {
	return a.method == b.method ||
		a.method == "GET" && b.method == "HEAD" || a.method == "HEAD" && b.method == "GET"
}
