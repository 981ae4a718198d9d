package audit

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// DefaultEntries is how many entries the ring holds unless told otherwise: at 1.2 KiB
// each, about 5 MiB.
const DefaultEntries = 4096

// Options say what a log keeps and where.
type Options struct {
	// Mode says which decisions are kept; the zero value keeps none.
	Mode Mode
	// Entries is how many the ring holds, rounded up to a power of two; zero means
	// [DefaultEntries].
	Entries int
	// Writer gets the lines. It is used by Run alone. If it blocks, entries are dropped,
	// decisions go on.
	Writer io.Writer
	// Recent remembers what was written last; nil: nobody does.
	Recent *Recent
	// Log is told, once, when the writer begins to fail; nil: nobody is.
	Log *slog.Logger
}

// A Log is a bounded ring of entries between those who decide and the one who writes. Any
// number of goroutines may Append; one may Run. The nil *Log keeps nothing.
type Log struct {
	mode    Mode
	writer  io.Writer
	recent  *Recent
	log     *slog.Logger
	mask    uint64
	batch   uint64 // after how many entries Run is told, less one
	slots   []slot
	wake    chan struct{}
	asleep  atomic.Bool // Run waits for wake alone
	dropped atomic.Uint64
	written atomic.Uint64
	failed  atomic.Uint64

	// The padding keeps the ends of the ring on cache lines of their own.
	_    [64]byte
	tail atomic.Uint64 // where the next entry goes
	_    [56]byte
	head uint64 // what Run reads next; Run's alone, as line is
	line []byte
}

// A slot holds one record. Its turn says whose it is: at position p of the ring, an
// appender's when turn is p, the reader's when it is p+1.
type slot struct {
	turn   atomic.Uint64
	record record
}

// New returns a log that writes once [Log.Run] runs.
func New(o Options) *Log {
	if o.Entries <= 0 {
		o.Entries = DefaultEntries
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Writer == nil {
		o.Writer = io.Discard
	}
	l := &Log{mode: o.Mode, writer: o.Writer, recent: o.Recent, log: o.Log, wake: make(chan struct{}, 1)}
	if l.mode == Off {
		return l
	}
	size := uint64(1) << bits.Len(uint(max(o.Entries, 2)-1))
	l.mask = size - 1
	l.batch = max(min(most, size/4), 1) - 1
	l.slots = make([]slot, size)
	for i := range l.slots {
		l.slots[i].turn.Store(uint64(i))
	}
	return l
}

// Keeps tells whether a decision with this reason is kept, so that a caller need not
// prepare an entry that is not.
func (l *Log) Keeps(reason authz.Reason) bool {
	if l == nil {
		return false
	}
	return l.mode == All || l.mode == Denials && reason.Effect() == authz.Deny
}

// Append keeps a copy of the entry, or drops and counts it when the ring is full. It never
// blocks and does not allocate.
func (l *Log) Append(e *Entry) {
	if !l.Keeps(e.Reason) {
		return
	}
	at := l.tail.Load()
	for {
		s := &l.slots[at&l.mask]
		switch turn := s.turn.Load(); {
		case turn == at:
			if !l.tail.CompareAndSwap(at, at+1) {
				at = l.tail.Load()
				continue
			}
			s.record.set(e)
			s.turn.Store(at + 1)
			// Run looks before it goes to sleep and after it said so, hence it finds this
			// entry or is seen asleep here.
			if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) || (at+1)&l.batch == 0 {
				select {
				case l.wake <- struct{}{}:
				default: // Run is told already
				}
			}
			return
		case turn < at: // still holds the entry of the round before
			l.dropped.Add(1)
			return
		default: // another appender was faster
			at = l.tail.Load()
		}
	}
}

const (
	// pause is how long Run lets entries gather before it writes them together. To wake it
	// for each would cost the decision several times what it costs to keep the entry, and
	// a write for each would cost more than the decision. A shorter pause costs too: each
	// thread that waits for requests has the kernel wake it at the next timer.
	pause = 100 * time.Millisecond
	// most is how many entries gather before Run is told not to wait any longer: where there
	// is one CPU, checks wait while it writes them.
	most = 128
	// patience is how often Run finds nothing before it goes to sleep.
	patience = 2
)

// Run writes entries a tenth of a second after they came, sooner where they are many,
// until ctx ends, then what is still there, and returns nil. Whoever appends should have
// stopped before ctx ends. A writer that blocks holds it up.
func (l *Log) Run(ctx context.Context) error {
	out := bufio.NewWriterSize(l.writer, 64<<10)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	defer l.drain(ctx, out)
	for idle := 0; ; idle++ {
		if idle == patience {
			if !l.sleep(ctx) {
				return nil
			}
			idle = 0
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-ctx.Done():
			return nil
		}
		before := l.head
		for l.drain(ctx, out) && ctx.Err() == nil {
		}
		if l.head != before {
			idle = 0
		}
	}
}

// sleep waits until there is an entry, and tells whether ctx did not end before.
func (l *Log) sleep(ctx context.Context) bool {
	l.asleep.Store(true)
	defer l.asleep.Store(false)
	if len(l.slots) > 0 && l.slots[l.head&l.mask].turn.Load() == l.head+1 {
		return true // it came before anybody could see that Run is asleep
	}
	select {
	case <-l.wake:
		return true
	case <-ctx.Done():
		return false
	}
}

// drain writes the entries that are whole, one round of the ring at most, so that it ends
// although others go on appending; it tells whether it stopped for that.
func (l *Log) drain(ctx context.Context, out *bufio.Writer) (more bool) {
	n := uint64(0)
	var err error
	for ; n < uint64(len(l.slots)); n++ {
		s := &l.slots[l.head&l.mask]
		if s.turn.Load() != l.head+1 {
			break
		}
		l.line = s.record.appendLine(l.line[:0])
		l.recent.keep(&s.record)
		s.turn.Store(l.head + l.mask + 1)
		l.head++
		if err == nil {
			_, err = out.Write(l.line)
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		out.Reset(l.writer) // a bufio.Writer keeps its first error for ever
		if l.failed.Add(n) == n {
			l.log.ErrorContext(ctx, "decision log not written", "err", err)
		}
	} else {
		l.written.Add(n)
	}
	return n > 0 && n == uint64(len(l.slots))
}

// Stats count entries since the log was made.
type Stats struct {
	// Written were handed to the writer.
	Written uint64
	// Dropped found no room in the ring.
	Dropped uint64
	// Failed were lost because the writer failed.
	Failed uint64
}

// Stats returns the counts so far. It is safe for concurrent use.
func (l *Log) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	return Stats{Written: l.written.Load(), Dropped: l.dropped.Load(), Failed: l.failed.Load()}
}
