package roles

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A PackFile is the text of a role pack. The file's name is for messages only.
type PackFile struct {
	File string
	Text []byte
}

// PackOptions say what role packs are checked against.
type PackOptions struct {
	// Vocabulary holds the permissions that the roles may name. It is required.
	Vocabulary *authz.Vocabulary
	// FoldCase compares identifiers in scopes without case.
	FoldCase bool
}

// WithPacks returns [All] and behind them the roles of the packs, in the order of the files:
// immutable roles with terms, like [Predefined] ones, each with the name of its pack. Which
// predefined roles there are depends on what is installed in an environment, so that more of
// them than come with the product are loaded from files.
//
// Reading is strict, and all problems of all files are reported at once, joined, each a
// [strictyaml.Problem]; there are no roles then. Nothing in a pack may have an identifier, a
// name or an alias of another role, and no role of a pack elevates whoever holds it or lets
// them at every secured column: those are powers of roles that come with the product.
func WithPacks(o PackOptions, files ...PackFile) ([]authz.RoleDefinition, error) {
	all := All()
	if len(files) == 0 {
		return all, nil
	}
	if o.Vocabulary == nil {
		return nil, errors.New("read role packs: no vocabulary to check them with")
	}
	l := &packLoader{options: o, byID: map[string]*packRole{}, byName: map[string]*packRole{}, packs: map[string]string{}}
	for i := range all {
		what := "predefined"
		if all[i].Category == "" {
			what = "built-in"
		}
		l.know(&packRole{RoleDefinition: all[i], place: fmt.Sprintf("the %s role %q (%s)", what, all[i].Name, all[i].ID)})
	}
	var readers []*strictyaml.Reader
	var errs []error
	for _, file := range files {
		reader, err := l.read(file)
		readers, errs = append(readers, reader), append(errs, err)
	}
	for _, resolve := range l.later {
		resolve()
	}
	for i, reader := range readers { // by file, and within it by line
		if reader != nil {
			errs[i] = reader.Err()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, role := range l.roles {
		all = append(all, role.RoleDefinition)
	}
	return all, nil
}

// A packRole is a role and where it stands.
type packRole struct {
	authz.RoleDefinition
	place string
}

// A packLoader reads all packs.
type packLoader struct {
	options PackOptions
	byID    map[string]*packRole
	byName  map[string]*packRole // by the key of names and aliases
	packs   map[string]string    // the file of each pack, by the key of its name
	roles   []*packRole
	later   []func() // what takes all roles to be known
}

func (l *packLoader) know(role *packRole) {
	if role.ID != "" {
		l.byID[role.ID] = role
	}
	for _, name := range append([]string{role.Name}, role.Aliases...) {
		if key := authz.RoleNameKey(name); key != "" {
			l.byName[key] = role
		}
	}
}

// find returns the role of an identifier, a name or an alias; nil where there is none.
func (l *packLoader) find(idOrName string) *packRole {
	if role := l.byID[authz.CanonicalID(idOrName, l.options.FoldCase)]; role != nil {
		return role
	}
	return l.byName[authz.RoleNameKey(idOrName)]
}

// read reads one file. The reader has its problems, unless it is no document at all.
func (l *packLoader) read(file PackFile) (*strictyaml.Reader, error) {
	if !endsWithMark(file.Text) {
		return nil, strictyaml.Problem{File: file.File, Message: `the file does not end with the line "..." and may be cut off: end it with that line`}
	}
	root, reader, err := strictyaml.Parse(file.File, file.Text)
	if err != nil {
		return nil, err
	}
	f := readKeys(root, packKeys, nil, "rolePack", "roleDefinitions")
	pack := ""
	if v, ok := f["rolePack"]; ok {
		if pack = packText(v, maxPackName); pack != "" {
			l.name(v, pack, file.File)
		}
	}
	if v, ok := f["roleDefinitions"]; ok {
		if v.IsEmpty() {
			v.Problemf("want at least one role")
		}
		v.List(func(v strictyaml.Value) { l.role(v, pack) })
	}
	return reader, nil
}

func (l *packLoader) name(v strictyaml.Value, pack, file string) {
	key := authz.RoleNameKey(pack)
	if other, twice := l.packs[key]; twice {
		v.Problemf("the pack %q is that of %s too: give each file once, and each pack a name of its own", pack, other)
		return
	}
	l.packs[key] = file
}

// endMark is the last line of a pack: half a list is valid YAML, and the roles that are
// missing would be missed much later.
const endMark = "..."

func endsWithMark(text []byte) bool {
	lines := bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n"))
	return string(bytes.TrimRight(lines[len(lines)-1], "\r")) == endMark
}

// The keys of a pack and of its roles.
var (
	packKeys = []string{"rolePack", "roleDefinitions"}
	roleKeys = []string{
		"roleDefinitionId", "roleDefinitionName", "aliases", "category", "description", "permissions", "permissionsExceptions",
		"privileges", "assignableScopes", "restrictedScopes", "heldBy", "heldByTeamNamed", "comesBy", "database", "assignableRoles",
		"companion", "teamOnly",
	}
	// powers are keys of roles that come with the product, and why no others have them.
	powers = map[string]string{
		"elevates":           "whoever holds a role that elevates makes themselves System Administrator: no role of a pack does, leave it out",
		"everySecuredColumn": "only the System Administrator is let at every secured column: leave it out, and give rights to columns with a column profile",
	}
)

// readKeys reads a mapping. Unknown keys, those that are refused, and required ones that are
// missing, are problems.
func readKeys(v strictyaml.Value, known []string, refused map[string]string, required ...string) map[string]strictyaml.Value {
	given := map[string]strictyaml.Value{}
	v.Entries(func(key string, at, value strictyaml.Value) {
		why, isRefused := refused[key]
		switch {
		case slices.Contains(known, key):
			given[key] = value
		case isRefused:
			at.Problemf("%s: %s", key, why)
		default:
			at.Problemf("unknown key %q: want one of %s", key, strings.Join(slices.Sorted(slices.Values(known)), ", "))
		}
	})
	if v.IsScalar() || v.IsList() {
		return given
	}
	for _, key := range required {
		if _, ok := given[key]; !ok {
			v.Problemf("%s is required", key)
		}
	}
	return given
}

// claim says of a text that it is taken, if it is another role's.
func (l *packLoader) claim(v strictyaml.Value, what string, by *packRole) bool {
	if by == nil {
		return true
	}
	v.Problemf("the %s is taken by %s: choose another", what, by.place)
	return false
}

// place says where a role stands.
func placeOf(v strictyaml.Value, role *authz.RoleDefinition) string {
	return fmt.Sprintf("the role %q of %s:%d", cmp.Or(role.Name, role.ID), v.File(), v.Line())
}
