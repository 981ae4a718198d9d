package naming_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A second opinion on what a request asks for: slow and plain, by regular expressions and
// lists of strings, sharing no code with the engine. Both must agree on anything.
type opinion struct {
	fold, strict bool
	words        map[string]string            // scope word → environment, environmentGroup, tenant
	types        map[string]map[string]opType // namespace's path → type's path → type
	routes       []opRoute
	patterns     []*regexp.Regexp
	ranks        []string
}

type opType struct {
	name, scope       string
	actions           string // space separated, as paths name them
	singleton, tenant bool
}

type opRoute struct{ method, path, outcome, scopes string }

// pattern returns the route's path as a regular expression and, for comparison, how
// literal it is at each position.
func (r opRoute) pattern(fold bool) (re *regexp.Regexp, rank string) {
	pattern := "^"
	if fold {
		pattern = "(?i)^"
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(r.path, "/"), "/") {
		switch part {
		case "**":
			pattern, rank = pattern+"(/[^/]+)+", rank+"a"
		case "*":
			pattern, rank = pattern+"/[^/]+", rank+"b"
		default:
			pattern, rank = pattern+"/"+regexp.QuoteMeta(part), rank+"c"
		}
	}
	if r.method == "HEAD" {
		rank += "z" // before one of GET with the same template
	}
	return regexp.MustCompile(pattern + "$"), rank
}

const opinionYAML = `
catalogue: opinion
caseInsensitivePaths: %t
strictReads: %t
hostSuffixes: [suffix.example]
scopes: {tenants: tenant}
namespaces:
  Ns:
    resourceTypes:
      Apps: {actions: [Play], scope: powerapps}
      Flows: {actions: [Apps, Stop]}
      Settings: {singleton: true, actions: [Reset]}
      Policies: {level: tenant, actions: [Play]}
      Environments: {actions: [Copy]}
  Other:
    resourceTypes:
      Units: {scope: businessUnits}
      Groups: {path: environmentGroups, level: tenant}
routes:
  - {method: GET, path: "/ns/public", public: true}
  - {method: POST, path: "/ns/apps/{a}/{rest=**}", deny: true}
  - {method: POST, path: "/ns/apps/{a}/play", permissions: [Ns.Apps.Route]}
  - {method: GET, path: "/other/{x}/{y}", permissions: [Other.Xy.Read], scopes: {x: environmentGroup, y: environment}}
  - {method: HEAD, path: "/other/{x}/{y}", deny: true}
  - {method: GET, path: "/other/{x}/{rest=**}", permissions: [Other.Rest.Read, Ns.Policies.Read]}
  - {method: PUT, path: "/{rest=**}", permissions: [All.Puts.Write]}
  - {method: PUT, path: "/ns/{rest=**}", permissions: [All.NsPuts.Write]}
  - {method: PUT, path: "/ns/{a}/{b}", permissions: [All.Two.Write], scopes: {b: powerapps}}
  - {method: PUT, path: "/ns/apps/{b}", permissions: [All.App.Write], scopes: {b: tenant}}
  - {method: PATCH, path: "/ns/apps/environments/{e}/flows", permissions: [Ns.Odd.Write]}
`

