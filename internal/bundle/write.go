package bundle

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Format is how a bundle is spelled. The zero Format is YAML.
type Format uint8

// The formats.
const (
	YAML Format = iota
	JSON
)

// ParseFormat reads yaml or json.
func ParseFormat(text string) (Format, error) {
	switch text {
	case "yaml":
		return YAML, nil
	case "json":
		return JSON, nil
	}
	return YAML, fmt.Errorf("unknown format %q: want yaml or json", text)
}

// String returns yaml or json.
func (f Format) String() string {
	switch f {
	case YAML:
		return "yaml"
	case JSON:
		return "json"
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// Write writes the data in canonical order, each item on a line of its own. It writes
// the same bytes for the same data, whatever their order, and [Parse] reads the same
// data from them. Roles are named by their identifiers alone, which outlast names.
//
// An environment that a group lists stands among the environments only where there is
// more to say about it. Data that could not be read back, such as an assignment without
// effect, are an error; what was written until then is to be thrown away.
func Write(w io.Writer, d *snapshot.Data, format Format) error {
	if format > JSON {
		return fmt.Errorf("write a bundle: unknown format %d", format)
	}
	return newEncoder(w, format).write(d)
}

// WriteExport is [Write] for what a store exports, which need not fit into memory.
func WriteExport(w io.Writer, from *snapshot.Export, format Format) error {
	if format > JSON {
		return fmt.Errorf("write a bundle: unknown format %d", format)
	}
	e := newEncoder(w, format)
	e.from = from
	return e.write(from.Data)
}

func newEncoder(w io.Writer, format Format) *encoder {
	return &encoder{w: bufio.NewWriterSize(w, 64<<10), format: format}
}

func (e *encoder) write(d *snapshot.Data) error {
	e.document(d)
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("write a bundle: %w", e.err)
	}
	return nil
}

// An encoder writes one bundle; after the first error it writes nothing more.
type encoder struct {
	w      *bufio.Writer
	format Format
	err    error
	buf    []byte
	where  string           // what is being written, for errors
	from   *snapshot.Export // where role assignments come from; nil: from the data
}

func (e *encoder) document(d *snapshot.Data) {
	tenants := sorted(d.Tenants, func(a, b snapshot.Tenant) int { return cmp.Compare(a.ID, b.ID) })
	if e.format == JSON {
		e.raw(`{"apiVersion":"` + APIVersion + `","tenants":[`)
	} else {
		e.raw("apiVersion: " + APIVersion + "\ntenants:")
		if len(tenants) == 0 {
			e.raw(" []")
		}
		e.raw("\n")
	}
	for i := range tenants {
		if e.format == JSON && i > 0 {
			e.raw(",")
		}
		e.tenant(&tenants[i])
	}
	if e.format == JSON {
		e.raw("\n]}\n")
	} else {
		e.raw(endMark + "\n")
	}
}

func (e *encoder) tenant(t *snapshot.Tenant) {
	e.where = fmt.Sprintf("tenant %q", t.ID)
	if e.format == JSON {
		e.raw("\n{\"id\":")
	} else {
		e.raw("  - id: ")
	}
	e.buf = e.buf[:0]
	e.text(t.ID)
	e.flush()
	if t.DirectoryComplete {
		if e.format == JSON {
			e.raw(`,"directoryComplete":true`)
		} else {
			e.raw("\n    directoryComplete: true")
		}
	}
	if e.format == YAML {
		e.raw("\n")
	}
	e.scopes(t)
	e.tables(t)
	e.directory(t)
	e.teams(t)
	e.sharing(t)
	section(e, "roleDefinitions", t.RoleDefinitions, func(a, b authz.RoleDefinition) int { return cmp.Compare(a.ID, b.ID) }, e.roleDefinition)
	if e.from == nil {
		section(e, "roleAssignments", t.RoleAssignments, compareAssignments, e.roleAssignment)
	} else {
		e.exported(t.ID)
	}
	if e.format == JSON {
		e.raw("}")
	}
}

func (e *encoder) scopes(t *snapshot.Tenant) {
	grouped := map[string]bool{}
	for _, group := range t.EnvironmentGroups {
		for _, environment := range group.Environments {
			grouped[environment] = true
		}
	}
	section(e, "environmentGroups", t.EnvironmentGroups, func(a, b authz.EnvironmentGroup) int { return cmp.Compare(a.ID, b.ID) },
		func(group authz.EnvironmentGroup) {
			e.key("id").text(group.ID)
			e.key("environments").texts(sorted(group.Environments, cmp.Compare))
		})
	telling := make([]snapshot.Environment, 0, len(t.Environments))
	for _, environment := range t.Environments {
		if environment.Dataverse || !grouped[environment.ID] {
			telling = append(telling, environment)
		}
	}
	section(e, "environments", telling, func(a, b snapshot.Environment) int { return cmp.Compare(a.ID, b.ID) },
		func(environment snapshot.Environment) {
			e.key("id").text(environment.ID)
			e.flag("dataverse", environment.Dataverse)
		})
	section(e, "businessUnits", t.BusinessUnits, func(a, b authz.BusinessUnit) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.ID, b.ID))
	}, func(unit authz.BusinessUnit) {
		e.key("id").text(unit.ID)
		e.key("environment").text(unit.Environment)
		e.optional("parent", unit.Parent)
	})
}

