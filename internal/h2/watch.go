package h2

import (
	"errors"
	"math/rand/v2"
	"time"
)

// A drainStep says how far a connection is on its way to its end.
type drainStep uint8

const (
	drainNot    drainStep = iota
	drainWanted           // before anything could be sent
	drainFirst            // the client was told to begin nothing new
	drainLast             // and which call was the last one
)

// drainPing is the PING after the first GOAWAY: its acknowledgement says that the client
// has read that.
var drainPing = [8]byte{'g', 'o', ' ', 'a', 'w', 'a', 'y', 0}

// drainPatience is how long that acknowledgement may take.
const drainPatience = 5 * time.Second

var (
	errSilent = errors.New("the client does not answer a PING")
	errStuck  = errors.New("the client takes nothing of what it is sent")
	errOld    = errors.New("the connection's time is over")
)

// drain tells the client to go away. It takes mu.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.firstGoAway()
	c.flushLocked()
}

func (c *conn) firstGoAway() {
	if c.draining > drainWanted {
		return
	}
	if !c.ready {
		c.draining = drainWanted
		return
	}
	c.draining = drainFirst
	c.watch.drained = time.Now()
	c.out = appendGoAway(c.out, maxStreamID, codeNo, "")
	c.out = appendPing(c.out, 0, drainPing[:])
	if c.watch.timer != nil {
		c.watch.timer.Reset(min(drainPatience, c.watchEvery()))
	}
}

func (c *conn) lastGoAway() {
	if c.draining == drainFirst {
		c.draining = drainLast
		c.out = appendGoAway(c.out, c.last, codeNo, "")
	}
}

// A watch is what is known of a connection's times. Reading and writing only leave marks,
// which are looked at now and then, so that no clock is asked for a call.
type watch struct {
	timer    *time.Timer
	began    time.Time
	age      time.Duration // zero: any
	read     time.Time     // when something had been read last
	call     time.Time     // when there had been a call last
	pinged   time.Time     // zero: the client owes no answer
	written  time.Time     // when the write that is going on was seen first
	writes   uint64        // which one that is
	drained  time.Time     // when the first GOAWAY was sent
	finished bool
}

// startWatch takes mu.
func (c *conn) startWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	w := &c.watch
	w.began, w.read, w.call = now, now, now
	if age := c.o.MaxAge; age > 0 {
		w.age = age - age/10 + rand.N(age/5+1)
	}
	w.timer = time.AfterFunc(c.watchEvery(), c.look)
}

// stopWatch takes mu.
func (c *conn) stopWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch.finished = true
	if c.watch.timer != nil {
		c.watch.timer.Stop()
	}
}

// watchEvery is how often the marks are looked at.
func (c *conn) watchEvery() time.Duration {
	every := c.o.WriteTimeout / 2
	for _, d := range []time.Duration{c.o.PingAfter, c.o.PingTimeout, c.o.MaxIdle / 2, c.o.MaxAge / 10, c.o.MaxAgeGrace / 2} {
		if d > 0 {
			every = min(every, d)
		}
	}
	if c.draining == drainFirst {
		every = min(every, drainPatience/4)
	}
	return max(every, time.Millisecond)
}

// look sees to what is due.
func (c *conn) look() {
	c.mu.Lock()
	if c.watch.finished {
		c.mu.Unlock()
		return
	}
	over := c.due(time.Now())
	if over == nil {
		c.watch.timer.Reset(c.watchEvery())
		c.flushLocked()
	}
	c.mu.Unlock()
	if over != nil {
		c.kill(over)
	}
}

// due does what is due, and returns why the connection is to end at once; nil: it is not.
func (c *conn) due(now time.Time) error {
	w := &c.watch
	if c.active.Swap(false) {
		w.read, w.pinged = now, time.Time{}
	}
	if c.called.Swap(false) || c.unfinished.Load() > 0 || len(c.streams) > 0 {
		w.call = now
	}
	switch {
	case !c.writing:
		w.written = time.Time{}
	case w.written.IsZero() || w.writes != c.writes:
		w.written, w.writes = now, c.writes
	case now.Sub(w.written) >= c.o.WriteTimeout:
		return errStuck
	}
	switch {
	case !w.pinged.IsZero() && now.Sub(w.pinged) >= c.o.PingTimeout:
		return errSilent
	case w.pinged.IsZero() && now.Sub(w.read) >= c.o.PingAfter:
		c.out = appendPing(c.out, 0, make([]byte, 8))
		w.pinged = now
	}
	age := now.Sub(w.began)
	switch {
	case w.age > 0 && c.o.MaxAgeGrace > 0 && age >= w.age+c.o.MaxAgeGrace:
		return errOld
	case w.age > 0 && age >= w.age, c.o.MaxIdle > 0 && now.Sub(w.call) >= c.o.MaxIdle:
		c.firstGoAway()
	}
	if c.draining == drainFirst && now.Sub(w.drained) >= drainPatience {
		c.lastGoAway()
		c.poke()
	}
	return nil
}
