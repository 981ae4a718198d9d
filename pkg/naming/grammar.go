package naming

import "github.com/pathgrant/pathgrant/pkg/authz"

// What the part of a path that could be read ends with.
const (
	endsNowhere = iota
	endsInType  // also: in a singleton
	endsInID    // of a type or of a scope
	endsInAction
)

// A reading is how the grammar understands a path: its namespace, then types with
// their identifiers and scope words with theirs, then at most one action.
type reading struct {
	namespace *namespace
	// last is the last declared type read, action the action of it that was read.
	last   *resourceType
	action authz.PermissionID
	ends   int
	// unread is the place of the first segment that the grammar could not read; the
	// number of segments if it read all.
	unread int
	// misplaced says that a scope word stands where an identifier should, with more
	// behind it: whether it is the one or the other, nobody can say.
	misplaced bool
	// tenantLevel says that objects of a type that was read live at the tenant.
	tenantLevel bool
}

// read reads the path by the grammar and notes every scope that it names.
func (c *Catalogue) read(r *Resolution) reading {
	named, count := len(r.named), r.path.count
	rd := reading{}
	if count > 0 {
		rd.namespace = c.namespaces[r.path.word(0, c.fold)]
	}
	if rd.namespace == nil {
		c.scan(r, &rd, 0)
		return rd
	}
	for rd.unread = 1; rd.unread < count; {
		word := r.path.word(rd.unread, c.fold)
		kind, read := c.scopeWords.of(word), 0
		if t := rd.namespace.types[word]; t != nil {
			read = c.readType(r, &rd, t, kind)
		} else if kind != authz.NoScope {
			read = c.readScope(r, &rd, kind)
		} else if rd.last != nil {
			read = rd.readAction(word)
		}
		if rd.misplaced {
			r.named = r.named[:named]
			c.scan(r, &rd, 0)
			return rd
		}
		rd.unread += read
		if read == 0 || rd.ends == endsInAction {
			break
		}
	}
	c.scan(r, &rd, rd.unread)
	return rd
}

// readType reads a type and the identifier behind it, and returns how many segments
// these are. A type whose word is a scope word too is both: its identifiers are scopes.
func (c *Catalogue) readType(r *Resolution, rd *reading, t *resourceType, kind authz.ScopeKind) int {
	rd.last, rd.ends = t, endsInType
	rd.tenantLevel = rd.tenantLevel || t.tenantLevel
	id := rd.unread + 1
	if t.singleton || id == r.path.count || c.isMisplaced(r, rd, id) {
		return 1
	}
	rd.ends = endsInID
	if kind != authz.NoScope {
		c.mentionSegment(r, kind, "", id)
	}
	if t.scope.kind != authz.NoScope {
		c.mentionSegment(r, t.scope.kind, t.scope.word, id)
	}
	return 2
}

// readScope reads a scope word and its identifier. Without one it reads nothing.
func (c *Catalogue) readScope(r *Resolution, rd *reading, kind authz.ScopeKind) int {
	id := rd.unread + 1
	if id == r.path.count || c.isMisplaced(r, rd, id) {
		return 0
	}
	rd.ends = endsInID
	c.mentionSegment(r, kind, "", id)
	return 2
}

// readAction reads an action of the last type. It stands behind an identifier or a
// singleton, because behind a type the word would have been read as an identifier.
func (rd *reading) readAction(word string) int {
	action, ok := rd.last.actions[word]
	if !ok {
		return 0
	}
	rd.ends, rd.action = endsInAction, action
	return 1
}

// isMisplaced tells, and notes, whether a scope word stands where an identifier should,
// with more behind it.
func (c *Catalogue) isMisplaced(r *Resolution, rd *reading, id int) bool {
	rd.misplaced = id+1 < r.path.count && c.scopeWords.of(r.path.word(id, c.fold)) != authz.NoScope
	return rd.misplaced
}

// scan notes the scopes that scope words name from a place on, where the grammar says
// nothing about what the words are.
func (c *Catalogue) scan(r *Resolution, rd *reading, from int) {
	for i := from; i+1 < r.path.count; i++ {
		if kind := c.scopeWords.of(r.path.word(i, c.fold)); kind != authz.NoScope {
			c.mentionSegment(r, kind, "", i+1)
			rd.misplaced = rd.misplaced || c.isMisplaced(r, rd, i+1)
		}
	}
}

// The details of what the table does not map.
const (
	unmappedMethod    = "no route names the method, and the naming table has no action for it"
	unmappedNamespace = "no route names the path, and the catalogue has no namespace of its first segment"
	unmappedMisplaced = "a scope word stands where an identifier should, and no route names the path"
	unmappedType      = "the path names no resource type that the namespace declares"
	unmappedTail      = "the path goes on behind what the naming table can read"
	unmappedPost      = "a POST ends neither in a resource type nor in an action that the type declares"
)

// table appends the permissions that the naming table asks for. Where it asks for none,
// it returns why.
func (c *Catalogue) table(dst []authz.PermissionID, method string, rd *reading, segments int) (permissions []authz.PermissionID, detail string) {
	switch method {
	case "GET", "HEAD", "DELETE", "PATCH", "PUT", "POST":
	default:
		return dst, unmappedMethod
	}
	reads, tail := method == "GET" || method == "HEAD", rd.unread < segments
	switch {
	case rd.namespace == nil:
		return dst, unmappedNamespace
	case rd.misplaced:
		return dst, unmappedMisplaced
	case rd.last == nil:
		return dst, unmappedType
	case tail && (!reads || c.strictReads):
		return dst, unmappedTail
	}
	t := rd.last
	switch {
	case reads:
		return append(dst, t.read), ""
	case method == "DELETE":
		return append(dst, t.delete), ""
	case method == "PATCH":
		return append(dst, t.update), ""
	case method == "PUT":
		return append(dst, t.create, t.update), ""
	case rd.ends == endsInType:
		return append(dst, t.create), ""
	case rd.ends == endsInAction:
		return append(dst, rd.action), ""
	}
	return dst, unmappedPost
}