func (e *encoder) directory(t *snapshot.Tenant) {
	section(e, "principals", t.Principals, func(a, b snapshot.Principal) int { return comparePrincipals(a.Principal, b.Principal) },
		func(principal snapshot.Principal) {
			e.principal("principalType", "principalObjectId", principal.Principal)
			e.flag("disabled", principal.Disabled)
			e.optional("displayName", principal.DisplayName)
			e.optional("mail", principal.Mail)
			e.optionalPeople("owners", principal.Owners)
		})
	section(e, "groups", t.Groups, func(a, b snapshot.Group) int { return cmp.Compare(a.ID, b.ID) },
		func(group snapshot.Group) {
			e.key("id").text(group.ID)
			e.optional("displayName", group.DisplayName)
			e.key("members").people(group.Members)
			e.optionalPeople("owners", group.Owners)
		})
}

func (e *encoder) optionalPeople(key string, people []authz.Principal) {
	if len(people) > 0 {
		e.key(key).people(people)
	}
}

// people writes a list of principals.
func (e *encoder) people(people []authz.Principal) {
	list(e, people, comparePrincipals, func(one authz.Principal) {
		e.principal("principalType", "principalObjectId", one)
	})
}

func (e *encoder) roleDefinition(def authz.RoleDefinition) {
	e.key("roleDefinitionId").text(def.ID)
	e.key("roleDefinitionName").text(def.Name)
	e.optional("description", def.Description)
	if def.Environment == "" {
		e.key("permissions").texts(distinct(def.Permissions))
		e.optionalTexts("permissionsExceptions", distinct(def.PermissionsExceptions))
		e.key("assignableScopes").texts(distinct(def.AssignableScopes))
		e.optionalTexts("restrictedScopes", distinct(def.RestrictedScopes))
		if len(def.Privileges) > 0 || def.BusinessUnit != "" || def.TeamOnly {
			e.fail(errors.New("it has what a security role has, and names no environment"))
		}
	} else {
		e.key("environment").text(def.Environment)
		e.optional("businessUnit", def.BusinessUnit)
		e.optionalTexts("permissions", distinct(def.Permissions))
		e.optionalTexts("privileges", distinct(def.Privileges))
		e.flag("teamOnly", def.TeamOnly)
		if def.CarriesMore() || len(def.AssignableScopes)+len(def.RestrictedScopes) > 0 {
			e.fail(errors.New("it is a security role, and has what only a role of the platform has"))
		}
	}
	if def.Terms != nil {
		e.optionalTexts("assignableRoles", distinct(def.Terms.AssignableRoles))
	}
}

func (e *encoder) roleAssignment(a snapshot.RoleAssignment) {
	e.where = fmt.Sprintf("role assignment %q", a.ID)
	e.key("roleAssignmentId").text(a.ID)
	e.principal("principalType", "principalObjectId", a.Principal)
	e.key("roleDefinitionId").text(a.RoleDefinitionID)
	e.key("scope").text(string(a.Scope))
	switch a.Effect {
	case authz.AssignAllow: // the default
	case authz.AssignDeny, authz.AssignForbid:
		e.key("effect").text(a.Effect.String())
	default:
		e.fail(fmt.Errorf("it has no effect that can be written: %v", a.Effect))
	}
	e.time("expiresOn", a.Expires)
	e.time("createdOn", a.CreatedOn)
	if a.CreatedBy != (authz.Principal{}) {
		e.principal("createdByPrincipalType", "createdByPrincipalObjectId", a.CreatedBy)
	}
}

func comparePrincipals(a, b authz.Principal) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
}

func compareAssignments(a, b snapshot.RoleAssignment) int {
	return cmp.Or(cmp.Compare(a.Scope, b.Scope), comparePrincipals(a.Principal, b.Principal),
		cmp.Compare(a.RoleDefinitionID, b.RoleDefinitionID), cmp.Compare(a.ID, b.ID))
}

// sorted returns the items in order, and leaves the slice it is given as it is.
func sorted[T any](items []T, compare func(a, b T) int) []T {
	if slices.IsSortedFunc(items, compare) {
		return items
	}
	items = slices.Clone(items)
	slices.SortFunc(items, compare)
	return items
}

// distinct returns the texts in order, each once: in a role, neither order nor
// repetition means anything.
func distinct(texts []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}

// section writes a list under a key of the tenant, one item a line; nothing if it is
// empty.
func section[T any](e *encoder, key string, items []T, compare func(a, b T) int, item func(T)) {
	for i, it := range sorted(items, compare) {
		e.beginItem(key, i)
		item(it)
		if e.endItem(); e.err != nil {
			return
		}
	}
	e.endSection(len(items))
}

