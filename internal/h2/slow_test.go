package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

func TestASlowCallDoesNotHoldUpOthers(t *testing.T) {
	u := &checks{began: make(chan string, 2), release: make(chan struct{})}
	c := start(t, settings(u)).connect(t)
	c.ask(1, "slow one")
	c.ask(3, "slow two")
	<-u.began
	<-u.began
	c.ask(5, "ask")
	c.wantAnswer(5, "ask!")
	u.release <- struct{}{}
	u.release <- struct{}{}
	first := c.next()
	for range 5 {
		c.next()
	}
	c.ask(7, "ask")
	c.wantAnswer(7, "ask!")
	if first != "1 headers :status=200 content-type=application/grpc" && first != "3 headers :status=200 content-type=application/grpc" {
		t.Errorf("the slow calls begin with %q", first)
	}
}

func TestHowASlowCallEnds(t *testing.T) {
	for text, want := range map[string]string{
		"slow error":       "grpc-status=9 grpc-message=not now",
		"slow other error": "grpc-status=2",
		"slow panic":       "grpc-status=13 grpc-message=the call failed",
	} {
		c := start(t, settings(&checks{})).connect(t)
		c.ask(1, text)
		c.want("1 headers :status=200 content-type=application/grpc " + want + " end")
		c.ask(3, "slow")
		c.wantAnswer(3, "slow?")
	}
}

func TestTheContextOfASlowCallEnds(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"with its stream":     func(c *client) { c.must(c.framer.WriteRSTStream(1, http2.ErrCodeCancel)) },
		"with its connection": func(c *client) { c.must(c.conn.Close()) },
		"with its deadline":   nil,
	} {
		u := &checks{began: make(chan string, 1), ended: make(chan error, 1)}
		c := start(t, settings(u)).connect(t)
		fields, want := usual, context.Canceled
		if end == nil {
			fields, want = with("grpc-timeout: 1m"), context.DeadlineExceeded
		}
		c.headers(1, false, fields...)
		c.data(1, true, message("slow until the end"))
		<-u.began
		if end != nil {
			end(c)
		}
		if err := <-u.ended; !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// While a client takes nothing of what it is sent, others are answered; and when it takes it,
// all of it is there.
func TestAClientThatTakesNothingHoldsUpNobody(t *testing.T) {
	const asks, size = 600, 40_000 // more than kernels hold
	o := settings(&checks{})
	o.MaxConcurrentStreams = asks
	r := start(t, o)
	slow, quick := r.connect(t, window(1<<20)), r.connect(t)
	slow.must(slow.framer.WriteWindowUpdate(0, 1<<30))
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for i := range asks {
			slow.ask(uint32(2*i+1), "large") // from some point on, nobody reads it
		}
	}()
	for i := range 500 {
		quick.ask(uint32(2*i+1), "ask")
		quick.wantAnswer(uint32(2*i+1), "ask!")
	}
	slow.wantLarge(asks, size)
	<-asked
}

// wantLarge reads so many answers.
func (c *client) wantLarge(answers, size int) {
	c.Helper()
	received, ended := 0, 0
	for ended < answers {
		f, err := c.framer.ReadFrame()
		c.must(err)
		switch f := f.(type) {
		case *http2.DataFrame:
			received += len(f.Data())
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				ended++
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			c.Fatalf("the server sends %v", f)
		}
	}
	if received != answers*(5+size) {
		c.Errorf("%d bytes came, want %d", received, answers*(5+size))
	}
}

// A client that closes its half of the connection gets the answers to all that it has asked.
func TestAClientThatClosesItsHalfIsAnswered(t *testing.T) {
	const asks, size = 300, 40_000
	o := settings(&checks{})
	o.MaxConcurrentStreams = asks
	c := start(t, o).connectWith(t, 64<<20, window(1<<20))
	c.must(c.framer.WriteWindowUpdate(0, 1<<30))
	for i := range asks {
		c.ask(uint32(2*i+1), "large")
	}
	c.must(c.conn.CloseWrite())
	c.wantLarge(asks, size)
	c.want("end")
}

// A client that resets its calls and begins others is refused while the goroutines of the
// calls that it reset are busy.
func TestCallsThatWereResetCountAsLongAsTheyRun(t *testing.T) {
	u := &checks{began: make(chan string, 9), release: make(chan struct{})}
	o := settings(u)
	o.MaxConcurrentStreams = 3
	c := start(t, o).connect(t)
	stream := uint32(1)
	for range 3 {
		c.ask(stream, "slow")
		<-u.began
		c.must(c.framer.WriteRSTStream(stream, http2.ErrCodeCancel))
		stream += 2
	}
	for range 20 {
		c.ask(stream, "slow")
		c.want(fmt.Sprintf("%d reset REFUSED_STREAM", stream))
		stream += 2
	}
	c.ask(stream, "ask") // needs no goroutine
	c.wantAnswer(stream, "ask!")
	close(u.release)
	if n := len(u.began); n > 0 {
		t.Errorf("%d more were begun", n)
	}
}

func TestMoreCallsThanAgreedAreRefused(t *testing.T) {
	o := settings(&checks{})
	o.MaxConcurrentStreams = 3
	c := start(t, o).connect(t)
	for stream := uint32(1); stream < 9; stream += 2 {
		c.headers(stream, false, usual...) // and no message
	}
	c.want("7 reset REFUSED_STREAM")
	c.data(7, true, message("a")) // was on its way
	c.data(3, true, message("ask"))
	c.wantAnswer(3, "ask!")
	c.ask(9, "ask")
	c.wantAnswer(9, "ask!")
}

