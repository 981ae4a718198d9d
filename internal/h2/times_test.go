package h2_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/pathgrant/pathgrant/internal/h2"
)

// inTime runs a test on a clock of its own.
func inTime(t *testing.T, change func(o *h2.Options), test func(t *testing.T, r *running)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		o := settings(&checks{})
		if change != nil {
			change(&o)
		}
		test(t, start(t, o))
	})
}

// patient takes the deadline off a client's reads.
func (c *client) patient() *client {
	c.Helper()
	c.must(c.conn.SetReadDeadline(time.Time{}))
	return c
}

func TestAClientThatDoesNotBeginIsHungUpOn(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "half a preface": http2.ClientPreface[:9], "no settings": http2.ClientPreface} {
		inTime(t, nil, func(t *testing.T, r *running) {
			began := time.Now()
			c := r.raw(t, 1<<16)
			c.write([]byte(text))
			if _, err := io.ReadAll(c.conn); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("%s: hung up on after %s, want 5s", name, took)
			}
		})
	}
}

func TestASilentClientIsPingedAndThenHungUpOn(t *testing.T) {
	inTime(t, func(o *h2.Options) { o.PingAfter = time.Minute }, func(t *testing.T, r *running) {
		c := r.connect(t).patient()
		c.want(`ping "\x00\x00\x00\x00\x00\x00\x00\x00"`)
		c.must(c.framer.WritePing(true, [8]byte{}))
		synctest.Wait()
		began := time.Now()
		c.want(`ping "\x00\x00\x00\x00\x00\x00\x00\x00"`, "end")
		if took := time.Since(began); took < 80*time.Second || took > 140*time.Second {
			t.Errorf("the client was silent for %s, want a minute, 20s, and what the clock misses", took)
		}
	})
}

func TestAClientThatTakesNothingIsHungUpOn(t *testing.T) {
	inTime(t, nil, func(t *testing.T, r *running) {
		c := r.connectWith(t, 64<<10).patient()
		c.must(c.framer.WriteWindowUpdate(0, 1<<30))
		c.must(c.framer.WriteSettings(window(1 << 30)))
		began := time.Now()
		asked := 0
		for {
			err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*asked + 1), BlockFragment: c.fields(usual...), EndHeaders: true})
			if err == nil {
				err = c.framer.WriteData(uint32(2*asked+1), true, message("large"))
			}
			if err != nil {
				break
			}
			asked++
		}
		if took := time.Since(began); took < 20*time.Second || took > time.Minute {
			t.Errorf("hung up on after %s", took)
		}
		// What may wait to be written, and what one read brings, is 256 KiB each at most;
		// an answer is 40 KB.
		if asked > 4000 {
			t.Errorf("%d calls were taken of a client that takes no answer", asked)
		}
	})
}

func TestAConnectionWithoutCallsGoes(t *testing.T) {
	inTime(t, func(o *h2.Options) { o.MaxIdle = 10 * time.Minute }, func(t *testing.T, r *running) {
		c := r.connect(t).patient()
		time.Sleep(9 * time.Minute)
		c.ask(1, "ask")
		c.wantAnswer(1, "ask!")
		began := time.Now()
		c.want("goaway 2147483647 NO_ERROR", `ping "go away\x00"`)
		if took := time.Since(began); took < 9*time.Minute || took > 20*time.Minute {
			t.Errorf("told to go after %s", took)
		}
		c.must(c.framer.WritePing(true, [8]byte{'g', 'o', ' ', 'a', 'w', 'a', 'y'}))
		c.want("goaway 1 NO_ERROR", "end")
	})
}

func TestAnOldConnectionGoesWithItsCalls(t *testing.T) {
	u := &checks{}
	inTime(t, func(o *h2.Options) {
		o.MaxAge, o.MaxAgeGrace = 30*time.Minute, time.Minute
		o.Unary[checkPath] = u
	}, func(t *testing.T, r *running) {
		began := time.Now()
		c := r.connect(t).patient()
		u.began, u.ended = make(chan string, 1), make(chan error, 1)
		c.ask(1, "slow until the end")
		<-u.began
		c.want("goaway 2147483647 NO_ERROR", `ping "go away\x00"`)
		if age := time.Since(began); age < 27*time.Minute || age > 36*time.Minute {
			t.Errorf("told to go at the age of %s", age)
		}
		c.want("goaway 1 NO_ERROR", "end") // without an acknowledgement, after a while
		if age := time.Since(began); age < 28*time.Minute || age > 38*time.Minute {
			t.Errorf("ended at the age of %s", age)
		}
		if err := <-u.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the call in flight ended with %v", err)
		}
	})
}

func TestPingsThatComeTooOften(t *testing.T) {
	inTime(t, nil, func(t *testing.T, r *running) {
		ping := func(c *client) { c.must(c.framer.WritePing(false, [8]byte{1})) }
		often := r.connect(t).patient()
		ping(often)
		for range 3 {
			time.Sleep(4 * time.Second)
			ping(often)
		}
		often.want("goaway 0 ENHANCE_YOUR_CALM", "end")

		seldom := r.connect(t).patient()
		for range 10 {
			ping(seldom)
			time.Sleep(5 * time.Second)
		}
		seldom.ask(1, "ask")
		seldom.wantAnswer(1, "ask!")

		// Pings that measure the way while there are answers are no keepalive.
		measuring := r.connect(t).patient()
		for stream := uint32(1); stream < 41; stream += 2 {
			ping(measuring)
			measuring.ask(stream, "ask")
			measuring.wantAnswer(stream, "ask!")
		}
	})
}

