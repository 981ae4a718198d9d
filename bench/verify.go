package main

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

// verifyCheck compares the answer to a check with what it must be: GRANTED, or a reason to
// refuse. Only the fields by which a proxy tells the two apart are read, because all of it
// is done beside the load.
func verifyCheck(answer *load.Answer, want string) error {
	if answer.Status != "200" || answer.GRPCStatus != "0" {
		return fmt.Errorf("the call failed with HTTP status %q, gRPC status %q: %s", answer.Status, answer.GRPCStatus, answer.GRPCMessage)
	}
	message, err := answer.Message()
	if err != nil {
		return err
	}
	var code uint64
	var reason []byte
	var hasStatus, refuses, allows bool
	err = fields(message, func(number int32, value []byte, _ uint64) error {
		switch number {
		case 1: // status
			hasStatus = true
			return fields(value, func(number int32, value []byte, varint uint64) error {
				switch number {
				case 1:
					code = varint
				case 2:
					reason = value
				}
				return nil
			})
		case 2:
			refuses = true
		case 3:
			allows = true
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !hasStatus:
		return errors.New("the answer has no status, which means allow")
	case want == granted && (code != uint64(codes.OK) || refuses || !allows),
		want != granted && (code != uint64(codes.PermissionDenied) || !refuses || allows || string(reason) != want):
		return fmt.Errorf("answered with code %d %q, want %s", code, reason, want)
	}
	return nil
}

// verifyProxy compares what a client of a proxy sees with what it must see.
func verifyProxy(answer *load.Answer, want string) error {
	status := "403"
	if want == granted {
		status = "200"
	}
	if answer.Status != status {
		return fmt.Errorf("answered with HTTP status %q and %q, want %s for %s", answer.Status, answer.Body, status, want)
	}
	return nil
}

// fields calls f with each field of a message.
func fields(message []byte, f func(number int32, value []byte, varint uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := f(int32(number), value, varint); err != nil {
			return err
		}
	}
	return nil
}