func newOpinion(fold, strict bool) *opinion {
	o := &opinion{
		fold: fold, strict: strict,
		words: map[string]string{"environments": "environment", "environmentGroups": "environmentGroup", "tenants": "tenant"},
		types: map[string]map[string]opType{
			"ns": {
				"apps":         {name: "Ns.Apps", actions: "play Play", scope: "powerapps"},
				"flows":        {name: "Ns.Flows", actions: "apps Apps stop Stop"},
				"settings":     {name: "Ns.Settings", actions: "reset Reset", singleton: true},
				"policies":     {name: "Ns.Policies", actions: "play Play", tenant: true},
				"environments": {name: "Ns.Environments", actions: "copy Copy"},
			},
			"other": {
				"units":             {name: "Other.Units", scope: "businessUnits"},
				"environmentGroups": {name: "Other.Groups", tenant: true},
			},
		},
		routes: []opRoute{
			{"GET", "/ns/public", "PUBLIC", ""},
			{"POST", "/ns/apps/*/**", "UNMAPPED", ""},
			{"POST", "/ns/apps/*/play", "Ns.Apps.Route", ""},
			{"GET", "/other/*/*", "Other.Xy.Read", "1=environmentGroup 2=environment"},
			{"HEAD", "/other/*/*", "UNMAPPED", ""},
			{"GET", "/other/*/**", "Other.Rest.Read,Ns.Policies.Read +tenant", ""},
			{"PUT", "/**", "All.Puts.Write", ""},
			{"PUT", "/ns/**", "All.NsPuts.Write", ""},
			{"PUT", "/ns/*/*", "All.Two.Write", "2=powerapps"},
			{"PUT", "/ns/apps/*", "All.App.Write", "2=tenant"},
			{"PATCH", "/ns/apps/environments/*/flows", "Ns.Odd.Write", ""},
		},
	}
	for _, route := range o.routes {
		pattern, rank := route.pattern(fold)
		o.patterns, o.ranks = append(o.patterns, pattern), append(o.ranks, rank)
	}
	return o
}

