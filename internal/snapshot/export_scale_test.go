package snapshot

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// SetSortBuffer sets how much of a delivery each sorter keeps in memory.
func (s *Store) SetSortBuffer(bytes int) { s.sortBuffer = bytes }

// SortRecords sorts keys and values with so much memory, in files of the directory, and
// returns the keys and values in order.
func SortRecords(ctx context.Context, dir string, buffer int, records [][2]string) (sorted [][2]string, err error) {
	s := newSorter(ctx, buffer, func() (*os.File, error) { return os.Create(filepath.Join(dir, "sort")) })
	defer func() { err = errors.Join(err, s.close()) }()
	for _, r := range records {
		if err := s.add([]byte(r[0]), []byte(r[1])); err != nil {
			return nil, err
		}
	}
	err = s.each(func(key, value []byte) error {
		sorted = append(sorted, [2]string{string(key), string(value)})
		return nil
	})
	return sorted, err
}

// PartOf is a text as a part of a key, and ReadPart reads one back.
func PartOf(text string) string { return string(appendPart(nil, text)) }

// ReadPart reads what PartOf returns; ok is false for anything else.
func ReadPart(key string) (text string, ok bool) {
	k := keyReader{rest: []byte(key)}
	text = k.part()
	return text, !k.bad && len(k.rest) == 0
}

// ComparePart compares texts as parts of keys.
func ComparePart(a, b string) int { return compareParts(a, b) }

// PartLength is the length of the part at the start of a key.
func PartLength(key string) int { return partLength([]byte(key)) }

// PagesRead walks the structure of a file and returns how many times it was read, when it
// is walked whole and when what is large is skimmed.
func PagesRead(path string) (whole, skimmed int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	never := func() error { return nil }
	r := &countingReader{r: f}
	if err := checkStructure(r, info.Size(), nil, never); err != nil {
		return 0, 0, err
	}
	whole, r.n = r.n, 0
	err = checkStructure(r, info.Size(), func(bucket []byte) bool {
		for sec := range section(sectionCount) {
			if string(sectionBuckets[sec]) == string(bucket) {
				return !sec.small()
			}
		}
		return false
	}, never)
	return whole, r.n, err
}

type countingReader struct {
	r io.ReaderAt
	n int
}

func (r *countingReader) ReadAt(b []byte, at int64) (int, error) {
	r.n++
	return r.r.ReadAt(b, at)
}

// ForgetWalk makes the file look as if its structure had not been walked yet.
func (s *Store) ForgetWalk() { s.current.Load().file.walked.Store(false) }
