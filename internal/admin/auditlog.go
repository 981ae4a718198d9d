package admin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// entryFormat is the version of the entries' format, which is the first thing in each.
const entryFormat = "pathgrant/v1 change"

const (
	headNote     = "admin/audit"
	headKey      = "head"
	exportFormat = "pathgrant-audit 1"
)

// An entry is what the change audit says of one change: one JSON object on one line, its
// fields in this order. What it lacks is left out.
type entry struct {
	Format string `json:"format"`
	// Number is the entry's place, from 1.
	Number uint64 `json:"number"`
	// Previous is the hash of the entry before, 64 zeros in the first.
	Previous string `json:"previous"`
	// Store is a random identifier of the store, in the first entry alone.
	Store    string         `json:"store,omitempty"`
	Time     string         `json:"time"`
	Revision authz.Revision `json:"revision"`
	Action   string         `json:"action"`
	// Tenant is what was changed; empty: everything.
	Tenant        string         `json:"tenant,omitempty"`
	CallerKind    string         `json:"callerKind"`
	CallerTenant  string         `json:"callerTenant,omitempty"`
	Caller        *principalItem `json:"caller,omitempty"`
	From          string         `json:"from,omitempty"`
	Agent         string         `json:"agent,omitempty"`
	RequestID     string         `json:"requestId,omitempty"`
	Justification string         `json:"justification,omitempty"`
	Scopes        []authz.Scope  `json:"scopes,omitempty"`
	Changes       []changedItem  `json:"changes,omitempty"`
	// Whole says that everything was replaced; Detail then says by what.
	Whole  bool            `json:"whole,omitempty"`
	Detail json.RawMessage `json:"detail,omitempty"`
	Notes  []string        `json:"notes,omitempty"`
}

const (
	maxAgent = 256
	// maxEntry is the greatest size of an entry in bytes.
	maxEntry = 1<<20 - 1<<10
)

// record appends the entry of a change to the audit, in the change's transaction.
func (t *txn) record() error {
	head, err := auditHead(t.e)
	if err != nil {
		return err
	}
	e := entry{
		Format: entryFormat, Number: head.Number + 1, Previous: hex.EncodeToString(head.Hash[:]),
		Time: t.e.Now().UTC().Format(time.RFC3339Nano), Revision: t.e.Next(), Action: t.action, Tenant: t.tenant,
		CallerKind: t.caller.Kind.String(), From: clip(t.caller.From), Agent: clip(t.caller.Agent),
		RequestID: t.context.RequestID, Justification: t.context.Justification,
		Scopes: compactScopes(t.scopes), Changes: t.items, Whole: t.whole, Notes: t.notes,
	}
	if head.Number == 0 {
		var id [16]byte
		_, _ = rand.Read(id[:]) // it never fails
		e.Store = hex.EncodeToString(id[:])
	}
	if s := t.caller.Subject; s != nil {
		who := itemOf(s.Principal())
		e.CallerTenant, e.Caller = s.Tenant(), &who
	}
	if t.detail != nil {
		if e.Detail, err = spell(t.detail); err != nil {
			return err
		}
	}
	text, err := spell(&e)
	if err != nil {
		return err
	}
	if len(text) > maxEntry {
		return fail(InUse, "", "the change is too large to be recorded as one", "make it in smaller steps: remove members and assignments first")
	}
	hash := chainHash(head.Hash, text)
	n, err := t.e.AppendLog(append(hash[:], text...))
	if err != nil {
		return err
	}
	if n != e.Number {
		return fmt.Errorf("the change audit ends with entry %d and its head says %d: it has been tampered with, or damaged", n-1, head.Number)
	}
	return t.e.PutNote(headNote, headKey, fmt.Appendf(nil, "%d %x", n, hash))
}

// chainHash is the hash of an entry: SHA-256 over the 32 bytes of the hash before it and
// the bytes of its text.
func chainHash(previous [32]byte, text []byte) [32]byte {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(text)
	return [32]byte(h.Sum(nil))
}

func clip(text string) string {
	if len(text) > maxAgent {
		text = text[:maxAgent]
	}
	return string(bytes.ToValidUTF8([]byte(text), []byte("?")))
}

func compactScopes(scopes []authz.Scope) []authz.Scope {
	var all []authz.Scope
	for _, scope := range scopes {
		if scope != "" {
			all = append(all, scope)
		}
	}
	return all
}

