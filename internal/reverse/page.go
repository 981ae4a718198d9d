package reverse

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Page says which part of an answer is asked for.
type Page struct {
	// Size is how many items at most, 1 to 1,000; 0: 100.
	Size int
	// Token is [List.Next] of the page before, with all else the same; empty: the first page.
	Token string
}

// maxToken is more than the longest token that is ever made.
const maxToken = 16 << 10

// A place is where a page ends, and the next begins. It is bound to the question, so that it
// cannot be used with another.
type place struct {
	Question string `json:"q"`
	// Epoch, Number, Sum and Time are those of the first page; Sum is of its data.
	Epoch  uint64 `json:"e"`
	Number uint64 `json:"n"`
	Sum    bytes  `json:"d"`
	Time   int64  `json:"t"`
	// Stage is the part of the answer that is gone through.
	Stage int `json:"s,omitempty"`
	// Key is the last thing gone through at that stage; in WhoCan an assignment.
	Key bytes `json:"k,omitempty"`
	// Scope and the rest are of WhoCan. Scope is the one in the chain whose assignments are
	// gone through, or those of its business units or resources: then Part is the business
	// unit, or the type of resources and Resource the one that the last assignment is of.
	Scope    authz.Scope `json:"c,omitempty"`
	Part     bytes       `json:"u,omitempty"`
	Resource authz.Scope `json:"r,omitempty"`
	// Inside says that the assignment is not done with: Node is the group or team that is
	// gone through, and Member the last of its members, if any.
	Inside bool      `json:"i,omitempty"`
	Node   principal `json:"o,omitzero"`
	Member principal `json:"m,omitzero"`
}

// bytes are an identifier as a token has it, which need not be UTF-8.
type bytes []byte

// A principal is one as a token has it.
type principal struct {
	Type authz.PrincipalType `json:"t"`
	ID   bytes               `json:"i"`
}

func packed(p authz.Principal) principal { return principal{p.Type, bytes(p.ID)} }

func (p principal) unpack() authz.Principal { return authz.Principal{Type: p.Type, ID: string(p.ID)} }

// pageState is what a page begins with.
type pageState struct {
	size  int
	begun bool // there was a page before
	at    place
}

// digestOf tells one question from another.
func digestOf(parts []string) string {
	var b []byte
	for _, part := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func (p Page) begin(r *snapshot.Reader, key ...string) (pageState, error) {
	s := pageState{size: p.Size}
	if s.size == 0 {
		s.size = defaultPage
	}
	if s.size < 1 || s.size > maxPage {
		return s, bad("Page.Size", "want a page of 1 to %d", maxPage)
	}
	digest := digestOf(key)
	if p.Token == "" {
		revision := r.Revision()
		s.at = place{Question: digest, Epoch: revision.Epoch, Number: revision.Number, Sum: dataSum(r), Time: r.Now().Unix()}
		return s, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil || len(p.Token) > maxToken || json.Unmarshal(text, &s.at) != nil || s.at.Question != digest {
		return s, bad("Page.Token", "it is not the token of the page before: send all else as for that page, or begin anew")
	}
	s.begun = true
	return s, nil
}

// dataSum tells data from other data.
func dataSum(r *snapshot.Reader) bytes {
	sum := r.DataSum()
	return sum[:12]
}

// list begins an answer. A revision that changed none of the data changes no answer.
func list[T any](q *question) List[T] {
	revision, first := q.r.Revision(), q.page.at
	return List[T]{
		Revision: revision, Time: q.now,
		Changed: revision != authz.Revision{Epoch: first.Epoch, Number: first.Number} && !slices.Equal(dataSum(q.r), first.Sum),
	}
}

// token is what the next page begins with.
func (p place) token() (string, error) {
	text, err := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(text), err
}
