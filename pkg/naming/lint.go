package naming

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Warning is something in a catalogue that is valid and probably not meant.
type Warning struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1; 0 where no line of the catalogue is to blame
	Message string `json:"message"`
}

// String returns "file:line: message".
func (w Warning) String() string {
	if w.Line == 0 {
		return w.File + ": " + w.Message
	}
	return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Message)
}

// Lint returns warnings, in the order of the file: permissions that no request needs, nor
// anything that they imply, navigation properties without their column, and paths that are answered by an unread tail, which means
// that GET of them is Read of a type that stands further left. The paths looked at are
// those of the routes, asked for with GET; requests adds others.
func (c *Catalogue) Lint(requests ...Request) []Warning {
	if c.vocabulary == nil {
		return nil
	}
	warnings := append(c.unreachedPermissions(), c.unreadRoutes()...)
	warnings = append(warnings, c.uncarriedNavigations()...)
	slices.SortStableFunc(warnings, func(a, b Warning) int { return cmp.Compare(a.Line, b.Line) })
	var r Resolution
	for _, req := range requests {
		if c.Resolve(req, &r); r.Unread > 0 {
			warnings = append(warnings, Warning{c.file, 0, c.unreadMessage(req.Method, req.Path, &r)})
		}
	}
	return warnings
}

// unreachedPermissions warns of the permissions that this catalogue names in vain.
func (c *Catalogue) unreachedPermissions() []Warning {
	reached := map[authz.PermissionID]bool{}
	for _, rt := range c.routeList {
		for _, id := range rt.permissions {
			reached[id] = true
		}
	}
	for _, s := range c.services {
		for _, m := range s.methods {
			reached[m.permission] = true
		}
	}
	for _, ns := range c.namespaces {
		for _, t := range ns.types {
			for _, id := range []authz.PermissionID{t.read, t.create, t.update, t.delete} {
				reached[id] = true
			}
			for word, id := range t.actions {
				// A type or a scope word of that name is read in the action's place.
				if ns.types[word] == nil && c.scopeWords.of(word) == authz.NoScope {
					reached[id] = true
				}
			}
		}
	}
	var warnings []Warning
	for id, line := range c.permissions {
		name := c.vocabulary.Name(id)
		if !reached[id] && !c.impliesAny(name, reached) {
			warnings = append(warnings, Warning{c.file, line, fmt.Sprintf("no route reaches the permission %s, nor one that it implies", name)})
		}
	}
	slices.SortFunc(warnings, func(a, b Warning) int { return cmp.Compare(a.Message, b.Message) })
	return warnings
}

// uncarriedNavigations warns of the navigation properties of which nobody said which lookup
// column carries them: following one asks for every secured column of the table.
func (c *Catalogue) uncarriedNavigations() []Warning {
	if c.web == nil {
		return nil
	}
	var warnings []Warning
	for set, declared := range c.web.sets {
		for name, n := range declared.navigation {
			if n.line > 0 && n.column == "" && (n.kind == manyToOne || n.kind == oneToMany) {
				warnings = append(warnings, Warning{c.file, n.line, fmt.Sprintf("the navigation property %s of %s has no column: following it asks for every secured column of the table", name, set)})
			}
		}
	}
	slices.SortFunc(warnings, func(a, b Warning) int { return cmp.Compare(a.Message, b.Message) })
	return warnings
}

// impliesAny tells whether holding a permission gives another one that is reached.
func (c *Catalogue) impliesAny(name authz.Permission, reached map[authz.PermissionID]bool) bool {
	role, err := c.vocabulary.Compile(authz.RoleDefinition{Permissions: []string{string(name)}})
	if err != nil {
		return false
	}
	for id := range reached {
		if role.Grants(id) {
			return true
		}
	}
	return false
}

// unreadRoutes warns of the routes whose path, asked for with GET, only the table
// answers, and that by an unread tail.
func (c *Catalogue) unreadRoutes() []Warning {
	var warnings []Warning
	seen := map[string]bool{}
	var r Resolution
	for _, rt := range c.routeList {
		path := rt.template.sample()
		if seen[path] {
			continue
		}
		seen[path] = true
		r.reset()
		if r.path.read(path) != "" || c.routes["GET"].find(&r.path, c.fold, 0) != nil {
			continue
		}
		rd := c.read(&r)
		if _, detail := c.table(nil, "GET", &rd, r.path.count); detail == "" && rd.unread < r.path.count {
			r.Rule, r.Unread = rd.last.rule, r.path.count-rd.unread
			_, template, _ := strings.Cut(rt.rule, " ")
			warnings = append(warnings, Warning{c.file, rt.line, c.unreadMessage("GET", template, &r)})
		}
	}
	return warnings
}

func (c *Catalogue) unreadMessage(method, path string, r *Resolution) string {
	return fmt.Sprintf("%s %s is answered by an unread tail of %d, as Read of %s: declare its type, or add a route", method, path, r.Unread, r.Rule)
}

// sample returns a path that the template matches and, most likely, no other does.
func (t template) sample() string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteByte('/')
		if p.literalness() == isLiteral {
			b.WriteString(p.literal)
		} else {
			b.WriteByte('~')
		}
	}
	return b.String()
}
