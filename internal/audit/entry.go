package audit

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/ascii"
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
	cut             bool               // something was too long
	cutPath         bool               // the path was, unless what is written of it ends before that
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
	fieldPermissions // each with its length before it
	fieldScopes      // each with its length before it
	fieldPath
	fieldCount
)

// set copies the entry as it is: how it is to be written is left to the one who writes, and
// costs the decision nothing. It does not allocate.
func (r *record) set(e *Entry) {
	r.unixNano = e.Time.UnixNano()
	r.duration = e.Duration
	r.process, r.number = e.Process, e.Number
	r.revision = e.Revision
	r.reason = e.Reason
	r.cut, r.cutPath = false, false

	w := writer{r: r}
	w.field(fieldAdapter, e.Adapter, maxWord)
	w.field(fieldTenant, e.Tenant, maxID)
	w.field(fieldPrincipalType, e.Principal.Type.String(), maxWord)
	w.field(fieldPrincipal, e.Principal.ID, maxID)
	w.field(fieldAssignment, e.Assignment, maxID)
	w.field(fieldMethod, e.Method, maxWord)
	stop := w.room(maxPermissions)
	for _, p := range e.Permissions {
		w.item(string(p), stop)
	}
	w.end(fieldPermissions)
	stop = w.room(maxScopes)
	for _, s := range e.Scopes {
		w.item(string(s), stop)
	}
	w.end(fieldScopes)
	path := e.Path
	if query := strings.IndexByte(path, '?'); query >= 0 {
		path = path[:query] // what is secret as a rule does not even get into the ring
	}
	if room := w.room(maxPath) - w.n; len(path) > room {
		path, r.cutPath = path[:room], true
	}
	w.field(fieldPath, path, maxPath)
}

// A writer fills a record's text.
type writer struct {
	r *record
	n int
}

func (w *writer) end(field int) { w.r.fields[field] = uint16(w.n) }

// room returns where the text of a field must end.
func (w *writer) room(limit int) int { return min(w.n+limit, textSize) }

func (w *writer) field(field int, text string, limit int) {
	if room := w.room(limit) - w.n; len(text) > room {
		text, w.r.cut = text[:room], true
	}
	w.n += copy(w.r.text[w.n:], text)
	w.end(field)
}

// item adds one of several, its length before it, whole or not at all: half a scope would
// name another one.
func (w *writer) item(text string, stop int) {
	if w.n+2+len(text) > stop {
		w.r.cut = true
		return
	}
	binary.BigEndian.PutUint16(w.r.text[w.n:], uint16(len(text)))
	w.n += 2 + copy(w.r.text[w.n+2:], text)
}

// withoutQuery cuts a request target where its path ends: at ?, # or ;, escaped or not.
// What follows may hold secrets.
func withoutQuery(target []byte) []byte {
	for i := range len(target) {
		switch target[i] {
		case '?', '#', ';':
			return target[:i]
		case '%':
			if len(target) < i+3 {
				continue
			}
			switch string(target[i+1 : i+3]) {
			case "3F", "3f", "23", "3B", "3b":
				return target[:i]
			}
		}
	}
	return target
}

func (r *record) field(i int) []byte {
	start := uint16(0)
	if i > 0 {
		start = r.fields[i-1]
	}
	return r.text[start:r.fields[i]]
}

// appendLine appends the record as a line of JSON, without reflection: what is logged is
// denied, and somebody who is denied may ask again as fast as they can.
func (r *record) appendLine(b []byte) []byte {
	b = append(b, `{"log":"decision","time":"`...)
	b = time.Unix(0, r.unixNano).UTC().AppendFormat(b, time.RFC3339Nano)
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], r.process)
	binary.BigEndian.PutUint64(id[8:], r.number)
	b = append(b, `","decision_id":"`...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '"')
	b = appendField(b, `,"adapter":`, r.field(fieldAdapter))
	b = appendField(b, `,"tenant":`, r.field(fieldTenant))
	if principal := r.field(fieldPrincipal); len(principal) > 0 {
		b = appendField(b, `,"principal_type":`, r.field(fieldPrincipalType))
		b = appendField(b, `,"principal":`, principal)
	}
	b = appendField(b, `,"method":`, r.field(fieldMethod))
	kept := r.field(fieldPath)
	path := withoutQuery(kept)
	b = appendField(b, `,"path":`, path)
	b = appendList(b, `,"permissions":`, r.field(fieldPermissions))
	b = appendList(b, `,"scopes":`, r.field(fieldScopes))
	b = appendField(b, `,"effect":`, r.reason.Effect().String())
	b = appendField(b, `,"reason":`, r.reason.String())
	b = appendField(b, `,"assignment":`, r.field(fieldAssignment))
	b = append(b, `,"revision":{"epoch":`...)
	b = strconv.AppendUint(b, r.revision.Epoch, 10)
	b = append(b, `,"number":`...)
	b = strconv.AppendUint(b, r.revision.Number, 10)
	b = append(b, `},"duration_ns":`...)
	b = strconv.AppendInt(b, int64(r.duration), 10)
	if r.cut || r.cutPath && len(path) == len(kept) {
		b = append(b, `,"truncated":true`...)
	}
	return append(b, "}\n"...)
}

// appendField appends a key and a text, unless the text is empty.
func appendField[T string | []byte](b []byte, key string, text T) []byte {
	if len(text) == 0 {
		return b
	}
	return appendText(append(b, key...), text)
}

// appendList appends a key and the texts, each of which has its length before it, if there
// are any.
func appendList(b []byte, key string, texts []byte) []byte {
	for first := true; len(texts) > 0; first = false {
		if first {
			b = append(append(b, key...), '[')
		} else {
			b = append(b, ',')
		}
		end := 2 + int(binary.BigEndian.Uint16(texts))
		b = appendText(b, texts[2:end])
		if texts = texts[end:]; len(texts) == 0 {
			b = append(b, ']')
		}
	}
	return b
}

// escaped are the bytes that [appendText] does not write as they are.
var escaped = func() (table [256]bool) {
	for c := range table {
		table[c] = c <= 0x20 || c >= 0x7f || c == '"' || c == '\\'
	}
	return table
}()

// appendText appends a JSON string, with bytes that are not printable ASCII as %XX: the log
// is read in terminals, and identifiers come from outside. So only two characters need a
// backslash.
func appendText[T string | []byte](b []byte, text T) []byte {
	if ascii.Printable(text, '"', '\\') {
		return append(append(append(b, '"'), text...), '"')
	}
	const digits = "0123456789ABCDEF"
	b = append(b, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if !escaped[c] {
			continue
		}
		b = append(b, text[from:i]...)
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
		from = i + 1
	}
	return append(append(b, text[from:]...), '"')
}
