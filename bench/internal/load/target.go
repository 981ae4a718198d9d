package load

import (
	"crypto/tls"
	"errors"

	"golang.org/x/net/http2/hpack"
)

// A Field is a header field.
type Field struct{ Name, Value string }

// A Request is one that was encoded beforehand, for it costs the client least so.
type Request struct {
	// Block is the header block. First, unless nil, stands in its place when the request
	// is a connection's first: it fills the table that all Blocks refer to.
	Block, First []byte
	// Body follows the headers; without one they end the request.
	Body []byte
}

// A Target is a server and what to ask it. It may be used concurrently while nobody
// changes it.
type Target struct {
	// Network is "tcp" or "unix", Address what belongs to it.
	Network, Address string
	// TLS, unless nil, is spoken on top.
	TLS *tls.Config
	// Spin has the client look for answers all the time instead of sleeping until there is
	// one, so that neither it nor the server pays for waking it up. It takes a CPU.
	Spin bool
	// Requests are sent in turn.
	Requests []Request
	// Verify looks at the answer to the request of that number. The answer is only good
	// until it returns.
	Verify func(request int, answer *Answer) error
}

// An Answer is what a server said. Fields that it did not send are empty.
type Answer struct {
	Status      string // :status
	GRPCStatus  string // grpc-status
	GRPCMessage string // grpc-message, as it was sent
	Body        []byte
}

// CallTimeout is what each gRPC call says. Envoy says a quarter of a second; but a machine
// that is busy with something else for so long is no reason to end a run.
const CallTimeout = "10S"

// GRPC encodes messages as unary calls of a method such as /package.Service/Method, with
// the headers that Envoy sends.
func GRPC(method string, messages [][]byte) ([]Request, error) {
	fields := []Field{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", method},
		{":authority", "pathgrant"},
		{"te", "trailers"},
		{"grpc-timeout", CallTimeout},
		{"content-type", "application/grpc"},
		{"x-envoy-internal", "true"},
		{"x-forwarded-for", "10.12.8.3"},
	}
	var encoder blockEncoder
	encoder.to = hpack.NewEncoder(&encoder)
	first := encoder.encode(fields)
	block := encoder.encode(fields)
	if string(encoder.encode(fields)) != string(block) {
		return nil, errors.New("the header block of a call does not settle")
	}
	requests := make([]Request, len(messages))
	for i, m := range messages {
		n := len(m)
		if n > maxBody-grpcPrefix {
			return nil, errors.New("a message is too large for one frame")
		}
		body := append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, m...)
		requests[i] = Request{First: first, Block: block, Body: body}
	}
	return requests, nil
}

// HTTP encodes requests without bodies, each from its header fields. Nothing goes into
// the server's table, so that the blocks stand by themselves.
func HTTP(headers [][]Field) []Request {
	var encoder blockEncoder
	encoder.to = hpack.NewEncoder(&encoder)
	encoder.to.SetMaxDynamicTableSizeLimit(0)
	encoder.encode([]Field{{"x", "x"}}) // says that the table is empty, which it is anyway
	requests := make([]Request, len(headers))
	for i, fields := range headers {
		requests[i] = Request{Block: encoder.encode(fields)}
	}
	return requests
}

// Message returns the message in the body of a gRPC answer.
func (a *Answer) Message() ([]byte, error) {
	b := a.Body
	if len(b) < grpcPrefix || b[0] != 0 || int(b[1])<<24|int(b[2])<<16|int(b[3])<<8|int(b[4]) != len(b)-grpcPrefix {
		return nil, errors.New("the answer is not one whole message")
	}
	return b[grpcPrefix:], nil
}

// grpcPrefix is the length of what stands before a message.
const grpcPrefix = 5

// blockEncoder collects one header block at a time.
type blockEncoder struct {
	to    *hpack.Encoder
	block []byte
}

// Write implements io.Writer.
func (e *blockEncoder) Write(b []byte) (int, error) {
	e.block = append(e.block, b...)
	return len(b), nil
}

func (e *blockEncoder) encode(fields []Field) []byte {
	e.block = nil
	for _, f := range fields {
		// The writer is the one above, which does not fail.
		_ = e.to.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	return e.block
}