// handled is a server whose handler is h.
func handled(t *testing.T, h http.HandlerFunc) *client {
	t.Helper()
	o := settings(&checks{})
	o.Handler = h
	return start(t, o).connect(t)
}

var other = []string{":method: POST", ":scheme: http", ":path: /x?y//z", ":authority: a.example", "x-one: 1", "x-one: 2"}

func TestAHandlerGetsTheRequestAndItsAnswerIsSent(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Declared")
		w.Header().Set("X-Seen", fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.RequestURI, " ", r.Host, " ", r.Header["X-One"], " ", r.ProtoMajor, " ", err))
		w.Header()["X-Bad"] = []string{"a\nb"}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body)
		w.Header().Set("X-Declared", "yes")
	})
	c.headers(1, false, other...)
	c.data(1, false, []byte("one "))
	c.data(1, true, []byte("two"))
	got := c.next()
	for _, want := range []string{"1 headers :status=202", " x-seen=POST /x?y//z /x?y//z a.example [1 2] 2 <nil>", " trailer=X-Declared"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q has no %q", got, want)
		}
	}
	if strings.Contains(got, "x-bad") {
		t.Errorf("a value with a line's end was sent: %q", got)
	}
	c.want(`1 data "one two"`, "1 headers x-declared=yes end")
}

func TestAnAnswerWithoutTrailersOrBody(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Body") != "" {
			_, _ = w.Write([]byte("b"))
		}
	})
	c.headers(1, true, other...)
	c.want("1 headers :status=200", `1 data "" end`)
	c.headers(3, true, append(other, "x-body: 1")...)
	c.want("3 headers :status=200", `3 data "b"`, `3 data "" end`)
}

func TestAnAnswerBeforeTheRequestIsWhole(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	c.headers(1, false, other...)
	c.want("1 headers :status=418", `1 data "" end`, "1 reset NO_ERROR")
	c.data(1, true, []byte("was on its way"))
	c.ask(3, "ask")
	c.wantAnswer(3, "ask!")
}

func TestAHandlerThatPanicsEndsItsStream(t *testing.T) {
	c := handled(t, func(http.ResponseWriter, *http.Request) { panic("as it was told") })
	c.headers(1, true, other...)
	c.want("1 reset INTERNAL_ERROR")
	c.ask(3, "ask")
	c.wantAnswer(3, "ask!")
}

func TestAHandlersContextEndsWithTheStream(t *testing.T) {
	ended, read := make(chan struct{}), make(chan error, 1)
	c := handled(t, func(_ http.ResponseWriter, r *http.Request) {
		defer close(ended)
		<-r.Context().Done()
		_, err := r.Body.Read(make([]byte, 1))
		read <- err
	})
	c.headers(1, false, other...)
	c.must(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
	<-ended
	if err := <-read; err == nil || err == io.EOF { //nolint:errorlint // the very value that readers take for the end
		t.Errorf("the body that was cut off ends with %v", err)
	}
}

func TestHeadersThatAreTooLarge(t *testing.T) {
	c := handled(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was asked") })
	c.headers(1, true, append(other, "x-filler: "+strings.Repeat("x", 16_200))...)
	c.want("1 headers :status=431 end")
	c.ask(3, "ask")
	c.wantAnswer(3, "ask!")
}

// A handler that writes more than the client takes waits for it.
func TestAHandlerWaitsForTheClient(t *testing.T) { inBubble(t, handlerWaits) }

func handlerWaits(t *testing.T) {
	wrote := make(chan int, 1)
	c := handled(t, func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for range 40 {
			part, err := w.Write(make([]byte, 32<<10))
			if n += part; err != nil {
				break
			}
		}
		wrote <- n
	})
	c.headers(1, true, other...)
	c.want("1 headers :status=200")
	for range 4 {
		c.next() // the 65535 bytes that the windows allow
	}
	synctest.Wait()
	if len(wrote) > 0 {
		t.Fatalf("the handler wrote %d bytes that nobody took", <-wrote)
	}
	c.must(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
	if n := <-wrote; n >= 40*32<<10 {
		t.Errorf("the handler wrote all its %d bytes", n)
	}
}

func TestABodyIsFlowControlled(t *testing.T) {
	read := make(chan int)
	o := settings(&checks{})
	o.StreamWindow = 65535
	o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := range read {
			_, _ = io.CopyN(io.Discard, r.Body, int64(n))
		}
	})
	c := start(t, o).connect(t)
	c.headers(1, false, other...)
	for range 3 {
		c.data(1, false, make([]byte, 16384))
	}
	read <- 40_000
	c.want("1 window")
	c.data(1, false, make([]byte, 16384))
	close(read)
	c.want("1 headers :status=200", `1 data "" end`, "1 reset NO_ERROR")
}

func TestABodyBeyondItsWindowEndsTheStream(t *testing.T) {
	o := settings(&checks{})
	o.StreamWindow = 65535
	ended := make(chan error, 1)
	o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	c := start(t, o).connect(t)
	c.headers(1, false, other...)
	for range 4 {
		c.data(1, false, make([]byte, 16384))
	}
	c.want("1 reset FLOW_CONTROL_ERROR")
	if err := <-ended; err == nil {
		t.Error("the handler read the body as if it were whole")
	}
	c.ask(3, "ask")
	c.wantAnswer(3, "ask!")
}

func TestABodyIsBounded(t *testing.T) {
	o := settings(&checks{})
	o.MaxMessageSize = 50_000
	o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := start(t, o).connect(t)
	c.headers(1, false, other...)
	for range 4 {
		c.data(1, false, make([]byte, 16384))
	}
	c.want("1 reset ENHANCE_YOUR_CALM")
}
