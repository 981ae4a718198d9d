package main

import (
	"encoding/json"
	"os"
)

// A worldFile is a world for others to read: see WORLD.md.
type worldFile struct {
	Tenant            string            `json:"tenant"`
	Issuer            string            `json:"issuer"`
	Audience          string            `json:"audience"`
	JWKS              json.RawMessage   `json:"jwks"`
	EnvironmentGroups []fileEnvironment `json:"environmentGroups"`
	Environments      []string          `json:"environments"`
	Groups            []fileGroup       `json:"groups"`
	Users             []string          `json:"users"`
	Roles             []fileRole        `json:"roles"`
	Assignments       []assignment      `json:"assignments"`
	Requests          []fileRequest     `json:"requests"`
}

type fileEnvironment struct {
	ID           string   `json:"id"`
	Environments []string `json:"environments"`
}

type fileGroup struct {
	ID      string   `json:"id"`
	Members []string `json:"members"`
}

type fileRole struct {
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

type fileRequest struct {
	Body        []byte   `json:"body"`
	User        string   `json:"user"`
	Method      string   `json:"method"`
	Host        string   `json:"host"`
	Path        string   `json:"path"`
	Environment string   `json:"environment"`
	Permission  string   `json:"permission"`
	Scope       string   `json:"scope"`
	Scopes      []string `json:"scopes"`
	Changes     bool     `json:"changes"`
	Token       string   `json:"token"`
	Reason      string   `json:"reason"`
}

// writeWorld writes a world and the checks that are asked in it.
func writeWorld(file string, w *world, load *workload, jwks []byte) error {
	f := worldFile{
		Tenant: tenantID, Issuer: issuerURL, Audience: audience, JWKS: jwks, Assignments: w.assignments,
		Roles: []fileRole{{Name: reader}, {Name: contributor}},
	}
	seen := map[string]bool{}
	for _, q := range questions {
		if seen[q.permission] {
			continue
		}
		seen[q.permission] = true
		f.Roles[1].Permissions = append(f.Roles[1].Permissions, q.permission)
		if !q.changes {
			f.Roles[0].Permissions = append(f.Roles[0].Permissions, q.permission)
		}
	}
	for i := range w.environmentGroups {
		f.EnvironmentGroups = append(f.EnvironmentGroups, fileEnvironment{envGroupID(i), w.environmentsIn(i)})
	}
	for i := range w.environments {
		f.Environments = append(f.Environments, envID(i))
	}
	for i := range w.groups {
		f.Groups = append(f.Groups, fileGroup{groupID(i), w.usersIn(i)})
	}
	for i := range w.users {
		f.Users = append(f.Users, userID(i))
	}
	for i, c := range load.checks {
		kind := questions[c.kind]
		scopes := []string{tenantPlace + envPlace(c.env), tenantPlace + envGroupPlace(w.envGroup(c.env)), tenantPlace}
		if kind.below != "" {
			scopes = append([]string{scopes[0] + kind.below}, scopes...)
		}
		f.Requests = append(f.Requests, fileRequest{
			Body: load.messages[i], User: userID(c.user), Method: c.method(), Host: host, Path: c.path(),
			Environment: envID(c.env), Permission: kind.permission, Scope: scopes[0], Scopes: scopes,
			Changes: kind.changes, Token: c.token, Reason: c.reason,
		})
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
