package h2_test

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

func window(n uint32) http2.Setting { return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n} }

func TestAnAnswerWaitsForTheStreamsWindow(t *testing.T) {
	c := start(t, settings(&checks{})).connect(t, window(0))
	c.ask(1, "ask")
	c.want("1 headers :status=200 content-type=application/grpc")
	c.must(c.framer.WriteWindowUpdate(1, 3))
	c.want(`1 data "\x00\x00\x00"`)
	c.must(c.framer.WriteWindowUpdate(1, 100))
	c.want(`1 data "\x00\x04ask!"`, "1 headers grpc-status=0 end")

	// Updates that come before the answer count as well.
	c.headers(3, false, usual...)
	c.must(c.framer.WriteWindowUpdate(3, 9))
	c.data(3, true, message("ask"))
	c.wantAnswer(3, "ask!")

	// And so does a change of the setting, up and down.
	c.ask(5, "ask")
	c.want("5 headers :status=200 content-type=application/grpc")
	c.must(c.framer.WriteSettings(window(4)))
	c.want(`5 data "\x00\x00\x00\x00"`)
	c.must(c.framer.WriteSettings(window(1)))
	c.must(c.framer.WriteWindowUpdate(5, 4))
	c.want(`5 data "\x04"`)
	c.must(c.framer.WriteWindowUpdate(5, 4))
	c.want(`5 data "ask!"`, "5 headers grpc-status=0 end")
}

func TestAnswersWaitForTheConnectionsWindowInTheirOrder(t *testing.T) {
	c := start(t, settings(&checks{})).connect(t)
	// 65535 bytes are one large answer and a part of the second.
	c.ask(1, "large")
	c.ask(3, "large")
	c.ask(5, "ask")
	c.want("1 headers :status=200 content-type=application/grpc", "1 data of 16384", "1 data of 16384", "1 data of 7237", "1 headers grpc-status=0 end")
	c.want("3 headers :status=200 content-type=application/grpc", "3 data of 16384", "3 data of 9146")
	c.want("5 headers :status=200 content-type=application/grpc")
	c.must(c.framer.WriteWindowUpdate(0, 14_475))
	c.want("3 data of 14475", "3 headers grpc-status=0 end")
	c.must(c.framer.WriteWindowUpdate(0, 9))
	c.want(fmt.Sprintf("5 data %q", message("ask!")), "5 headers grpc-status=0 end")
}

func TestFramesAreAsLargeAsTheClientTakesThem(t *testing.T) {
	c := start(t, settings(&checks{})).connect(t, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 30_000})
	c.ask(1, "large")
	c.want("1 headers :status=200 content-type=application/grpc", "1 data of 30000", "1 data of 10005", "1 headers grpc-status=0 end")
}

func TestAWaitingAnswerThatIsResetIsForgotten(t *testing.T) {
	o := settings(&checks{})
	o.MaxConcurrentStreams = 2
	c := start(t, o).connect(t, window(0))
	for stream := uint32(1); stream < 40; stream += 6 {
		c.ask(stream, "ask")
		c.want(fmt.Sprintf("%d headers :status=200 content-type=application/grpc", stream))
		c.ask(stream+2, "ask")
		c.want(fmt.Sprintf("%d headers :status=200 content-type=application/grpc", stream+2))
		c.headers(stream+4, true, usual...)
		c.want(fmt.Sprintf("%d reset REFUSED_STREAM", stream+4))
		c.must(c.framer.WriteRSTStream(stream, http2.ErrCodeCancel))
		c.must(c.framer.WriteWindowUpdate(stream+2, 100))
		c.want(fmt.Sprintf("%d data %q", stream+2, message("ask!")), fmt.Sprintf("%d headers grpc-status=0 end", stream+2))
	}
}

// The client's table of headers may be of any size, and may change.
func TestAnswersFitTheClientsTable(t *testing.T) {
	for _, sizes := range [][]uint32{{0}, {64}, {103}, {104}, {200}, {1 << 20}, {200, 0}, {0, 4096}, {4096, 110, 4096}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			c := start(t, settings(&checks{})).connect(t)
			c.ask(1, "ask")
			c.wantAnswer(1, "ask!")
			stream := uint32(3)
			for _, size := range sizes {
				// From here on the client's decoder is as strict as its setting.
				c.framer.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(size)
				c.framer.ReadMetaHeaders.SetMaxDynamicTableSize(min(size, 4096))
				c.must(c.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size}))
				for range 3 {
					c.ask(stream, "ask")
					c.wantAnswer(stream, "ask!")
					stream += 2
				}
			}
		})
	}
}