var (
	opStray   = regexp.MustCompile(`[^\x21-\x7e]|[\\#;]`)
	opEscape  = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	opNever   = regexp.MustCompile(`(?i)%(0.|1.|7f|2f|5c|25|23|3f|3b)`)
	opHigh    = regexp.MustCompile(`(%[89A-Fa-f][0-9A-Fa-f])+`)
	opPlain   = regexp.MustCompile(`^[A-Za-z0-9\-._~!$&'()*+,:=@]$`)
	opGUID    = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	opHost    = regexp.MustCompile(`^(?i)([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{10})\.([0-9a-f]{2})\.(environment|tenant)\.suffix\.example\.?(:80|:443)?$`)
	opTail    = regexp.MustCompile(` tail \d+`)
	opEscaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}|.`)
)

// canonical returns the segments, or false for a bad request.
func (o *opinion) canonical(path string) ([]string, bool) {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case !strings.HasPrefix(path, "/"), len(path) > 8192, opStray.MatchString(path), opNever.MatchString(path),
		strings.Contains(opEscape.ReplaceAllString(path, ""), "%"), strings.Contains(path, "//"):
		return nil, false
	}
	for _, run := range opHigh.FindAllString(path, -1) {
		if raw, err := hex.DecodeString(strings.ReplaceAll(run, "%", "")); err != nil || !utf8.Valid(raw) {
			return nil, false
		}
	}
	if path == "/" {
		return nil, true
	}
	segments := strings.Split(strings.TrimSuffix(path[1:], "/"), "/")
	for i, segment := range segments {
		segments[i] = opEscaped.ReplaceAllStringFunc(segment, func(s string) string {
			c := s
			if len(s) == 3 {
				raw, err := hex.DecodeString(s[1:])
				if err != nil {
					panic(err)
				}
				c = string(raw)
			}
			if opPlain.MatchString(c) {
				return c
			}
			return fmt.Sprintf("%%%02X", c[0])
		})
		if segments[i] == "." || segments[i] == ".." {
			return nil, false
		}
	}
	return segments, len(segments) <= 128
}

// opLower lower-cases all but the hex digits of escapes.
func opLower(s string) string {
	return opEscaped.ReplaceAllStringFunc(s, func(c string) string {
		if len(c) == 3 {
			return c
		}
		return strings.ToLower(c)
	})
}

func (o *opinion) id(s string) string {
	if o.fold || opGUID.MatchString(s) {
		return opLower(s)
	}
	return s
}

// word finds a segment among the words of a map or a list.
func (o *opinion) is(segment, word string) bool {
	return segment == word || o.fold && strings.EqualFold(segment, word)
}

func (o *opinion) scopeWord(segment string) string {
	for word, kind := range o.words {
		if o.is(segment, word) {
			return kind
		}
	}
	return ""
}

// resolve answers as the engine's tests write it: reason, or permissions @ scopes (step).
func (o *opinion) resolve(method, host, path string) string {
	segments, ok := o.canonical(path)
	if !ok {
		return "BAD_REQUEST"
	}
	type named struct {
		at       int
		kind, id string
	}
	var names []named
	if m := opHost.FindStringSubmatch(host); m != nil {
		names = append(names, named{-1, strings.ToLower(m[7]), strings.ToLower(strings.Join(m[1:6], "-") + m[6])})
	}
	onHost := len(names)

	// The grammar.
	kinds := make([]string, len(segments)) // what each segment was read as
	var types map[string]opType
	if len(segments) > 0 {
		for path, ts := range o.types {
			if o.is(segments[0], path) {
				types, kinds[0] = ts, "namespace"
			}
		}
	}
	typeOf := func(segment string) (opType, bool) {
		for path, t := range types {
			if o.is(segment, path) {
				return t, true
			}
		}
		return opType{}, false
	}
	var last *opType
	end, tenantLevel, misplaced, action := "", false, false, ""
	i := 1
	for types != nil && i < len(segments) {
		t, isType := typeOf(segments[i])
		word := o.scopeWord(segments[i])
		wantsID := isType && !t.singleton || !isType && word != ""
		if wantsID && i+2 < len(segments) && o.scopeWord(segments[i+1]) != "" {
			misplaced = true
			break
		}
		if isType {
			last, tenantLevel, end, kinds[i] = &t, tenantLevel || t.tenant, "type", "type"
		}
		if isType && (t.singleton || i+1 == len(segments)) {
			i++
			continue
		}
		if wantsID && i+1 < len(segments) {
			if word != "" {
				names = append(names, named{i + 1, word, o.id(segments[i+1])})
			}
			if isType && t.scope != "" {
				names = append(names, named{i + 1, "/" + t.scope, o.id(segments[i+1])})
			}
			end = "id"
			i += 2
			continue
		}
		if !isType && word == "" && last != nil {
			for a := range strings.FieldsSeq(last.actions) {
				if o.is(segments[i], a) {
					action = a
				}
			}
			if action != "" {
				end = "action"
				i++
			}
		}
		break
	}
	from := i
	if types == nil || misplaced {
		names, from = names[:onHost], 0
	}
	for j := from; j+1 < len(segments); j++ {
		if word := o.scopeWord(segments[j]); word != "" {
			names = append(names, named{j + 1, word, o.id(segments[j+1])})
			misplaced = misplaced || j+2 < len(segments) && o.scopeWord(segments[j+1]) != ""
		}
	}
	tail := i < len(segments)

	// Routes.
	permissions, step, alsoTenant := "", "convention", tenantLevel
	best, bestRank := -1, ""
	for n, route := range o.routes {
		if route.method != method && (route.method != "GET" || method != "HEAD") {
			continue
		}
		if o.ranks[n] > bestRank && o.patterns[n].MatchString("/"+strings.Join(segments, "/")) {
			best, bestRank = n, o.ranks[n]
		}
	}
	switch {
	case best >= 0:
		route := o.routes[best]
		if route.outcome == "UNMAPPED" {
			return "UNMAPPED"
		}
		if route.outcome == "PUBLIC" {
			return "PUBLIC (route)"
		}
		permissions, alsoTenant = strings.CutSuffix(route.outcome, " +tenant")
		step = "route"
		for scope := range strings.FieldsSeq(route.scopes) {
			kind := scope[2:]
			if kind == "powerapps" {
				kind = "/powerapps"
			}
			at := int(scope[0] - '0')
			names = append(names, named{at, kind, o.id(segments[at])})
		}
		slices.SortStableFunc(names, func(a, b named) int { return a.at - b.at })
	case types == nil || misplaced || last == nil:
		return "UNMAPPED"
	default:
		n := last.name
		switch {
		case method == "GET" || method == "HEAD":
			if tail && o.strict {
				return "UNMAPPED"
			}
			permissions = n + ".Read"
		case tail:
			return "UNMAPPED"
		case method == "PUT":
			permissions = n + ".Create," + n + ".Update"
		case method == "PATCH":
			permissions = n + ".Update"
		case method == "DELETE":
			permissions = n + ".Delete"
		case method == "POST" && end == "type":
			permissions = n + ".Create"
		case method == "POST" && end == "action":
			permissions = n + "." + strings.ToUpper(action[:1]) + action[1:]
		default:
			return "UNMAPPED"
		}
	}

	// Which of the scopes must grant.
	var scopes, tenants []string
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, name := range names {
		switch name.kind {
		case "tenant":
			add(&tenants, name.id)
		case "environmentGroup":
			add(&scopes, "environmentGroups/"+name.id)
		case "environment":
			below := false
			for _, resource := range names {
				if strings.HasPrefix(resource.kind, "/") {
					add(&scopes, "environments/"+name.id+resource.kind+"/"+resource.id)
					below = true
				}
			}
			if !below {
				add(&scopes, "environments/"+name.id)
			}
		}
	}
	if len(scopes) == 0 || alsoTenant {
		add(&scopes, "tenant")
	}
	answer := permissions + " @ " + strings.Join(scopes, ",") + " (" + step + ")"
	if len(tenants) > 0 {
		answer += " tenants " + strings.Join(tenants, ",")
	}
	return answer
}

// engineAnswer is the engine's answer in the form of the opinion's.
func engineAnswer(c *naming.Catalogues, r *naming.Resolution, req naming.Request) string {
	c.Default().Resolve(req, r)
	text := describe(c, r)
	text = opTail.ReplaceAllString(text, "")
	return strings.ReplaceAll(text, " fromHost", "")
}

var (
	opMethods = []string{"GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"}
	opWords   = []string{
		"ns", "Ns", "other", "nosuch", "apps", "Apps", "flows", "settings", "policies", "units", "play", "Play", "stop", "reset", "copy", "public",
		"environments", "environments", "Environments", "environmentGroups", "tenants", "e1", "E1", "g1", "t1", "a7", "%61pps", "%e7%8c%ab", "x%20y",
		"B5E65502-F2E4-ECC7-8E66-DF670E46B100", "b5e65502-f2e4-ecc7-8e66-df670e46b100", "..", "a%2Fb", ".", "", `"`, "a;b", "%C3a%A9", "%zz", "user%40x",
	}
	opHosts = []string{
		"", "api.example", "b5e65502f2e4ecc78e66df670e46b1.00.environment.suffix.example", "B5E65502F2E4ECC78E66DF670E46B1.00.environment.suffix.example.:443",
		"7f1d9a3c5b2e4d689c410a8e6f3b2d.15.tenant.suffix.example:80",
	}
)

