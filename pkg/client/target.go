package client

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A target is where a server listens.
type target struct {
	dial  string // as grpc wants it
	local bool   // does not leave the machine
	unix  bool
}

func parseTarget(text string) (target, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !strings.HasPrefix(path, "/") || path == "/" {
			return target{}, fmt.Errorf("target %q: want unix:///path with the whole path", text)
		}
		return target{dial: text, local: true, unix: true}, nil
	}
	address := strings.TrimPrefix(text, "tcp://")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(host, "/?#@") {
		return target{}, fmt.Errorf("target %q: want host:port, tcp://host:port or unix:///path", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return target{}, fmt.Errorf("target %q: %q is no port", text, port)
	}
	ip, err := netip.ParseAddr(host)
	return target{
		dial:  "dns:///" + address,
		local: strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback(),
	}, nil
}
