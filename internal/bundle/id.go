package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// AssignmentID is the identifier of an assignment that was given none: a version 8 UUID
// (RFC 9562) made of the SHA-256 of tenant, principal, role and scope, each with its
// length before it. It is the same in every import, and since one principal, role and
// scope has one assignment at most, it is unique in the tenant. A User and an
// ApplicationUser of one object id are one principal.
func AssignmentID(tenant string, principal authz.Principal, roleDefinitionID string, scope authz.Scope) string {
	principal = principal.Key()
	b := []byte("pathgrant/v1 role assignment")
	for _, text := range []string{tenant, principal.Type.String(), principal.ID, roleDefinitionID, string(scope)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	sum := sha256.Sum256(b)
	sum[6] = sum[6]&0x0F | 0x80 // version 8
	sum[8] = sum[8]&0x3F | 0x80 // variant of RFC 9562
	id := make([]byte, 36)
	for i, part := range [...]struct{ at, from, to int }{{0, 0, 4}, {9, 4, 6}, {14, 6, 8}, {19, 8, 10}, {24, 10, 16}} {
		hex.Encode(id[part.at:], sum[part.from:part.to])
		if i > 0 {
			id[part.at-1] = '-'
		}
	}
	return string(id)
}

// objectID reads an identifier that does not stand in a scope. It is empty after a
// problem.
func (p *parser) objectID(v strictyaml.Value) string {
	return authz.CanonicalID(shortText(v), p.foldCase)
}

// pathID reads an identifier that stands in a scope. It is empty after a problem.
func (p *parser) pathID(v strictyaml.Value) string {
	text := v.Text()
	if text == "" {
		return ""
	}
	id, err := authz.CanonicalPathID(text, p.foldCase)
	if err != nil {
		v.Problemf("%v", err)
		return ""
	}
	return id
}

// tenantID reads a tenant's identifier, which stands in every scope and in tokens too,
// and so must be the same in both.
func (p *parser) tenantID(v strictyaml.Value) string {
	id, inPath := p.objectID(v), ""
	if id != "" {
		inPath = p.pathID(v)
	}
	if inPath != "" && inPath != id {
		v.Problemf("a tenant's identifier must not hold characters that are escaped in a path: %q", id)
		return ""
	}
	return inPath
}
