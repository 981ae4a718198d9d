package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"io"
)

// bbolt believes its pages: it checks the two meta pages alone, and follows what the
// others say into panics, endless loops and memory that is not its own. So the structure
// is walked before bbolt opens a file: every page that is in use is reached once and has
// its keys in order and within bounds, and every other page is free. The walk reads the
// file, not a mapping of it, and bounds everything by the file's size.

// Of bbolt's file format, version 2, all numbers in the machine's byte order.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeaderSize = 16
	elementSize    = 16
	metaSize       = 56 // without the checksum behind it
	bucketSize     = 16 // of a bucket's value, before an inline page

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01

	noFreelist = ^uint64(0)
	maxDepth   = 64
)

// boltMeta is a meta page.
type boltMeta struct {
	pageSize, root, freelist, pages, txid uint64
}

// parseMeta reads a meta page, header included, if its checksum fits.
func parseMeta(b []byte) (boltMeta, bool) {
	if len(b) < pageHeaderSize+metaSize+8 {
		return boltMeta{}, false
	}
	m := b[pageHeaderSize:]
	sum := fnv.New64a()
	sum.Write(m[:metaSize])
	e := binary.NativeEndian
	if e.Uint32(m) != boltMagic || e.Uint32(m[4:]) != boltVersion || e.Uint64(m[metaSize:]) != sum.Sum64() {
		return boltMeta{}, false
	}
	return boltMeta{
		pageSize: uint64(e.Uint32(m[8:])),
		root:     e.Uint64(m[16:]),
		freelist: e.Uint64(m[32:]),
		pages:    e.Uint64(m[40:]),
		txid:     e.Uint64(m[48:]),
	}, true
}

// readMeta returns the newest of the two meta pages that is whole.
func readMeta(f io.ReaderAt) (boltMeta, error) {
	const head = pageHeaderSize + metaSize + 8
	var best boltMeta
	found := false
	look := func(at int64) {
		b := make([]byte, head)
		if _, err := f.ReadAt(b, at); err != nil {
			return
		}
		if m, ok := parseMeta(b); ok && (!found || m.txid > best.txid) {
			best, found = m, true
		}
	}
	look(0)
	if found {
		look(int64(best.pageSize))
	} else {
		// The second page's place depends on a page size that the first one cannot tell.
		for size := int64(1024); size <= 64<<10 && !found; size *= 2 {
			look(size)
		}
	}
	if !found {
		return boltMeta{}, corruptf("neither of the file's meta pages is whole")
	}
	if best.pageSize < 1024 || best.pageSize > 64<<10 || best.pageSize&(best.pageSize-1) != 0 {
		return boltMeta{}, corruptf("the file has pages of %d bytes", best.pageSize)
	}
	return best, nil
}

// freePages returns how many pages are free, and the size of one.
func freePages(f io.ReaderAt) (n, pageSize uint64, err error) {
	meta, err := readMeta(f)
	if err != nil {
		return 0, 0, err
	}
	b := make([]byte, pageHeaderSize+8)
	if _, err := f.ReadAt(b, int64(meta.freelist*meta.pageSize)); err != nil {
		return 0, 0, corruptf("the list of free pages cannot be read: %v", err)
	}
	n = uint64(binary.NativeEndian.Uint16(b[10:]))
	if n == 0xFFFF {
		n = binary.NativeEndian.Uint64(b[pageHeaderSize:])
	}
	return n, meta.pageSize, nil
}