// auditHead reads what the newest entry is meant to be.
func auditHead(r Reader) (AuditHead, error) {
	note, err := r.Note(headNote, headKey)
	if err != nil || note == nil {
		return AuditHead{}, err
	}
	return parseHead(string(note))
}

func parseHead(text string) (AuditHead, error) {
	var head AuditHead
	var hash string
	if n, err := fmt.Sscanf(text, "%d %s", &head.Number, &hash); err != nil || n != 2 {
		return AuditHead{}, errors.New("the head of the change audit cannot be read")
	}
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != len(head.Hash) || fmt.Sprintf("%d %x", head.Number, raw) != text {
		return AuditHead{}, errors.New("the head of the change audit cannot be read")
	}
	head.Hash = [32]byte(raw)
	return head, nil
}

// splitRecord parts a record of the log into the entry's hash and its text.
func splitRecord(record []byte) ([32]byte, []byte, error) {
	if len(record) < 32 {
		return [32]byte{}, nil, errors.New("the record is too short")
	}
	return [32]byte(record[:32]), record[32:], nil
}

func readEntry(number uint64, record []byte) (AuditEntry, *entry, error) {
	hash, text, err := splitRecord(record)
	if err != nil {
		return AuditEntry{}, nil, fmt.Errorf("entry %d of the change audit: %w", number, err)
	}
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return AuditEntry{}, nil, fmt.Errorf("entry %d of the change audit: %w", number, err)
	}
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	if err != nil {
		return AuditEntry{}, nil, fmt.Errorf("entry %d of the change audit: %w", number, err)
	}
	return AuditEntry{Number: number, Time: at, Text: text, Hash: hash}, &e, nil
}

// A Verifier checks a change audit entry by entry, from the first. The zero Verifier is
// ready for it.
//
// The format, version 1. An entry is a text: one JSON object on one line, in UTF-8. Its
// hash is SHA-256 over the 32 bytes of the hash of the entry before it (of the first, 32
// zero bytes) followed by the bytes of its text, exactly as they are. In the object,
// "number" is the entry's place, counted from 1, "previous" is the hash before it in
// lower-case hex, and "store", in the first entry alone, 32 lower-case hex digits that
// name the store.
//
// An export is text, each line ended by one line feed:
//
//	pathgrant-audit 1
//	{hash of entry 1} {text of entry 1}
//	{hash of entry 2} {text of entry 2}
//	…
//	head {number of the last entry} {hash of the last entry}
//
// Hashes are written in 64 lower-case hex digits. The last line is the head that the store
// keeps apart from the entries; of an empty audit it is "head 0" with 64 zeros. An export
// is whole if every line has this form, every hash and number fits, and the head is that of
// the last entry. Whoever keeps heads apart finds out whether an audit was replaced as a
// whole: the entry of that number must still have that hash.
type Verifier struct{ head AuditHead }

// Head is the newest entry that was checked.
func (v *Verifier) Head() AuditHead { return v.head }

