package audit

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Entry is one decision. Its strings and slices need to be valid only until
// [Log.Append] returns, which copies what it keeps.
type Entry struct {
	Time     time.Time
	Duration time.Duration
	// Process and Number name the decision, as the answer does.
	Process, Number uint64
	// Adapter names who asked, such as "extauthz".
	Adapter string
	// Tenant and Principal name the caller; empty where nobody was found.
	Tenant    string
	Principal authz.Principal
	// Method and Path are the request's, if it was one; the path is kept without query.
	Method, Path string
	Permissions  []authz.Permission
	Scopes       []authz.Scope
	Reason       authz.Reason
	// Assignment is the identifier of the one that decided, or empty.
	Assignment string
	Revision   authz.Revision
}

// textSize is how many bytes of text a slot of the ring holds.
const textSize = 1024

// Limits of the parts of an entry's text. What is longer is cut, and the line says so.
// GUIDs, catalogue permissions and the scopes of a request fit with much to spare.
const (
	maxID          = 128
	maxWord        = 24
	maxPermissions = 256
	maxScopes      = 320
	maxPath        = 512
)

// A record is an entry as the ring keeps it: fixed in size, holding no pointer.
type record struct {
	unixNano        int64
	duration        time.Duration
	process, number uint64
	revision        authz.Revision
	reason          authz.Reason
	cut             bool
	fields          [fieldCount]uint16 // the end of each field in text
	text            [textSize]byte
}

// The fields of a record's text, in the order in which they are given room.
const (
	fieldAdapter = iota
	fieldTenant
	fieldPrincipalType
	fieldPrincipal
	fieldAssignment
	fieldMethod
	fieldPermissions // separated by spaces
	fieldScopes      // separated by spaces
	fieldPath
	fieldCount
)

// set copies the entry. It does not allocate.
func (r *record) set(e *Entry) {
	r.unixNano = e.Time.UnixNano()
	r.duration = e.Duration
	r.process, r.number = e.Process, e.Number
	r.revision = e.Revision
	r.reason = e.Reason
	r.cut = false

	w := writer{r: r}
	w.field(fieldAdapter, e.Adapter, maxWord)
	w.field(fieldTenant, e.Tenant, maxID)
	w.field(fieldPrincipalType, e.Principal.Type.String(), maxWord)
	w.field(fieldPrincipal, e.Principal.ID, maxID)
	w.field(fieldAssignment, e.Assignment, maxID)
	w.field(fieldMethod, e.Method, maxWord)
	w.begin(maxPermissions)
	for i, p := range e.Permissions {
		w.item(i, string(p))
	}
	w.end(fieldPermissions)
	w.begin(maxScopes)
	for i, s := range e.Scopes {
		w.item(i, string(s))
	}
	w.end(fieldScopes)
	w.field(fieldPath, withoutQuery(e.Path), maxPath)
}

// A writer fills a record's text.
type writer struct {
	r       *record
	n, stop int
}

func (w *writer) begin(limit int) { w.stop = min(w.n+limit, textSize) }

func (w *writer) end(field int) { w.r.fields[field] = uint16(w.n) }

func (w *writer) field(field int, text string, limit int) {
	w.begin(limit)
	w.append(text)
	w.end(field)
}

// item appends one of several, whole or not at all: half a scope would name another one.
func (w *writer) item(i int, text string) {
	before := w.n
	if i > 0 {
		w.put(' ')
	}
	if !w.append(text) {
		w.n = before
	}
}

// append copies text and writes bytes that are not printable ASCII as %XX: the log is read
// in terminals, and identifiers come from outside.
func (w *writer) append(text string) bool {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		b := text[i]
		ok := true
		switch {
		case b > 0x20 && b < 0x7f:
			ok = w.put(b)
		case w.n+3 > w.stop:
			ok = false
		default:
			w.put('%')
			w.put(digits[b>>4])
			w.put(digits[b&15])
		}
		if !ok {
			w.r.cut = true
			return false
		}
	}
	return true
}

func (w *writer) put(b byte) bool {
	if w.n >= w.stop {
		w.r.cut = true
		return false
	}
	w.r.text[w.n] = b
	w.n++
	return true
}

// withoutQuery cuts a request target where its path ends: at ?, # or ;, escaped or not.
// What follows may hold secrets.
func withoutQuery(target string) string {
	for i := range len(target) {
		switch target[i] {
		case '?', '#', ';':
			return target[:i]
		case '%':
			if len(target) < i+3 {
				continue
			}
			switch target[i+1 : i+3] {
			case "3F", "3f", "23", "3B", "3b":
				return target[:i]
			}
		}
	}
	return target
}

func (r *record) field(i int) string {
	start := uint16(0)
	if i > 0 {
		start = r.fields[i-1]
	}
	return string(r.text[start:r.fields[i]])
}

// A line is a record as it is written.
type line struct {
	Log           string         `json:"log"`
	Time          string         `json:"time"`
	DecisionID    string         `json:"decision_id"`
	Adapter       string         `json:"adapter,omitempty"`
	Tenant        string         `json:"tenant,omitempty"`
	PrincipalType string         `json:"principal_type,omitempty"`
	Principal     string         `json:"principal,omitempty"`
	Method        string         `json:"method,omitempty"`
	Path          string         `json:"path,omitempty"`
	Permissions   []string       `json:"permissions,omitempty"`
	Scopes        []string       `json:"scopes,omitempty"`
	Effect        authz.Effect   `json:"effect"`
	Reason        authz.Reason   `json:"reason"`
	Assignment    string         `json:"assignment,omitempty"`
	Revision      authz.Revision `json:"revision"`
	DurationNS    int64          `json:"duration_ns"`
	Truncated     bool           `json:"truncated,omitempty"`
}

func (r *record) line() line {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], r.process)
	binary.BigEndian.PutUint64(id[8:], r.number)
	l := line{
		Log:         "decision",
		Time:        time.Unix(0, r.unixNano).UTC().Format(time.RFC3339Nano),
		DecisionID:  hex.EncodeToString(id[:]),
		Adapter:     r.field(fieldAdapter),
		Tenant:      r.field(fieldTenant),
		Principal:   r.field(fieldPrincipal),
		Method:      r.field(fieldMethod),
		Path:        r.field(fieldPath),
		Permissions: strings.Fields(r.field(fieldPermissions)),
		Scopes:      strings.Fields(r.field(fieldScopes)),
		Effect:      r.reason.Effect(),
		Reason:      r.reason,
		Assignment:  r.field(fieldAssignment),
		Revision:    r.revision,
		DurationNS:  int64(r.duration),
		Truncated:   r.cut,
	}
	if l.Principal != "" {
		l.PrincipalType = r.field(fieldPrincipalType)
	}
	return l
}
