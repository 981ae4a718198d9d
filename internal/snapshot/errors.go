package snapshot

import (
	"errors"
	"fmt"
)

var (
	// ErrNotReady says that there is nothing to decide from: no data was delivered yet,
	// or the file was damaged and the data must be delivered again. Nothing is granted.
	ErrNotReady = errors.New("no snapshot to decide from: wait until the source has delivered one, or import a bundle")
	// ErrLocked says that another process holds the data directory.
	ErrLocked = errors.New("the data directory is held by another process")
	// ErrCorrupt says that what stands on disk is not what was written.
	ErrCorrupt = errors.New("the snapshot on disk is damaged")
	// ErrSchema says that the snapshot was written by a newer release.
	ErrSchema = errors.New("the snapshot was written by a newer release: run that release, or deliver the data again with pathgrant import --restore")
	// ErrCatalogue says that the stored data does not fit the catalogue and the roles it is
	// opened with: a custom role names a permission that does not exist, or has what is a
	// role's of those; an assignment names a role that does not exist; or identifiers are
	// stored in another spelling.
	ErrCatalogue = errors.New("the stored data does not fit the catalogue")
	// ErrReadOnly says that the store was opened to be read.
	ErrReadOnly = errors.New("the store was opened read-only")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrInvalid says that data to be stored contradicts itself; nothing was changed.
	ErrInvalid = errors.New("the data is not valid")
	// ErrInUse says that something cannot be removed or changed, because something else
	// needs it as it is; nothing was changed. It is an [ErrInvalid].
	ErrInUse = fmt.Errorf("%w: it is in use", ErrInvalid)
)

// errUnverified says that what is not found may yet be there. It is an [ErrNotReady].
var errUnverified = fmt.Errorf("%w: the snapshot is still being verified", ErrNotReady)

// corruptf says what is damaged; the error is an [ErrCorrupt].
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// A faultError is a panic that came out of reading or writing a file: a memory-mapped
// page that is gone, or a page that does not hold what bbolt expects.
type faultError struct{ cause any }

func (e *faultError) Error() string { return fmt.Sprintf("fault while using the file: %v", e.cause) }
func (e *faultError) Unwrap() error { return ErrCorrupt }