// checkStructure walks the file. stop ends the walk early, with its error. Of the buckets
// that skim picks, nil picking none, only branch pages are read, which are few; nothing
// may be written to the file, nor its leaf pages be given to bbolt, until all was walked.
func checkStructure(f io.ReaderAt, size int64, skim func(bucket []byte) bool, stop func() error) error {
	meta, err := readMeta(f)
	if err != nil {
		return err
	}
	if meta.pages < 4 || meta.pages > uint64(size)/meta.pageSize {
		return corruptf("the file has %d bytes and should have %d pages of %d", size, meta.pages, meta.pageSize)
	}
	w := &walker{file: f, meta: meta, stop: stop, skim: skim, leafDepth: noDepth, seen: make([]uint64, meta.pages/64+1)}
	w.mark(0)
	w.mark(1)
	if err := w.tree(meta.root, nil, nil, 0); err != nil {
		return err
	}
	return w.freelist()
}

// A walker walks the pages of one file.
type walker struct {
	file io.ReaderAt
	meta boltMeta
	stop func() error
	seen []uint64 // a bit for each page that was reached
	// skim picks buckets, leafDepth is how deep the leaves of such a one lie while it is
	// walked, and skimmed says that there was one.
	skim      func(bucket []byte) bool
	leafDepth int
	skimmed   bool
	bufs      [maxDepth + 1][]byte
	n         int
}

// mark says that a page was reached; it tells whether that was the first time.
func (w *walker) mark(id uint64) bool {
	if w.seen == nil { // it is on its way to one key, and may pass a page again
		return true
	}
	bit := uint64(1) << (id & 63)
	first := w.seen[id/64]&bit == 0
	w.seen[id/64] |= bit
	return first
}

// page reads a page with what overflows into the next ones, and marks them all.
func (w *walker) page(id uint64, buf []byte) ([]byte, error) {
	if w.n++; w.n%1024 == 0 {
		if err := w.stop(); err != nil {
			return nil, err
		}
	}
	if id < 2 || id >= w.meta.pages {
		return nil, corruptf("page %d is not in the file", id)
	}
	size := w.meta.pageSize
	b := buf
	if uint64(cap(b)) < size {
		b = make([]byte, size)
	}
	b = b[:size]
	if _, err := w.file.ReadAt(b, int64(id*size)); err != nil {
		return nil, corruptf("page %d cannot be read: %v", id, err)
	}
	if got := binary.NativeEndian.Uint64(b); got != id {
		return nil, corruptf("page %d says that it is page %d", id, got)
	}
	overflow := uint64(binary.NativeEndian.Uint32(b[12:]))
	if overflow >= w.meta.pages-id {
		return nil, corruptf("page %d overflows the file", id)
	}
	for i := id; i <= id+overflow; i++ {
		if !w.mark(i) {
			return nil, corruptf("page %d is in use twice", i)
		}
	}
	if overflow > 0 {
		whole := make([]byte, (overflow+1)*size)
		if _, err := w.file.ReadAt(whole, int64(id*size)); err != nil {
			return nil, corruptf("page %d cannot be read: %v", id, err)
		}
		return whole, nil
	}
	return b, nil
}

// tree walks the page and all below it. Their keys are at least low and, unless high is
// nil, less than high.
func (w *walker) tree(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return corruptf("the tree is more than %d pages deep", maxDepth)
	}
	if depth == w.leafDepth {
		return w.skipLeaf(id)
	}
	b, err := w.page(id, w.bufs[depth])
	if err != nil {
		return err
	}
	if uint64(len(b)) == w.meta.pageSize {
		w.bufs[depth] = b
	}
	return w.elements(id, b, low, high, depth)
}

// noDepth is the depth of the leaves of a bucket that is read whole.
const noDepth = -1

// skipLeaf marks a leaf that is not read.
func (w *walker) skipLeaf(id uint64) error {
	if id < 2 || id >= w.meta.pages {
		return corruptf("page %d is not in the file", id)
	}
	if !w.mark(id) {
		return corruptf("page %d is in use twice", id)
	}
	return nil
}

