package snapshot

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// A sorter sorts more records than fit into memory: it fills a buffer, writes it sorted to
// the end of a temporary file, and merges what it has written. A record is a key and a
// value; records with one key come out in the order in which they came in.
type sorter struct {
	ctx    context.Context
	create func() (*os.File, error) // makes the temporary file, when the buffer is full

	arena   []byte
	entries []sortEntry
	// common is how many bytes the keys of the buffer have in common.
	common int

	file *os.File
	runs []sortRun
	end  int64
	n    uint64
}

// A sortEntry is a record in the buffer. Where two have different prefixes, keys need not
// be looked at.
type sortEntry struct {
	prefix   uint64
	at       uint32
	key, all uint32
}

// A sortRun is a sorted part of the file.
type sortRun struct{ from, to int64 }

const (
	// sortBuffer is how much a sorter keeps in memory.
	sortBuffer = 64 << 20
	// maxSorted is the greatest size of a record.
	maxSorted = 1 << 24
	runBuffer = 256 << 10
)

func newSorter(ctx context.Context, buffer int, create func() (*os.File, error)) *sorter {
	return &sorter{ctx: ctx, create: create, arena: make([]byte, 0, buffer)}
}

// add takes in a record.
func (s *sorter) add(key, value []byte) error {
	size := len(key) + len(value)
	if size > maxSorted {
		return fmt.Errorf("a record of %d bytes is too large to be sorted", size)
	}
	if len(s.arena)+size > cap(s.arena) && len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	switch first := s.entries; {
	case len(first) == 0:
		s.common = len(key)
	default:
		other := s.arena[first[0].at : first[0].at+first[0].key]
		s.common = commonPrefix(other, key, s.common)
	}
	at := len(s.arena)
	s.arena = append(append(s.arena, key...), value...)
	s.entries = append(s.entries, sortEntry{at: uint32(at), key: uint32(len(key)), all: uint32(size)})
	s.n++
	return nil
}

func commonPrefix(a, b []byte, atMost int) int {
	atMost = min(atMost, len(a), len(b))
	for i := range atMost {
		if a[i] != b[i] {
			return i
		}
	}
	return atMost
}

func (s *sorter) keyOf(e *sortEntry) []byte { return s.arena[e.at : e.at+e.key] }

// sortBuffered puts what is in the buffer in order.
func (s *sorter) sortBuffered() {
	for i := range s.entries {
		var b [8]byte
		copy(b[:], s.keyOf(&s.entries[i])[s.common:])
		s.entries[i].prefix = binary.BigEndian.Uint64(b[:])
	}
	slices.SortFunc(s.entries, func(a, b sortEntry) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return cmp.Or(bytes.Compare(s.keyOf(&a), s.keyOf(&b)), cmp.Compare(a.at, b.at))
	})
}

// spill writes what is in the buffer to the file.
func (s *sorter) spill() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.file == nil {
		f, err := s.create()
		if err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		s.file = f
	}
	s.sortBuffered()
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.end), 1<<20)
	var head [2 * binary.MaxVarintLen32]byte
	size := int64(0)
	for i := range s.entries {
		e := &s.entries[i]
		h := binary.AppendUvarint(binary.AppendUvarint(head[:0], uint64(e.key)), uint64(e.all))
		if _, err := w.Write(h); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		if _, err := w.Write(s.arena[e.at : e.at+e.all]); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		size += int64(len(h)) + int64(e.all)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	s.runs = append(s.runs, sortRun{s.end, s.end + size})
	s.end += size
	s.arena, s.entries = s.arena[:0], s.entries[:0]
	return nil
}

// each calls yield with every record, in order. Key and value are valid until yield
// returns. What was added is gone afterwards, but may be read again until close.
func (s *sorter) each(yield func(key, value []byte) error) error {
	if s.file == nil {
		s.sortBuffered()
		for i := range s.entries {
			if i%verifyStop == 0 && s.ctx.Err() != nil {
				return s.ctx.Err()
			}
			e := &s.entries[i]
			if err := yield(s.keyOf(e), s.arena[e.at+e.key:e.at+e.all]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.arena, s.entries = nil, nil // merging needs memory of its own
	var m merge
	for i, run := range s.runs {
		r := &runReader{order: i, r: bufio.NewReaderSize(io.NewSectionReader(s.file, run.from, run.to-run.from), runBuffer)}
		switch more, err := r.next(); {
		case err != nil:
			return err
		case more:
			m = append(m, r)
		}
	}
	heap.Init(&m)
	for n := 0; len(m) > 0; n++ {
		if n%verifyStop == 0 && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		r := m[0]
		if err := yield(r.record[:r.key], r.record[r.key:]); err != nil {
			return err
		}
		switch more, err := r.next(); {
		case err != nil:
			return err
		case more:
			heap.Fix(&m, 0)
		default:
			heap.Pop(&m)
		}
	}
	return nil
}

// close removes the file.
func (s *sorter) close() error {
	s.arena, s.entries = nil, nil
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), os.Remove(s.file.Name()))
	s.file = nil
	return err
}

// A runReader reads one run.
type runReader struct {
	order  int
	r      *bufio.Reader
	record []byte
	key    int
}

// next reads the next record; more tells whether there was one.
func (r *runReader) next() (more bool, err error) {
	key, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	size, err := binary.ReadUvarint(r.r)
	if err != nil || size > maxSorted || key > size || size > math.MaxInt32 {
		return false, fmt.Errorf("sort: the temporary file is damaged: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	r.record = slices.Grow(r.record[:0], int(size))[:size]
	r.key = int(key)
	if _, err := io.ReadFull(r.r, r.record); err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	return true, nil
}

// merge is a heap of runs, the one with the smallest key first.
type merge []*runReader

func (m merge) Len() int { return len(m) }
func (m merge) Less(i, j int) bool {
	return cmp.Or(bytes.Compare(m[i].record[:m[i].key], m[j].record[:m[j].key]), cmp.Compare(m[i].order, m[j].order)) < 0
}
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

// Push is never called: runs only leave.
func (m *merge) Push(any) {}

// Pop removes the last one.
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
