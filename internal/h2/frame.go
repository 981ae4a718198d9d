package h2

import (
	"encoding/binary"
	"fmt"
)

// Frames, RFC 9113 section 4.1: length (3 bytes), type, flags, stream identifier.
const (
	frameHeaderSize = 9
	// maxFrameSize is what a client may send in one frame: the value that every peer must
	// take (section 4.2), which no SETTINGS frame of ours raises.
	maxFrameSize = 16384
	maxWindow    = 1<<31 - 1 // section 6.9.1
	maxStreamID  = 1<<31 - 1

	// initialWindow and initialTable are what holds until SETTINGS say otherwise.
	initialWindow = 65535
	initialTable  = 4096
)

type frameType uint8

const (
	frameData frameType = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePushPromise
	framePing
	frameGoAway
	frameWindowUpdate
	frameContinuation
)

const (
	flagEndStream  = 0x01 // of DATA and HEADERS
	flagAck        = 0x01 // of SETTINGS and PING
	flagEndHeaders = 0x04
	flagPadded     = 0x08
	flagPriority   = 0x20
)

const (
	settingTableSize     = 1
	settingEnablePush    = 2
	settingMaxStreams    = 3
	settingInitialWindow = 4
	settingMaxFrameSize  = 5
	settingMaxHeaderList = 6
)

// A code is one of the error codes of section 7.
type code uint32

const (
	codeNo              code = 0x0
	codeProtocol        code = 0x1
	codeInternal        code = 0x2
	codeFlowControl     code = 0x3
	codeStreamClosed    code = 0x5
	codeFrameSize       code = 0x6
	codeRefusedStream   code = 0x7
	codeCancel          code = 0x8
	codeCompression     code = 0x9
	codeEnhanceYourCalm code = 0xb
)

// A connError ends a connection with a GOAWAY frame.
type connError struct {
	code code
	why  string
}

func (e connError) Error() string { return fmt.Sprintf("%s (HTTP/2 error %d)", e.why, e.code) }

func appendFrame(b []byte, length int, t frameType, flags byte, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(t), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendReset(b []byte, stream uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, frameReset, 0, stream), uint32(c))
}

func appendWindowUpdate(b []byte, stream uint32, increment int) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, frameWindowUpdate, 0, stream), uint32(increment))
}

func appendGoAway(b []byte, last uint32, c code, debug string) []byte {
	b = appendFrame(b, 8+len(debug), frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(c))
	return append(b, debug...)
}

func appendPing(b []byte, flags byte, data []byte) []byte {
	return append(appendFrame(b, 8, framePing, flags, 0), data...)
}

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

// unpad returns what is left of a padded frame's payload without its padding (section 6.1).
func unpad(p []byte, flags byte) ([]byte, bool) {
	if flags&flagPadded == 0 {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