// list writes items that stand within another, in order.
func list[T any](e *encoder, items []T, compare func(a, b T) int, item func(T)) {
	e.buf = append(e.buf, '[')
	for i, it := range sorted(items, compare) {
		if i > 0 {
			e.comma()
		}
		e.buf = append(e.buf, '{')
		item(it)
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, ']')
}

// exported writes the role assignments of a tenant that is exported.
func (e *encoder) exported(tenant string) {
	if e.err != nil {
		return
	}
	n := 0
	err := e.from.RoleAssignments(tenant, appendAssignmentOrder, func(a *snapshot.RoleAssignment) error {
		e.beginItem("roleAssignments", n)
		e.roleAssignment(*a)
		e.endItem()
		n++
		return e.err
	})
	if e.err == nil {
		e.err = err
	}
	e.endSection(n)
}

// appendAssignmentOrder appends a key by which role assignments sort as compareAssignments
// sorts them.
func appendAssignmentOrder(b []byte, a *snapshot.RoleAssignment) []byte {
	b = append(appendOrdered(b, string(a.Scope)), byte(a.Principal.Type))
	return appendOrdered(appendOrdered(appendOrdered(b, a.Principal.ID), a.RoleDefinitionID), a.ID)
}

// appendOrdered appends a text with an end that sorts before every byte of a longer one.
func appendOrdered(b []byte, text string) []byte {
	for i := range len(text) {
		if b = append(b, text[i]); text[i] == 0 {
			b = append(b, 0xFF)
		}
	}
	return append(b, 0, 1)
}

// beginItem begins the item of a list, and with the first one the list.
func (e *encoder) beginItem(key string, i int) {
	if i == 0 {
		if e.format == JSON {
			e.raw(",\n " + `"` + key + `":[`)
		} else {
			e.raw("    " + key + ":\n")
		}
	}
	switch {
	case e.format == YAML:
		e.buf = append(e.buf[:0], "      - {"...)
	case i == 0:
		e.buf = append(e.buf[:0], "\n  {"...)
	default:
		e.buf = append(e.buf[:0], ",\n  {"...)
	}
	e.where = fmt.Sprintf("%s[%d]", key, i)
}

func (e *encoder) endItem() {
	e.buf = append(e.buf, '}')
	if e.format == YAML {
		e.buf = append(e.buf, '\n')
	}
	e.flush()
}

// endSection ends a list of n items.
func (e *encoder) endSection(n int) {
	if n > 0 && e.format == JSON {
		e.raw("]")
	}
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = fmt.Errorf("%s: %w", e.where, err)
	}
}

func (e *encoder) raw(text string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(text)
	}
}

func (e *encoder) flush() {
	if e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
}

func (e *encoder) comma() {
	e.buf = append(e.buf, ',')
	if e.format == YAML {
		e.buf = append(e.buf, ' ')
	}
}

// key writes a key of the item, after a comma unless it is the first.
func (e *encoder) key(key string) *encoder {
	if e.buf[len(e.buf)-1] != '{' {
		e.comma()
	}
	if e.format == JSON {
		e.buf = append(append(append(e.buf, '"'), key...), `":`...)
	} else {
		e.buf = append(append(e.buf, key...), ": "...)
	}
	return e
}

// text writes a text, which must not be empty.
func (e *encoder) text(text string) {
	if text == "" {
		e.fail(errors.New("it lacks a text that it must have"))
		return
	}
	b, err := appendText(e.buf, text, e.format)
	if err != nil {
		e.fail(err)
		return
	}
	e.buf = b
}

func (e *encoder) texts(texts []string) {
	e.buf = append(e.buf, '[')
	for i, text := range texts {
		if i > 0 {
			e.comma()
		}
		e.text(text)
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) optional(key, text string) {
	if text != "" {
		e.key(key).text(text)
	}
}

func (e *encoder) optionalTexts(key string, texts []string) {
	if len(texts) > 0 {
		e.key(key).texts(texts)
	}
}

func (e *encoder) flag(key string, set bool) {
	if set {
		e.key(key)
		e.buf = append(e.buf, "true"...)
	}
}

func (e *encoder) principal(typeKey, idKey string, p authz.Principal) {
	if p.Type == authz.NoPrincipal || p.Type > authz.Team {
		e.fail(fmt.Errorf("it names a principal without a type: %q", p.ID))
		return
	}
	e.key(typeKey).text(p.Type.String())
	e.key(idKey).text(p.ID)
}

// time writes a time; 0 is none.
func (e *encoder) time(key string, seconds int64) {
	if seconds == 0 {
		return
	}
	at := time.Unix(seconds, 0).UTC()
	if seconds < 0 || at.Year() > 9999 {
		e.fail(fmt.Errorf("%s: %d is not a time between 1970 and 9999", key, seconds))
		return
	}
	e.key(key)
	if e.format == JSON {
		e.buf = append(e.buf, '"')
	}
	e.buf = at.AppendFormat(e.buf, time.RFC3339)
	if e.format == JSON {
		e.buf = append(e.buf, '"')
	}
}
