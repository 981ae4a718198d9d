// Package world holds the data and the requests that all peers are given, and what must
// become of each request.
//
// A world is a file in JSON, so that peers in modules of their own read the same. What
// must be answered was worked out by the oracle, which shares nothing with Pathgrant's
// decision nor with any peer.
package world

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A World is who holds what in one tenant, and who asks for what.
type World struct {
	Tenant            string             `json:"tenant"`
	Issuer            string             `json:"issuer"`
	Audience          string             `json:"audience"`
	JWKS              json.RawMessage    `json:"jwks"`
	Environments      []string           `json:"environments"`
	EnvironmentGroups []EnvironmentGroup `json:"environmentGroups"`
	Groups            []Group            `json:"groups"`
	Assignments       []Assignment       `json:"assignments"`
	Requests          []Request          `json:"requests"`
}

// An EnvironmentGroup is a group of environments; an environment is in one at most.
type EnvironmentGroup struct {
	ID           string   `json:"id"`
	Environments []string `json:"environments"`
}

// A Group is a group of users.
type Group struct {
	ID      string   `json:"id"`
	Members []string `json:"members"`
}

// An Assignment gives a role at a scope, or takes it away.
type Assignment struct {
	PrincipalType string `json:"principalType"` // User or Group
	Principal     string `json:"principalObjectId"`
	Role          string `json:"roleDefinitionName"`
	Scope         string `json:"scope"`
	Effect        string `json:"effect,omitempty"` // empty: ALLOW
}

// Denies tells whether the assignment takes away.
func (a Assignment) Denies() bool { return a.Effect == "DENY" }

// A Request is one check. Peers that have no notion of paths are asked for Permission in
// Environment, which is what method and path stand for.
type Request struct {
	User       string `json:"user"`
	Method     string `json:"method"`
	Host       string `json:"host"`
	Path       string `json:"path"`
	Token      string `json:"token"`
	Permission string `json:"permission"`
	Scope      string `json:"scope"`
	// Environment is the one that the path names. No world has an assignment below one,
	// so that peers are asked at the environment and spared one level.
	Environment string `json:"environment"`
	// Body is the CheckRequest that a proxy would send; in files for servers only.
	Body []byte `json:"body,omitempty"`
	// Reason is GRANTED, OVERRIDDEN or NO_ASSIGNMENT.
	Reason string `json:"reason"`
}

// The reasons that occur.
const (
	Granted      = "GRANTED"
	Overridden   = "OVERRIDDEN"
	NoAssignment = "NO_ASSIGNMENT"
)

// Read reads a world's file.
func Read(file string) (*World, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	w := new(World)
	if err := json.Unmarshal(text, w); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return w, nil
}

// TenantScope is the scope above all others.
func (w *World) TenantScope() string { return "/tenants/" + w.Tenant }

// EnvironmentScope is the scope of an environment.
func (w *World) EnvironmentScope(id string) string { return w.TenantScope() + "/environments/" + id }

// GroupScope is the scope of a group of environments.
func (w *World) GroupScope(id string) string { return w.TenantScope() + "/environmentGroups/" + id }

// Chains gives every environment's scope, and what it inherits from, nearest first.
func (w *World) Chains() map[string][]string {
	chains := map[string][]string{}
	for _, id := range w.Environments {
		chains[w.EnvironmentScope(id)] = []string{w.EnvironmentScope(id), w.TenantScope()}
	}
	for _, group := range w.EnvironmentGroups {
		for _, id := range group.Environments {
			chains[w.EnvironmentScope(id)] = []string{w.EnvironmentScope(id), w.GroupScope(group.ID), w.TenantScope()}
		}
	}
	return chains
}

// GroupsOf gives the groups that each user is in.
func (w *World) GroupsOf() map[string][]string {
	of := map[string][]string{}
	for _, group := range w.Groups {
		for _, member := range group.Members {
			of[member] = append(of[member], group.ID)
		}
	}
	return of
}

// A Role is what a role grants, and what a DENY of it takes away, by name.
type Role struct {
	Name          string
	Grants, Takes []string
}

// UsedRoles names the roles that the world hands out.
func (w *World) UsedRoles() []string {
	var names []string
	for _, a := range w.Assignments {
		if !slices.Contains(names, a.Role) {
			names = append(names, a.Role)
		}
	}
	return names
}

// ShippedRoles names the roles that can be assigned. Pathgrant knows all of them, and so
// does every peer; where a peer's speed depends on their number, it has a row of its own
// with [World.UsedRoles] alone.
func ShippedRoles() []string {
	var names []string
	for _, definition := range roles.Shipped() {
		names = append(names, definition.Name)
	}
	return names
}

// Roles gives shipped roles by their names, worked out: peers need no patterns, no
// exceptions and no implications.
func Roles(names []string) ([]Role, error) {
	vocabulary, err := vocabulary()
	if err != nil {
		return nil, err
	}
	var all []Role
	for _, name := range names {
		definition, ok := roles.Find(roles.Shipped(), name)
		if !ok {
			return nil, fmt.Errorf("no role is called %q", name)
		}
		compiled, err := vocabulary.CompileShipped(definition)
		if err != nil {
			return nil, err
		}
		role := Role{Name: name}
		for _, permission := range vocabulary.Names() {
			id, _ := vocabulary.ID(string(permission))
			if compiled.Grants(id) {
				role.Grants = append(role.Grants, string(permission))
			}
			if compiled.Takes(id) {
				role.Takes = append(role.Takes, string(permission))
			}
		}
		all = append(all, role)
	}
	return all, nil
}

func vocabulary() (*authz.Vocabulary, error) {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		return nil, err
	}
	return catalogues.Vocabulary(), nil
}

// A Mapper maps requests for peers that serve a proxy but have no notion of its paths.
// It is not safe for concurrent use; clones of it are, beside each other.
type Mapper struct {
	catalogue  *naming.Catalogue
	vocabulary *authz.Vocabulary
	resolution naming.Resolution
}

// NewMapper returns a Mapper with the shipped catalogue.
func NewMapper() (*Mapper, error) {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		return nil, err
	}
	return &Mapper{catalogue: catalogues.Default(), vocabulary: catalogues.Vocabulary()}, nil
}

// Clone returns another Mapper with the same catalogue.
func (m *Mapper) Clone() *Mapper { return &Mapper{catalogue: m.catalogue, vocabulary: m.vocabulary} }

// Map returns the one permission that a request needs and the one environment that it
// names; ok is false where it names none, or several.
func (m *Mapper) Map(method, host, path string) (permission, environment string, ok bool) {
	r := &m.resolution
	m.catalogue.Resolve(naming.Request{Method: method, Host: host, Path: path}, r)
	if len(r.Permissions) != 1 || len(r.Scopes) != 1 || r.Scopes[0].Environment == "" {
		return "", "", false
	}
	return string(m.vocabulary.Name(r.Permissions[0])), strings.Clone(r.Scopes[0].Environment), true
}
