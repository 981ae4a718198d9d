package naming

import (
	"bytes"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Catalogue says what exists and how requests name it. It is immutable and safe for
// concurrent use. The zero Catalogue maps nothing.
type Catalogue struct {
	name, file string
	source     []byte

	fold        bool // caseInsensitivePaths
	strictReads bool
	hosts       map[string]bool // empty: any
	suffixes    map[string]bool
	scopeWords  words[authz.ScopeKind]
	namespaces  map[string]*namespace
	routes      map[string]*node // by method
	services    map[string]*service
	web         *webProfile // nil: the catalogue has no profile
	composites  map[string]*Composite

	vocabulary  *authz.Vocabulary
	routeList   []*route                   // in the order of the file
	types       map[string]*resourceType   // by namespace and name in lower case
	tenantTypes map[string]bool            // types at the tenant's level, of all catalogues loaded together
	texts       map[string]describedBy     // by permission in lower case
	permissions map[authz.PermissionID]int // the line on which each first stands
}

// words say what a word of a path means. Most segments are identifiers, which are longer than
// all words, and are told from them by that.
type words[T any] struct {
	meanings map[string]T
	longest  int
}

// of returns what the word means; the zero T if it is none.
func (w *words[T]) of(word string) (meaning T) {
	if len(word) > w.longest {
		return meaning
	}
	return w.meanings[word]
}

func (w *words[T]) set(word string, meaning T) {
	if w.meanings == nil {
		w.meanings = map[string]T{}
	}
	w.meanings[word], w.longest = meaning, max(w.longest, len(word))
}

// A namespace holds the resource types by the words that name them in a path.
type namespace struct {
	name  string
	types map[string]*resourceType
}

// A resourceType is what the naming table needs of a declared type.
type resourceType struct {
	rule                         string // namespace and type, such as PowerApps.Apps
	line                         int
	read, create, update, delete authz.PermissionID
	actions                      map[string]authz.PermissionID
	singleton                    bool
	tenantLevel                  bool
	scope                        scopeType // kind is NoScope if its identifiers are no scopes
	describedBy
}

// describedBy is what people read about a type or a permission.
type describedBy struct{ displayName, description string }

// The actions that every declared type has.
const (
	actionRead      = "Read"
	actionCreate    = "Create"
	actionUpdate    = "Update"
	actionDelete    = "Delete"
	actionWrite     = "Write"
	actionReadWrite = "ReadWrite"
)

func tableActions() []string {
	return []string{actionRead, actionCreate, actionUpdate, actionDelete, actionWrite, actionReadWrite}
}

// Name returns the catalogue's name.
func (c *Catalogue) Name() string { return c.name }

// Source returns the text that the catalogue was loaded from. The caller may keep it.
func (c *Catalogue) Source() []byte { return bytes.Clone(c.source) }

// Describe returns what the catalogue says about a permission for people to read; where
// it says nothing about that very permission, what it says about its resource type.
// Either text may be empty.
func (c *Catalogue) Describe(id authz.PermissionID) (displayName, description string) {
	if c.vocabulary == nil || int(id) >= c.vocabulary.Len() {
		return "", ""
	}
	name := c.vocabulary.Name(id)
	text := c.texts[lowerASCII(string(name))]
	if t := c.typeOf(name); t != nil {
		if text.displayName == "" && t.displayName != "" {
			text.displayName = t.displayName + ": " + name.Action()
		}
		if text.description == "" {
			text.description = t.description
		}
	}
	return text.displayName, text.description
}

// tenantLevel tells whether objects of the permission's type live at the tenant, in
// whichever of the catalogues that are loaded together the type is declared.
func (c *Catalogue) tenantLevel(name authz.Permission) bool {
	return c.tenantTypes[lowerASCII(name.Namespace()+"."+name.ResourceType())]
}

// typeOf returns the declared type of a permission, or nil.
func (c *Catalogue) typeOf(name authz.Permission) *resourceType {
	return c.types[lowerASCII(name.Namespace()+"."+name.ResourceType())]
}

// Catalogues are what [Load] returns: one or more that share one vocabulary. A role means the same
// whichever of them mapped the request. They are immutable and safe for concurrent use.
type Catalogues struct {
	all        []*Catalogue
	vocabulary *authz.Vocabulary
}

// Default returns the first catalogue.
func (c *Catalogues) Default() *Catalogue { return c.all[0] }

// All returns the catalogues in the order in which they were loaded. The caller must not
// change it.
func (c *Catalogues) All() []*Catalogue { return c.all }

// Named returns the catalogue of a name; the empty name is the first one's too.
func (c *Catalogues) Named(name string) (*Catalogue, bool) {
	if name == "" {
		return c.Default(), true
	}
	for _, catalogue := range c.all {
		if catalogue.name == name {
			return catalogue, true
		}
	}
	return nil, false
}

// Vocabulary returns every permission of the catalogues.
func (c *Catalogues) Vocabulary() *authz.Vocabulary { return c.vocabulary }

// FoldCase tells whether the catalogues compare identifiers that are not GUIDs without
// case (caseInsensitivePaths).
func (c *Catalogues) FoldCase() bool { return c.Default().fold }

// isWord tells whether s is of letters, digits, _ and -.
func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := lowerByte(s[i])
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// isDottedName tells whether s is words with dots between them.
func isDottedName(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if !isWord(word) {
			return false
		}
	}
	return true
}

// lowerCamelCase returns the name with its first letter in lower case.
func lowerCamelCase(name string) string { return string(lowerByte(name[0])) + name[1:] }