// leavesBelow returns how deep the leaves lie below a page of that depth: all of a tree
// lie equally deep.
func (w *walker) leavesBelow(id uint64, depth int) (int, error) {
	b := make([]byte, w.meta.pageSize)
	for ; depth <= maxDepth; depth++ {
		if id < 2 || id >= w.meta.pages {
			return 0, corruptf("page %d is not in the file", id)
		}
		if _, err := w.file.ReadAt(b, int64(id*w.meta.pageSize)); err != nil {
			return 0, corruptf("page %d cannot be read: %v", id, err)
		}
		p := boltPage{b, id}
		if p.flags() == leafPage {
			return depth, nil
		}
		el, err := p.element(0)
		if err != nil {
			return 0, err
		}
		id = el.child
	}
	return 0, corruptf("the tree is more than %d pages deep", maxDepth)
}

// A boltPage is a page with what overflows from it.
type boltPage struct {
	b  []byte
	id uint64
}

func (p boltPage) flags() uint16 { return binary.NativeEndian.Uint16(p.b[8:]) }
func (p boltPage) count() uint64 { return uint64(binary.NativeEndian.Uint16(p.b[10:])) }

// A boltElement is an element of a branch or leaf page.
type boltElement struct {
	key, value []byte
	kind       uint32 // on a leaf
	child      uint64 // on a branch
}

// check tells whether the page can have elements.
func (p boltPage) check() error {
	switch flags := p.flags(); {
	case flags != branchPage && flags != leafPage:
		return corruptf("page %d is neither branch nor leaf", p.id)
	case flags == branchPage && p.count() == 0:
		return corruptf("branch page %d has nothing below it", p.id)
	case pageHeaderSize+p.count()*elementSize > uint64(len(p.b)):
		return corruptf("page %d has more elements than fit", p.id)
	}
	return nil
}

// element returns an element, if all of it is on the page.
func (p boltPage) element(i uint64) (boltElement, error) {
	at := pageHeaderSize + i*elementSize
	if i >= p.count() || at+elementSize > uint64(len(p.b)) {
		return boltElement{}, corruptf("page %d has more elements than fit", p.id)
	}
	e := binary.NativeEndian
	raw := p.b[at : at+elementSize]
	var el boltElement
	pos, ksize, vsize := uint64(e.Uint32(raw[4:])), uint64(e.Uint32(raw[8:])), uint64(e.Uint32(raw[12:]))
	if p.flags() == branchPage {
		pos, ksize, vsize, el.child = uint64(e.Uint32(raw)), uint64(e.Uint32(raw[4:])), 0, e.Uint64(raw[8:])
	} else {
		el.kind = e.Uint32(raw)
	}
	from := at + pos
	if from < pageHeaderSize+p.count()*elementSize || from+ksize+vsize > uint64(len(p.b)) {
		return boltElement{}, corruptf("page %d has an element outside of it", p.id)
	}
	el.key, el.value = p.b[from:from+ksize], p.b[from+ksize:from+ksize+vsize]
	return el, nil
}

// find looks a key up in the tree below a page, in a file whose leaves were not walked: it
// believes no page more than the walk does. The value is nil where there is none.
func find(f io.ReaderAt, meta boltMeta, id uint64, key []byte) ([]byte, error) {
	w := walker{file: f, meta: meta, stop: func() error { return nil }}
	for range maxDepth {
		b, err := w.page(id, nil)
		if err != nil {
			return nil, err
		}
		p := boltPage{b, id}
		if err := p.check(); err != nil {
			return nil, err
		}
		// The number of the first element whose key is greater.
		low, high := uint64(0), p.count()
		for low < high {
			middle := (low + high) / 2
			el, err := p.element(middle)
			if err != nil {
				return nil, err
			}
			if compareKeys(el.key, key) > 0 {
				high = middle
			} else {
				low = middle + 1
			}
		}
		el, err := p.element(max(low, 1) - 1)
		switch {
		case p.count() == 0:
			return nil, nil
		case err != nil:
			return nil, err
		case p.flags() == branchPage:
			id = el.child
		case low == 0 || !bytes.Equal(el.key, key):
			return nil, nil
		case el.kind != 0:
			return nil, corruptf("page %d has a bucket where a record should be", id)
		default:
			return el.value, nil
		}
	}
	return nil, corruptf("the tree is more than %d pages deep", maxDepth)
}