// Next checks that the text is the next entry and that the hash is its.
func (v *Verifier) Next(text []byte, hash [32]byte) error {
	number := v.head.Number + 1
	bad := func(what string) error { return fmt.Errorf("entry %d: %s", number, what) }
	if chainHash(v.head.Hash, text) != hash {
		return bad("its hash is not that of its text and of the entry before it")
	}
	var e struct {
		Number   uint64 `json:"number"`
		Previous string `json:"previous"`
		Store    string `json:"store"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return bad("it is not a JSON object: " + err.Error())
	}
	switch {
	case e.Number != number:
		return bad(fmt.Sprintf("it says that it is entry %d", e.Number))
	case e.Previous != hex.EncodeToString(v.head.Hash[:]):
		return bad("it names another entry before it")
	case (number == 1) != (e.Store != ""):
		return bad("the first entry, and no other, names the store")
	}
	v.head = AuditHead{number, hash}
	return nil
}

// End checks that the newest entry is the one that the head names.
func (v *Verifier) End(head AuditHead) error {
	if v.head != head {
		return fmt.Errorf("the head names entry %d (%x), and the newest is entry %d (%x)", head.Number, head.Hash, v.head.Number, v.head.Hash)
	}
	return nil
}

// AuditVerify reads the whole change audit and compares every hash, and its head. It needs
// an operator, or Authorization.RoleAssignments.Read at the caller's tenant.
func (a *Admin) AuditVerify(ctx context.Context, c Caller) (AuditVerification, error) {
	var v AuditVerification
	err := a.question(ctx, c, "AuditVerify", "", func(k *asker) error {
		if err := k.need(a.read, k.root()); err != nil {
			return err
		}
		var err error
		v, err = verifyAudit(ctx, k.r)
		return err
	})
	return v, err
}

// verifyAudit reads the whole chain. The error says that it could not be read; what is wrong
// with it is the problem in what is returned.
func verifyAudit(ctx context.Context, r Reader) (AuditVerification, error) {
	var chain Verifier
	ended := func(problem error) AuditVerification {
		v := AuditVerification{Head: chain.Head(), Verified: chain.Head().Number, Intact: problem == nil}
		if problem != nil {
			v.Problem = problem.Error()
		}
		return v
	}
	for n := uint64(1); ; n++ {
		if err := ctx.Err(); err != nil {
			return AuditVerification{}, err
		}
		record, ok, err := r.Log(n)
		if err != nil {
			return AuditVerification{}, err
		}
		if !ok {
			break
		}
		hash, text, problem := splitRecord(record)
		if problem == nil {
			problem = chain.Next(text, hash)
		}
		if problem != nil {
			return ended(problem), nil
		}
	}
	last, _, err := r.LastLog()
	if err != nil {
		return AuditVerification{}, err
	}
	if last != chain.Head().Number { // there is something behind a gap
		return ended(fmt.Errorf("entry %d is missing", chain.Head().Number+1)), nil
	}
	note, err := r.Note(headNote, headKey)
	if err != nil {
		return AuditVerification{}, err
	}
	var head AuditHead
	var problem error
	if note != nil {
		head, problem = parseHead(string(note))
	}
	if problem == nil {
		problem = chain.End(head)
	}
	return ended(problem), nil
}

// AuditExport writes the whole change audit in the format that [Verifier] describes. It
// needs an operator.
func (a *Admin) AuditExport(ctx context.Context, c Caller, w io.Writer) error {
	if err := a.RequireOperator(c); err != nil {
		return a.failed(ctx, c, "AuditExport", err)
	}
	return a.question(ctx, c, "AuditExport", "", func(k *asker) error {
		out := bufio.NewWriterSize(w, 64<<10)
		_, _ = out.WriteString(exportFormat + "\n") // Flush says what went wrong
		for n := uint64(1); ; n++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			record, ok, err := k.r.Log(n)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			hash, text, err := splitRecord(record)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(out, "%x %s\n", hash, text)
		}
		head, err := auditHead(k.r)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "head %d %x\n", head.Number, head.Hash)
		return out.Flush()
	})
}

// VerifyAuditExport reads what [Admin.AuditExport] wrote. The problem is nil where it is
// whole; the error says that it could not be read.
func VerifyAuditExport(r io.Reader) (v AuditVerification, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	line := func() (string, error) {
		text, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return "", errors.New("the export ends before its head")
		}
		return text[:max(len(text)-1, 0)], err
	}
	broken := func(err error) (AuditVerification, error) {
		v.Problem = err.Error()
		return v, nil
	}
	first, err := line()
	if err != nil {
		return broken(err)
	}
	if first != exportFormat {
		return broken(fmt.Errorf("the first line is not %q", exportFormat))
	}
	var chain Verifier
	for {
		text, err := line()
		if err != nil {
			return broken(err)
		}
		if rest, ok := cutPrefix(text, "head "); ok {
			head, err := parseHead(rest)
			if err == nil {
				err = chain.End(head)
			}
			if err == nil {
				if _, more := in.ReadByte(); !errors.Is(more, io.EOF) {
					err = errors.New("something follows the head")
				}
			}
			if err != nil {
				return broken(err)
			}
			v.Intact = true
			return v, nil
		}
		if len(text) < 65 || text[64] != ' ' {
			return broken(fmt.Errorf("line %d is neither an entry nor the head", chain.Head().Number+2))
		}
		raw, err := hex.DecodeString(text[:64])
		if err != nil || hex.EncodeToString(raw) != text[:64] {
			return broken(fmt.Errorf("line %d does not begin with a hash", chain.Head().Number+2))
		}
		if err := chain.Next([]byte(text[65:]), [32]byte(raw)); err != nil {
			return broken(err)
		}
		v.Head, v.Verified = chain.Head(), chain.Head().Number
	}
}

func cutPrefix(text, prefix string) (string, bool) {
	if len(text) >= len(prefix) && text[:len(prefix)] == prefix {
		return text[len(prefix):], true
	}
	return text, false
}
