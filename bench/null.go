package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

// A null server answers every call alike without looking at it, and does as little as
// HTTP/2 allows. What the load reaches with it, it can reach at most; what others reach
// that comes near is limited by the load.

// listen listens at tcp://host:port or unix:///path.
func listen(ctx context.Context, address string) (net.Listener, error) {
	network, at, ok := strings.Cut(address, "://")
	if !ok || network != "tcp" && network != "unix" {
		return nil, fmt.Errorf("address %q: want tcp://host:port or unix:///path", address)
	}
	return new(net.ListenConfig).Listen(ctx, network, at)
}

// serveNull serves until the context or the input ends.
func serveNull(ctx context.Context, address string, input io.Reader) error {
	l, err := listen(ctx, address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	go func() {
		_, _ = io.Copy(io.Discard, input) // whatever ends it, it has ended
		_ = l.Close()
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_ = answerAlike(conn) // the client sees that the connection ended
		}()
	}
}

// allowing is a CheckResponse with an empty status and an ok_response that takes a header
// away, in its gRPC prefix.
var allowing = append([]byte{0, 0, 0, 0, 7}, 0x0A, 0, 0x1A, 3, 0x2A, 1, 'x')

func answerAlike(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 256<<10)
	var out bytes.Buffer
	framer := http2.NewFramer(&out, in)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(in, preface); err != nil {
		return err
	}
	head, tail := literals(":status", "200", "content-type", "application/grpc"), literals("grpc-status", "0")
	received := 0
	for {
		var frame [9]byte
		if in.Buffered() < len(frame) && out.Len() > 0 {
			if _, err := out.WriteTo(conn); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(in, frame[:]); err != nil {
			return err
		}
		size := int(frame[0])<<16 | int(frame[1])<<8 | int(frame[2])
		kind, flags := http2.FrameType(frame[3]), http2.Flags(frame[4])
		if _, err := in.Discard(size); err != nil {
			return err
		}
		var err error
		switch {
		case kind == http2.FrameSettings && !flags.Has(http2.FlagSettingsAck):
			err = framer.WriteSettingsAck()
		case kind == http2.FrameData:
			stream := uint32(frame[5])<<24 | uint32(frame[6])<<16 | uint32(frame[7])<<8 | uint32(frame[8])
			if received += size; received > 16<<10 {
				err = framer.WriteWindowUpdate(0, uint32(received))
				received = 0
			}
			err = errors.Join(err,
				framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndHeaders: true}),
				framer.WriteData(stream, false, allowing),
				framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: tail, EndHeaders: true, EndStream: true}))
		}
		if err != nil {
			return err
		}
	}
}

// literals encodes fields, names and values in turn, so that they need no table.
func literals(fields ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		// A sensitive field is never put into a table; and a buffer does not fail.
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true})
	}
	return block.Bytes()
}

// connected is ready when somebody listens.
func connected(ctx context.Context, network, address string) func() error {
	return func() error {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) { return pgtest.FreeAddress() }
