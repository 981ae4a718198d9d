package snapshot

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// The change log and the notes lie beside the data: in the same transactions, verified
// like it, and left as they are when data is delivered. They are opaque to the store.

// maxLogRecord and maxNote are how long a record of the log and a note may be.
const (
	maxLogRecord = 1 << 20
	maxNote      = 1 << 20
)

// A LogRecord is a record of the change log. Numbers begin at 1 and leave nothing out.
type LogRecord struct {
	Number uint64
	Record []byte
}

// A Note is a small value under a key.
type Note struct {
	Key   string
	Value []byte
}

func appendOpaque(b, content []byte) []byte { return append(append(b, payloadForm), content...) }

func readOpaque(sec section, payload string) ([]byte, error) {
	if payload == "" || payload[0] != payloadForm {
		return nil, corruptf("a record in %q cannot be read", sec)
	}
	return []byte(payload[1:]), nil
}

func logKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func readLogKey(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, corruptf("a key of the change log cannot be read")
	}
	return binary.BigEndian.Uint64(key), nil
}

func checkLogRecord(key []byte, payload string) error {
	if _, err := readLogKey(key); err != nil {
		return err
	}
	_, err := readOpaque(logSection, payload)
	return err
}

func noteKey(bucket, key string) []byte { return append(appendPart(nil, bucket), key...) }

// LastLog returns the newest record of the change log and its number; 0 where there is none.
func (r *Reader) LastLog() (n uint64, record []byte, err error) {
	err = r.in(func() error {
		bucket, err := r.bucket(logSection)
		if err != nil {
			return err
		}
		key, value := bucket.Cursor().Last()
		if key == nil {
			return nil
		}
		payload, _, err := unseal(byte(logSection), key, value)
		if err != nil {
			return err
		}
		if n, err = readLogKey(key); err != nil {
			return err
		}
		record, err = readOpaque(logSection, string(payload))
		return err
	})
	return n, record, err
}

// Log returns a record of the change log, and whether there is one of the number.
func (r *Reader) Log(n uint64) (record []byte, ok bool, err error) {
	return one(r, logSection, logKey(n), func(payload string) ([]byte, error) { return readOpaque(logSection, payload) })
}

// Logs yields the records of the change log from one number to another, both included, as
// far as there are any.
func (r *Reader) Logs(from, to uint64) iter.Seq2[LogRecord, error] {
	return func(yield func(LogRecord, error) bool) {
		c := &scan{r: r, sec: logSection}
		err := c.seek(logKey(from))
		for ; err == nil && c.key != nil; err = c.next() {
			n, err := readLogKey(c.key)
			var record []byte
			if err == nil {
				record, err = readOpaque(logSection, c.payload)
			}
			if err != nil {
				yield(LogRecord{}, r.broken(err))
				return
			}
			if n > to || !yield(LogRecord{n, record}, nil) {
				return
			}
		}
		if err != nil {
			yield(LogRecord{}, err)
		}
	}
}

// AppendLog appends a record to the change log and returns its number.
func (e *Edit) AppendLog(record []byte) (uint64, error) {
	if len(record) > maxLogRecord {
		return 0, fmt.Errorf("%w: a record of the change log has %d bytes; at most %d are kept", ErrInvalid, len(record), maxLogRecord)
	}
	last, _, err := e.LastLog()
	if err != nil {
		return 0, err
	}
	err = e.in(func() error {
		e.tx.Bucket(sectionBuckets[logSection]).FillPercent = chunkFill // nothing is ever put between
		return e.writer.set(logSection, logKey(last+1), appendOpaque(nil, record))
	})
	return last + 1, err
}

// Note returns the value of a note; nil where there is none.
func (r *Reader) Note(bucket, key string) ([]byte, error) {
	value, _, err := one(r, noteSection, noteKey(bucket, key), func(payload string) ([]byte, error) {
		return readOpaque(noteSection, payload)
	})
	return value, err
}

// Notes yields the notes of a bucket whose keys begin with the prefix, in the order of
// their bytes.
func (r *Reader) Notes(bucket, prefix string) iter.Seq2[Note, error] {
	return each(r, noteSection, noteKey(bucket, prefix), func(key *keyReader, payload string) (Note, error) {
		n := Note{Key: prefix + string(key.rest)}
		key.rest = nil
		var err error
		n.Value, err = readOpaque(noteSection, payload)
		return n, err
	})
}

// PutNote keeps a value under a key of a bucket, which need not be made before; nil
// removes what is there.
func (e *Edit) PutNote(bucket, key string, value []byte) error {
	if len(bucket) > maxIdentifier || len(key) > maxIdentifier || len(value) > maxNote {
		return fmt.Errorf("%w: a note of %d bytes with a key of %d in a bucket of %d; at most %d, %d and %d are kept",
			ErrInvalid, len(value), len(key), len(bucket), maxNote, maxIdentifier, maxIdentifier)
	}
	if value == nil {
		_, err := e.RemoveNote(bucket, key)
		return err
	}
	return e.in(func() error {
		return e.writer.set(noteSection, noteKey(bucket, key), appendOpaque(nil, value))
	})
}

// RemoveNote removes a note and tells whether there was one.
func (e *Edit) RemoveNote(bucket, key string) (there bool, err error) {
	at := noteKey(bucket, key)
	err = e.in(func() error {
		payload, _, err := e.writer.get(noteSection, at)
		if there = payload != nil; err != nil || !there {
			return err
		}
		return e.writer.set(noteSection, at, nil)
	})
	return there && err == nil, err
}
