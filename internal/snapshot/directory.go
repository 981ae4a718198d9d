package snapshot

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The names in a data directory.
const (
	lockName       = "LOCK"
	currentName    = "CURRENT"
	quarantineName = "quarantine"
	filePrefix     = "snapshot-"
	fileSuffix     = ".db"
	tempSuffix     = ".tmp"

	keepQuarantined = 3
	dirMode         = 0o700
	fileMode        = 0o600
)

// A directory is the data directory of a store.
type directory struct {
	path string
	lock *os.File // nil where it is only read
}

// openDirectory makes the directory if need be and takes its lock for this process.
func openDirectory(path string) (*directory, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("the data directory %s must be writable, for the snapshot is kept there: %w", path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = lock.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data directory %s: %w", path, err)
		}
		holder := "another process"
		if text, err := io.ReadAll(io.LimitReader(lock, 64)); err == nil && len(text) > 0 {
			holder = strings.TrimSpace(string(text))
		}
		return nil, fmt.Errorf("%w: %s is in use by %s; stop it, or use a directory of its own for each server", ErrLocked, path, holder)
	}
	// Who holds the lock is a help for people; that it could not be written changes nothing.
	if lock.Truncate(0) == nil {
		_, _ = lock.WriteAt([]byte("process "+strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &directory{path: path, lock: lock}, nil
}

// shareFile makes sure that nobody writes to a snapshot file until it is released.
func shareFile(path string) (release func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, heldByServer(path)
		}
		return nil, fmt.Errorf("lock the snapshot: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

func heldByServer(path string) error {
	return fmt.Errorf("%w: a running server holds %s; ask that server instead, or stop it", ErrLocked, path)
}

// close gives the lock back.
func (d *directory) close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// sync makes renames in the directory durable.
func (d *directory) sync() error { return syncDirectory(d.path) }

func syncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}

// databases lists the snapshot files, finished and unfinished ones.
func (d *directory) databases() (finished, unfinished []string, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the data directory: %w", err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, tempSuffix):
			unfinished = append(unfinished, name)
		case fileNumber(name) > 0:
			finished = append(finished, name)
		}
	}
	return finished, unfinished, nil
}