func randomRequest(rng *rand.Rand) naming.Request {
	path := []string{"/ns", "/ns", "/other", "/nosuch", "/NS", ""}[rng.IntN(6)]
	for range rng.IntN(8) {
		n := len(opWords)
		if rng.IntN(8) > 0 {
			n -= 9 // leave the odd ones out, most of the time
		}
		path += "/" + opWords[rng.IntN(n)]
	}
	if rng.IntN(10) == 0 {
		path += "/"
	}
	host := ""
	if rng.IntN(3) == 0 {
		host = opHosts[rng.IntN(len(opHosts))]
	}
	return naming.Request{Method: opMethods[rng.IntN(len(opMethods))], Host: host, Path: path}
}

func TestTheSecondOpinionAgrees(t *testing.T) {
	for _, fold := range []bool{false, true} {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("fold %t, strict %t", fold, strict), func(t *testing.T) {
				c := load(t, fmt.Sprintf(opinionYAML, fold, strict))
				o := newOpinion(fold, strict)
				rng := rand.New(rand.NewPCG(7, 7))
				var r naming.Resolution
				answers := map[string]int{}
				for range 4_000 {
					req := randomRequest(rng)
					got, want := engineAnswer(c, &r, req), o.resolve(req.Method, req.Host, req.Path)
					if got != want {
						t.Fatalf("%s %s (host %q)\n  engine %s\n opinion %s", req.Method, req.Path, req.Host, got, want)
					}
					reason, _, _ := strings.Cut(got, " ")
					if strings.HasSuffix(got, "(route)") {
						reason = "route"
					} else if strings.Contains(got, "@") {
						reason = "convention"
					}
					answers[reason]++
				}
				for _, kind := range []string{"route", "convention", "UNMAPPED", "BAD_REQUEST"} {
					if answers[kind] < 100 {
						t.Errorf("only %d answers %s: the requests do not try it", answers[kind], kind)
					}
				}
			})
		}
	}
}
