package h2

import (
	"net"
	"os"
	"sync"
	"time"
)

// A wait is for something to come, or for room, until a deadline.
type wait struct {
	told chan struct{} // there is something, or was

	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // closed when the deadline has
}

func (w *wait) init() { w.told, w.passed = make(chan struct{}, 1), make(chan struct{}) }

func (w *wait) tell() {
	select {
	case w.told <- struct{}{}:
	default:
	}
}

// set sets the deadline; the zero time is none.
func (w *wait) set(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !w.timer.Stop() {
		<-w.passed // at this moment
	}
	w.timer = nil
	select {
	case <-w.passed:
		w.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	passed := w.passed
	if left := time.Until(t); left > 0 {
		w.timer = time.AfterFunc(left, func() { close(passed) })
	} else {
		close(passed)
	}
}

func (w *wait) deadline() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed
}

// overdue is an error if the end has come, or the deadline.
func (w *wait) overdue(gone <-chan struct{}) error {
	select {
	case <-gone:
		return net.ErrClosed
	default:
	}
	select {
	case <-w.deadline():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// wait waits until it is told, and is an error if the deadline or the end comes first.
func (w *wait) wait(gone <-chan struct{}) error {
	select {
	case <-w.told:
		return nil
	case <-w.deadline():
		return os.ErrDeadlineExceeded
	case <-gone:
		return net.ErrClosed
	}
}