// TestFloods: frames that serve no call are bounded, however cheap each of them is.
func TestFloods(t *testing.T) {
	for name, test := range map[string]struct {
		before, send func(c *client)
	}{
		"SETTINGS":            {nil, func(c *client) { _ = c.framer.WriteSettings() }},
		"acknowledged PINGs":  {nil, func(c *client) { _ = c.framer.WritePing(true, [8]byte{}) }},
		"PRIORITY":            {nil, func(c *client) { _ = c.framer.WritePriority(1, http2.PriorityParam{}) }},
		"unknown frames":      {nil, func(c *client) { _ = c.framer.WriteRawFrame(0x42, 0, 0, nil) }},
		"empty DATA":          {func(c *client) { c.headers(1, false, usual...) }, func(c *client) { _ = c.framer.WriteData(1, false, nil) }},
		"empty CONTINUATIONs": {func(c *client) { c.frame(http2.FrameHeaders, 0, 1) }, func(c *client) { _ = c.framer.WriteContinuation(1, false, nil) }},
		"RST_STREAM":          {func(c *client) { c.ask(1, "ask") }, func(c *client) { _ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel) }},
		"DATA on a closed stream": {func(c *client) { c.ask(1, "ask") }, func(c *client) {
			_ = c.framer.WriteData(1, false, []byte("x"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := settings(&checks{})
			c := start(t, o).connect(t)
			if test.before != nil {
				test.before(c)
			}
			for range 2000 {
				test.send(c) // may fail when it was hung up on
			}
			for {
				switch got := c.next(); {
				case got == "goaway 0 ENHANCE_YOUR_CALM" || got == "goaway 1 ENHANCE_YOUR_CALM":
					return
				case got == "end":
					t.Fatalf("the connection ended without a reason: %q", c.got)
				}
			}
		})
	}
}

// Calls that are made and taken back at once, as in CVE-2023-44487: what was answered at
// once cost nothing, and no goroutine is left behind.
func TestRapidReset(t *testing.T) {
	c := start(t, settings(&checks{})).connectWith(t, 64<<20)
	for i := range uint32(20_000) {
		c.ask(2*i+1, "ask")
		c.must(c.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
	}
	c.must(c.framer.WriteWindowUpdate(0, 1<<20))
	c.ask(50_001, "ask")
	for {
		if got := c.next(); strings.HasPrefix(got, "50001 headers grpc-status=0") {
			break
		} else if strings.HasPrefix(got, "goaway") {
			return
		}
	}
}

func TestDrainAnswersWhatIsOnItsWay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u := &checks{began: make(chan string, 1), release: make(chan struct{})}
		r := start(t, settings(u))
		c := r.connect(t).patient()
		c.ask(1, "slow")
		<-u.began
		c.headers(3, false, usual...) // its message comes later
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- r.Drain(t.Context()) }()
		c.want("goaway 2147483647 NO_ERROR", `ping "go away\x00"`)
		if _, ok := r.listener.dial(1); ok {
			t.Error("another connection is accepted")
		}
		c.ask(5, "ask") // before the client could have read that
		c.wantAnswer(5, "ask!")
		c.must(c.framer.WritePing(true, [8]byte{'g', 'o', ' ', 'a', 'w', 'a', 'y'}))
		c.want("goaway 5 NO_ERROR")
		c.ask(7, "ask") // is not begun, as the client knows
		c.data(3, true, message("ask"))
		c.wantAnswer(3, "ask!")
		synctest.Wait()
		if len(drained) > 0 {
			t.Error("drained with a call in flight")
		}
		close(u.release)
		c.wantAnswer(1, "slow?")
		c.want("end")
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		u := &checks{began: make(chan string, 1), ended: make(chan error, 1)}
		r := start(t, settings(u))
		c := r.connect(t).patient()
		c.ask(1, "slow until the end")
		<-u.began
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: %v", err)
		}
		r.Stop()
		if err := <-u.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the call in flight ended with %v", err)
		}
		if err := <-r.served; err != nil {
			t.Error(err)
		}
		r.served <- nil
		at := newMemListener()
		if err := r.Serve(at); err != nil {
			t.Errorf("Serve after the end: %v", err)
		}
		if _, err := at.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error("it did not close its listener")
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := settings(&checks{})
		o.MaxConnections = 2
		r := start(t, o)
		first, _ := r.connect(t), r.connect(t)
		third := make(chan *client, 1)
		go func() { third <- r.connect(t) }()
		synctest.Wait()
		if len(third) > 0 {
			t.Fatal("a third connection is accepted")
		}
		first.must(first.conn.Close())
		c := <-third
		c.ask(1, "ask")
		c.wantAnswer(1, "ask!")
	})
}
