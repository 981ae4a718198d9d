package server

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocketPath is what a unix socket's path may be long: the kernel's limit is 107
// bytes, and a socket is made under a temporary name beside its own (see listenUnix).
const maxSocketPath = 107 - len(temporarySuffix) - 8

// An Address is a place to listen on. The zero Address is none.
type Address struct {
	// Network is "tcp" or "unix".
	Network string
	// Address is host:port, or the path of a socket; a path that begins with @ names an
	// abstract socket, which is not in the file system and has no mode.
	Address string
}

// ParseAddress reads tcp://host:port or plain host:port, unix:///path, or unix://@name
// for an abstract socket. TLS is a setting of its own, not part of an address.
func ParseAddress(text string) (Address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		if strings.Contains(text, ":") && !strings.Contains(text, "/") {
			return parseTCP(text, text)
		}
		return Address{}, fmt.Errorf("%q is not an address: want tcp://host:port or unix:///path", text)
	}
	switch scheme {
	case "tcp":
		return parseTCP(text, rest)
	case "unix":
		return parseUnix(text, rest)
	case "tls", "https":
		return Address{}, fmt.Errorf("%q: TLS is not part of the address: want tcp://host:port, and the settings tls.cert_file and tls.key_file", text)
	default:
		return Address{}, fmt.Errorf("%q: unknown scheme %q: want tcp or unix", text, scheme)
	}
}

func parseTCP(text, rest string) (Address, error) {
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return Address{}, fmt.Errorf("%q is not an address: want tcp://host:port, with the host of an IPv6 address in brackets", text)
	}
	if strings.ContainsAny(host, "/?#@ \t") {
		return Address{}, fmt.Errorf("%q: %q is not a host name or IP address", text, host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return Address{}, fmt.Errorf("%q: the port %q is not a number from 0 to 65535", text, port)
	}
	return Address{Network: "tcp", Address: rest}, nil
}

func parseUnix(text, path string) (Address, error) {
	switch {
	case strings.ContainsRune(path, 0):
		return Address{}, fmt.Errorf("%q: a socket's path holds no zero byte", text)
	case strings.HasPrefix(path, "@") && len(path) > 1:
		if !abstractSockets {
			return Address{}, fmt.Errorf("%q: abstract sockets exist on Linux only: want unix:///path", text)
		}
	case !strings.HasPrefix(path, "/"):
		return Address{}, fmt.Errorf("%q: a socket's path must be absolute: want unix:///path, with three slashes", text)
	case strings.HasSuffix(path, "/"):
		return Address{}, fmt.Errorf("%q: a socket's path must not end with a slash", text)
	default:
		path = filepath.Clean(path)
	}
	if len(path) > maxSocketPath {
		return Address{}, fmt.Errorf("%q: the socket's path is %d bytes long: want at most %d", text, len(path), maxSocketPath)
	}
	return Address{Network: "unix", Address: path}, nil
}

// String returns the address as [ParseAddress] reads it.
func (a Address) String() string { return a.Network + "://" + a.Address }

// Local tells whether only processes of this machine, or of this pod, can reach the
// address: a socket, or a loopback IP address, or "localhost". Any other host name may
// mean anything, and counts as not local.
func (a Address) Local() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.Address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// MarshalText returns the address as [ParseAddress] reads it.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an address as [ParseAddress] does.
func (a *Address) UnmarshalText(text []byte) error {
	parsed, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
