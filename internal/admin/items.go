package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The things that are changed, as JSON objects with a bundle's field names: in the change
// audit, for those who watch, and hashed into etags.

type principalItem struct {
	Type string `json:"principalType"`
	ID   string `json:"principalObjectId"`
}

type assignmentItem struct {
	ID            string `json:"roleAssignmentId"`
	PrincipalType string `json:"principalType"`
	Principal     string `json:"principalObjectId"`
	Role          string `json:"roleDefinitionId"`
	Scope         string `json:"scope"`
	Effect        string `json:"effect"`
	Expires       string `json:"expiresOn,omitempty"`
	CreatedOn     string `json:"createdOn,omitempty"`
	CreatedByType string `json:"createdByPrincipalType,omitempty"`
	CreatedBy     string `json:"createdByPrincipalObjectId,omitempty"`
}

type definitionItem struct {
	ID          string   `json:"roleDefinitionId"`
	Name        string   `json:"roleDefinitionName"`
	Description string   `json:"description,omitempty"`
	Permissions []string `json:"permissions"`
	Exceptions  []string `json:"permissionsExceptions,omitempty"`
	Assignable  []string `json:"assignableScopes"`
	Restricted  []string `json:"restrictedScopes,omitempty"`

	Environment     string   `json:"environment,omitempty"`
	BusinessUnit    string   `json:"businessUnit,omitempty"`
	Privileges      []string `json:"privileges,omitempty"`
	TeamOnly        bool     `json:"teamOnly,omitempty"`
	AssignableRoles []string `json:"assignableRoles,omitempty"`
}

type groupItem struct {
	ID          string          `json:"id"`
	DisplayName string          `json:"displayName,omitempty"`
	Owners      []principalItem `json:"owners,omitempty"`
}

type membershipItem struct {
	Group string `json:"group"`
	principalItem
}

type principalRecordItem struct {
	principalItem
	Disabled    bool            `json:"disabled,omitempty"`
	DisplayName string          `json:"displayName,omitempty"`
	Mail        string          `json:"mail,omitempty"`
	Owners      []principalItem `json:"owners,omitempty"`
}

type environmentItem struct {
	ID        string `json:"id"`
	Dataverse bool   `json:"dataverse,omitempty"`
	Group     string `json:"environmentGroup,omitempty"`
}

type idItem struct {
	ID string `json:"id"`
}

type unitItem struct {
	ID          string `json:"id"`
	Environment string `json:"environment"`
	Parent      string `json:"parent,omitempty"`
}

type tenantItem struct {
	ID                string `json:"id"`
	DirectoryComplete bool   `json:"directoryComplete,omitempty"`
}

func itemOf(p authz.Principal) principalItem { return principalItem{p.Type.String(), p.ID} }

func itemsOf(all []authz.Principal) []principalItem {
	items := make([]principalItem, 0, len(all))
	for _, p := range all {
		items = append(items, itemOf(p))
	}
	return items
}

func timeText(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

func assignmentItemOf(a *snapshot.RoleAssignment) assignmentItem {
	item := assignmentItem{
		ID: a.ID, PrincipalType: a.Principal.Type.String(), Principal: a.Principal.ID, Role: a.RoleDefinitionID,
		Scope: string(a.Scope), Effect: a.Effect.String(), Expires: timeText(a.Expires), CreatedOn: timeText(a.CreatedOn),
	}
	if a.CreatedBy != (authz.Principal{}) {
		item.CreatedByType, item.CreatedBy = a.CreatedBy.Type.String(), a.CreatedBy.ID
	}
	return item
}

func definitionItemOf(def *authz.RoleDefinition) definitionItem {
	return definitionItem{
		ID: def.ID, Name: def.Name, Description: def.Description, Permissions: nonNil(def.Permissions), Exceptions: def.PermissionsExceptions,
		Assignable: nonNil(def.AssignableScopes), Restricted: def.RestrictedScopes,
		Environment: def.Environment, BusinessUnit: def.BusinessUnit, Privileges: def.Privileges, TeamOnly: def.TeamOnly,
		AssignableRoles: limitNames(def),
	}
}

func nonNil(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// spell writes a value as one line of JSON, always the same for the same value.
func spell(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// etagOf is a strong entity tag (RFC 9110, 8.8.3): a hash of what it names.
func etagOf(tenant string, item any) string {
	text, err := spell(item)
	if err != nil {
		return "" // which no request can name
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%T\x00%s\x00%s", item, tenant, text))
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// matches compares the etag of a request with the one that the thing has now; exists says
// whether there is one.
func matches(given, now string, exists bool) error {
	switch {
	case exists && given == "":
		return fail(EtagRequired, "Etag", "there is one already: an edit must say which state of it is edited", `send its etag, or "*" for whatever it is`)
	case given == AnyEtag || given == now && exists:
		return nil
	case !exists && given == "":
		return nil
	case !exists:
		return fail(EtagMismatch, "Etag", "it is gone, or never was", "leave the etag out to make one")
	default:
		return fail(EtagMismatch, "Etag", "it has been changed since it was read", "read it again, and decide anew")
	}
}

// A changedItem is one thing that a change makes, alters or removes.
type changedItem struct {
	Target string          `json:"target"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// change notes what the change does to one thing; nil stands for its absence.
func (t *txn) change(target string, scope authz.Scope, before, after any) error {
	item := changedItem{Target: target}
	var err error
	if before != nil {
		if item.Before, err = spell(before); err != nil {
			return err
		}
	}
	if after != nil {
		if item.After, err = spell(after); err != nil {
			return err
		}
	}
	t.items = append(t.items, item)
	t.at(scope)
	return nil
}

// at notes a scope that the change affects.
func (t *txn) at(scopes ...authz.Scope) {
	for _, scope := range scopes {
		if !slices.Contains(t.scopes, scope) {
			t.scopes = append(t.scopes, scope)
		}
	}
}

func utf8Text(text string) bool { return utf8.ValidString(text) }

// text checks a text for people to read.
func text(field, value string, most int) error {
	if len(value) > most || !utf8.ValidString(value) {
		return failf(Invalid, field, "shorten it", "want text of at most %d bytes", most)
	}
	for _, r := range value {
		if r < 0x20 || r == 0x7F {
			return fail(Invalid, field, "want text without control characters", "")
		}
	}
	return nil
}
