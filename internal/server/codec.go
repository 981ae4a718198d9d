package server

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// CheckRequestName is the message that a [Codec] hands on empty when it cannot read it.
const CheckRequestName protoreflect.FullName = "envoy.service.auth.v3.CheckRequest"

// Codec returns the codec for protobuf messages that servers use by default. It is
// grpc-go's own, with one difference: a CheckRequest of Envoy that cannot be read arrives
// empty instead of failing the call.
//
// A proxy may be configured to let requests pass when the authorization call itself
// fails, so bytes that a client provoked must not fail it; the service denies an empty
// CheckRequest, since it names nothing. Any other message that cannot be read is a gRPC
// error, as usual.
func Codec() encoding.CodecV2 {
	return codec{CodecV2: encoding.GetCodecV2(protocodec.Name)}
}

type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	m, ok := v.(proto.Message)
	if !ok || m.ProtoReflect().Descriptor().FullName() != CheckRequestName {
		return fmt.Errorf("read the request: %w", err)
	}
	proto.Reset(m) // what was read before the damage must not be decided on
	return nil
}
