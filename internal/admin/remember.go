package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// Answers are remembered in notes, in the transactions of the changes that they are about:
// one note for each answer, found by tenant, caller and request id; and a queue for each
// tenant, which says which answer is the oldest.
const (
	answerNotes = "admin/answers"
	queueNotes  = "admin/answers-queue"
	headNotes   = "admin/answers-head"

	rememberFor  = 24 * 60 * 60 // seconds
	rememberMost = 10_000       // a tenant
	forgetAtOnce = 64
)

type answerNote struct {
	Digest string `json:"digest"`
	At     int64  `json:"at"`
	Place  uint64 `json:"place"`  // in the queue
	Answer []byte `json:"answer"` // as gob, which spells zero values that have no text
}

type queueHead struct {
	First uint64 `json:"first"` // the place of the oldest
	Next  uint64 `json:"next"`
}

// hashedKey makes one key of several texts, short enough for a note's.
func hashedKey(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (t *txn) answerKey() string {
	caller := "operator"
	if t.caller.Subject != nil {
		p := t.caller.Subject.Principal().Key()
		caller = p.String()
	}
	return hashedKey(t.tenant, caller, t.context.RequestID)
}

// remembered returns the answer that the request got the first time, nil if there is none.
func (t *txn) remembered(digest [32]byte) ([]byte, error) {
	if t.context.RequestID == "" {
		return nil, nil
	}
	note, err := t.e.Note(answerNotes, t.answerKey())
	if err != nil || note == nil {
		return nil, err
	}
	var a answerNote
	if err := json.Unmarshal(note, &a); err != nil {
		return nil, fmt.Errorf("read a remembered answer: %w", err)
	}
	switch {
	case a.At+rememberFor <= t.now:
		return nil, nil
	case a.Digest != hex.EncodeToString(digest[:]):
		return nil, fail(RequestIDReused, "RequestID", "another request was sent with the same request id", "choose another id for another request")
	}
	return a.Answer, nil
}

// remember keeps the answer, and forgets what is too old or too much.
func (t *txn) remember(digest [32]byte, answer any) error {
	if t.context.RequestID == "" {
		return nil
	}
	key, tenant := t.answerKey(), hashedKey(t.tenant)
	var head queueHead
	if note, err := t.e.Note(headNotes, tenant); err != nil {
		return err
	} else if note != nil {
		if err := json.Unmarshal(note, &head); err != nil {
			return fmt.Errorf("read the queue of remembered answers: %w", err)
		}
	}
	if err := t.forget(tenant, &head); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(answer); err != nil {
		return err
	}
	note, err := json.Marshal(answerNote{hex.EncodeToString(digest[:]), t.now, head.Next, text.Bytes()})
	if err != nil {
		return err
	}
	if err := t.e.PutNote(answerNotes, key, note); err != nil {
		return err
	}
	place := append(strconv.AppendInt(nil, t.now, 10), " "+key...)
	if err := t.e.PutNote(queueNotes, queueKey(tenant, head.Next), place); err != nil {
		return err
	}
	head.Next++
	note, err = json.Marshal(head)
	if err != nil {
		return err
	}
	return t.e.PutNote(headNotes, tenant, note)
}

func queueKey(tenant string, place uint64) string { return fmt.Sprintf("%s/%016x", tenant, place) }

// forget removes the oldest answers: those that are too old, a few at a time, and as many
// as it takes to leave room for one more.
func (t *txn) forget(tenant string, head *queueHead) error {
	for n := 0; head.First < head.Next; n++ {
		key := queueKey(tenant, head.First)
		place, err := t.e.Note(queueNotes, key)
		if err != nil {
			return err
		}
		at, answer, _ := bytes.Cut(place, []byte(" "))
		seconds, _ := strconv.ParseInt(string(at), 10, 64) // an unreadable place is an old one
		full := head.Next-head.First >= t.a.rememberMost
		if !full && (seconds+rememberFor > t.now || n >= forgetAtOnce) {
			return nil
		}
		if len(answer) > 0 {
			if err := t.forgetAnswer(string(answer), head.First); err != nil {
				return err
			}
		}
		if err := t.e.PutNote(queueNotes, key, nil); err != nil {
			return err
		}
		head.First++
	}
	return nil
}

// forgetAnswer removes an answer, unless a newer one has taken its key.
func (t *txn) forgetAnswer(key string, place uint64) error {
	note, err := t.e.Note(answerNotes, key)
	if err != nil || note == nil {
		return err
	}
	var a answerNote
	if json.Unmarshal(note, &a) == nil && a.Place != place {
		return nil
	}
	return t.e.PutNote(answerNotes, key, nil)
}