// nextName is the name for a new file: one that was never used here.
func (d *directory) nextName() (string, error) {
	finished, unfinished, err := d.databases()
	if err != nil {
		return "", err
	}
	names := slices.Concat(finished, unfinished)
	if entries, err := os.ReadDir(d.file(quarantineName)); err == nil {
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	if c, err := d.readCurrent(); err == nil {
		names = append(names, c.file)
	}
	var last uint64
	for _, name := range names {
		if i := strings.Index(name, fileSuffix); i >= 0 {
			last = max(last, fileNumber(name[:i+len(fileSuffix)]))
		}
	}
	return filePrefix + strconv.FormatUint(last+1, 10) + fileSuffix, nil
}

// fileNumber returns the number in the name of a snapshot file; 0: it is none.
func fileNumber(name string) uint64 {
	digits, ok := strings.CutPrefix(name, filePrefix)
	if !ok {
		return 0
	}
	if digits, ok = strings.CutSuffix(digits, fileSuffix); !ok {
		return 0
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return 0
	}
	return n
}

// quarantine sets a file aside and keeps the newest few of what was set aside. The stamp
// orders them.
func (d *directory) quarantine(name string, stamp int64) error {
	into := d.file(quarantineName)
	if err := os.MkdirAll(into, dirMode); err != nil {
		return fmt.Errorf("set aside %s: %w", name, err)
	}
	if err := os.Rename(d.file(name), filepath.Join(into, fmt.Sprintf("%s.%016x", name, uint64(stamp)))); err != nil {
		return fmt.Errorf("set aside %s: %w", name, err)
	}
	d.prune(into)
	return d.sync()
}

// keepAside is quarantine for a file that stays in its place until another is in force: it
// is found under both names. It returns the other one; empty: the file was there already.
func (d *directory) keepAside(name string, stamp int64) (string, error) {
	into := d.file(quarantineName)
	info, err := os.Stat(d.file(name))
	if err != nil {
		return "", fmt.Errorf("set aside %s: %w", name, err)
	}
	if err := os.MkdirAll(into, dirMode); err != nil {
		return "", fmt.Errorf("set aside %s: %w", name, err)
	}
	entries, err := os.ReadDir(into)
	if err != nil {
		return "", fmt.Errorf("set aside %s: %w", name, err)
	}
	for _, e := range entries {
		if other, err := e.Info(); err == nil && os.SameFile(info, other) {
			return "", nil
		}
	}
	to := filepath.Join(into, fmt.Sprintf("%s.%016x", name, uint64(stamp)))
	if os.Link(d.file(name), to) != nil { // not every file system has links
		if err := copyFileSync(d.file(name), to); err != nil {
			return "", fmt.Errorf("set aside %s: %w", name, errors.Join(err, removeFile(to)))
		}
	}
	if err := syncDirectory(into); err != nil {
		return "", errors.Join(err, removeFile(to))
	}
	return to, nil
}

func copyFileSync(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// removeFile removes a file if it is there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// prune removes all but the newest few; what cannot be removed is left for the next time.
func (d *directory) prune(into string) {
	entries, err := os.ReadDir(into)
	if err != nil {
		return
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	age := func(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(age(b), age(a)), cmp.Compare(b, a)) })
	for _, name := range names[min(keepQuarantined, len(names)):] {
		_ = os.Remove(filepath.Join(into, name))
	}
}

// A mark is what CURRENT holds: the newest revision that was ever acknowledged. What is
// found on disk must not be older.
type mark struct {
	epoch, number uint64
	records       uint64
	sum           digest
	file          string
}

// noFile is the file of a mark that says that nothing was acknowledged yet.
const noFile = "none"

const markHead = "pathgrant snapshot mark 1"

func (m mark) text() string {
	body := fmt.Sprintf("%s\nepoch %d\nrevision %d\nrecords %d\nhash %016x%016x%016x%016x\nfile %s\n",
		markHead, m.epoch, m.number, m.records, m.sum[0], m.sum[1], m.sum[2], m.sum[3], m.file)
	sum := sha256.Sum256([]byte(body))
	return body + "checksum " + hex.EncodeToString(sum[:]) + "\n"
}

// parseMark reads what text writes, and nothing else.
func parseMark(text string) (mark, error) {
	var m mark
	var checksum string
	_, err := fmt.Sscanf(text, markHead+"\nepoch %d\nrevision %d\nrecords %d\nhash %16x%16x%16x%16x\nfile %s\nchecksum %64s\n",
		&m.epoch, &m.number, &m.records, &m.sum[0], &m.sum[1], &m.sum[2], &m.sum[3], &m.file, &checksum)
	if err != nil || m.text() != text || fileNumber(m.file) == 0 && m.file != noFile {
		return mark{}, corruptf("%s cannot be read", currentName)
	}
	return m, nil
}

// readCurrent returns the mark; the error is fs.ErrNotExist where there is none and
// [ErrCorrupt] where it cannot be read.
func (d *directory) readCurrent() (mark, error) {
	f, err := os.Open(d.file(currentName))
	if err != nil {
		return mark{}, fmt.Errorf("read the snapshot's mark: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return mark{}, fmt.Errorf("read the snapshot's mark: %w", err)
	}
	return parseMark(string(text))
}

// writeCurrent replaces the mark, durably and whole or not at all.
func (d *directory) writeCurrent(m mark) error {
	temp := d.file(currentName + tempSuffix)
	if err := writeFileSync(temp, m.text()); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("write the snapshot's mark: %w", err)
	}
	if err := os.Rename(temp, d.file(currentName)); err != nil {
		return fmt.Errorf("write the snapshot's mark: %w", err)
	}
	return d.sync()
}

func writeFileSync(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// isMissing tells whether the error says that there is no such file.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