// elements checks what is on a branch or leaf page.
func (w *walker) elements(id uint64, b []byte, low, high []byte, depth int) error {
	p := boltPage{b, id}
	if err := p.check(); err != nil {
		return err
	}
	previous := low
	for i := range p.count() {
		el, err := p.element(i)
		if err != nil {
			return err
		}
		order := compareKeys(previous, el.key)
		if i > 0 && order >= 0 || order > 0 || high != nil && compareKeys(el.key, high) >= 0 {
			return corruptf("page %d has its keys out of order", id)
		}
		previous = el.key
		switch {
		case p.flags() == branchPage:
			next := high
			if i+1 < p.count() {
				following, err := p.element(i + 1)
				if err != nil {
					return err
				}
				next = following.key
			}
			// What lies below must not run on into the pages of the next key.
			if err := w.tree(el.child, el.key, next, depth+1); err != nil {
				return err
			}
		case el.kind&^bucketLeaf != 0:
			return corruptf("page %d has an element of an unknown kind", id)
		case el.kind == bucketLeaf:
			if err := w.bucket(id, el.key, el.value, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket checks a bucket that stands on a leaf page.
func (w *walker) bucket(id uint64, name, v []byte, depth int) error {
	if len(v) < bucketSize {
		return corruptf("page %d has a bucket that is cut short", id)
	}
	if w.leafDepth != noDepth {
		return corruptf("page %d has a bucket within a bucket", id)
	}
	root := binary.NativeEndian.Uint64(v)
	if root != 0 && w.skim != nil && w.skim(name) {
		leaves, err := w.leavesBelow(root, depth+1)
		if err != nil {
			return err
		}
		if leaves > depth+1 { // else it is one page, which may as well be read
			w.leafDepth, w.skimmed = leaves, true
			defer func() { w.leafDepth = noDepth }()
		}
	}
	if root != 0 {
		return w.tree(root, nil, nil, depth+1)
	}
	inline := v[bucketSize:]
	if len(inline) < pageHeaderSize || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return corruptf("page %d has an inline bucket that is not a leaf", id)
	}
	if depth+1 > maxDepth {
		return corruptf("the tree is more than %d pages deep", maxDepth)
	}
	// bbolt reads it in place: a copy, so that walking it cannot be led out of it.
	return w.elements(id, bytes.Clone(inline), nil, nil, depth+1)
}

// freelist checks that just the pages that were not reached are free: one that is in use
// and free would be written over.
func (w *walker) freelist() error {
	if w.meta.freelist == noFreelist {
		return corruptf("the file has no list of free pages")
	}
	id := w.meta.freelist
	b, err := w.page(id, nil)
	if err != nil {
		return err
	}
	e := binary.NativeEndian
	if e.Uint16(b[8:]) != freelistPage {
		return corruptf("page %d should list the free pages", id)
	}
	count, ids := uint64(e.Uint16(b[10:])), b[pageHeaderSize:]
	if count == 0xFFFF {
		if len(ids) < 8 {
			return corruptf("the list of free pages is cut short")
		}
		count, ids = e.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return corruptf("the list of free pages is longer than its page")
	}
	previous := uint64(1)
	for i := range count {
		free := e.Uint64(ids[8*i:])
		if free <= previous || free >= w.meta.pages || !w.mark(free) {
			return corruptf("page %d is listed as free and is not", free)
		}
		previous = free
	}
	if w.skimmed { // and pages that leaves overflow into were not reached
		return nil
	}
	for id := range w.meta.pages {
		if w.seen[id/64]&(1<<(id&63)) == 0 {
			return corruptf("page %d is neither in use nor free", id)
		}
	}
	return nil
}
