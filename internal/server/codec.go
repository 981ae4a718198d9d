package server

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// A FrameReader is a request that reads itself. ReadFrame must take a reference of its
// own to what it keeps of the data. It can't refuse: an error would be a gRPC error,
// which a proxy may be configured to let pass, so what is wrong with the data is for the
// service to answer.
type FrameReader interface{ ReadFrame(data mem.BufferSlice) }

// A FrameWriter is a response that is written already. Frame is called once; the data is
// freed when it was sent.
type FrameWriter interface{ Frame() mem.BufferSlice }

// Codec returns the codec for protobuf messages that servers use by default: grpc-go's
// own, which lets a [FrameReader] and a [FrameWriter] do its work themselves.
func Codec() encoding.CodecV2 {
	return codec{CodecV2: encoding.GetCodecV2(protocodec.Name)}
}

type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if w, ok := v.(FrameWriter); ok {
		return w.Frame(), nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(FrameReader); ok {
		r.ReadFrame(data)
		return nil
	}
	if err := c.CodecV2.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	return nil
}
