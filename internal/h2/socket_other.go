//go:build !linux

package h2

import "net"

// quick returns the connection as it is: only on Linux there is anything to gain.
func quick(nc net.Conn) net.Conn { return nc }
