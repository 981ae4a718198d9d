//go:build !linux

package h2

import "net"

// quick returns the connection as it is: only on Linux there is anything to gain.
func quick(nc net.Conn) net.Conn { return nc }

func poll(nc net.Conn) net.Conn { return nc }

func readEach(nc net.Conn, room func() []byte, take func(n int) (full bool, err error), space func() error) error {
	return readInTurn(nc, room, take, space)
}

func writeAtOnce(nc net.Conn, b []byte) (int, error) { return nc.Write(b) }
