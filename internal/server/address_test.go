package server_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/server"
)

func TestParseAddressReads(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  server.Address
		local bool
	}{
		{"tcp://127.0.0.1:9191", server.Address{Network: "tcp", Address: "127.0.0.1:9191"}, true},
		{"127.0.0.1:9191", server.Address{Network: "tcp", Address: "127.0.0.1:9191"}, true},
		{"tcp://127.9.9.9:1", server.Address{Network: "tcp", Address: "127.9.9.9:1"}, true},
		{"tcp://[::1]:9191", server.Address{Network: "tcp", Address: "[::1]:9191"}, true},
		{"tcp://[::ffff:127.0.0.1]:9191", server.Address{Network: "tcp", Address: "[::ffff:127.0.0.1]:9191"}, true},
		{"tcp://LocalHost:0", server.Address{Network: "tcp", Address: "LocalHost:0"}, true},
		{"tcp://:9191", server.Address{Network: "tcp", Address: ":9191"}, false},
		{":9191", server.Address{Network: "tcp", Address: ":9191"}, false},
		{"tcp://0.0.0.0:9191", server.Address{Network: "tcp", Address: "0.0.0.0:9191"}, false},
		{"tcp://[::]:9191", server.Address{Network: "tcp", Address: "[::]:9191"}, false},
		{"tcp://10.0.0.7:65535", server.Address{Network: "tcp", Address: "10.0.0.7:65535"}, false},
		{"tcp://127.0.0.1.example.com:80", server.Address{Network: "tcp", Address: "127.0.0.1.example.com:80"}, false},
		{"tcp://localhost.example.com:80", server.Address{Network: "tcp", Address: "localhost.example.com:80"}, false},
		{"unix:///run/pathgrant/grpc.sock", server.Address{Network: "unix", Address: "/run/pathgrant/grpc.sock"}, true},
		{"unix:///run//pathgrant/./grpc.sock", server.Address{Network: "unix", Address: "/run/pathgrant/grpc.sock"}, true},
	} {
		got, err := server.ParseAddress(c.text)
		if err != nil {
			t.Errorf("ParseAddress(%q): %v", c.text, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("ParseAddress(%q) (-want +got):\n%s", c.text, diff)
		}
		if got.Local() != c.local {
			t.Errorf("ParseAddress(%q).Local() = %v, want %v", c.text, got.Local(), c.local)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "want tcp://host:port or unix:///path"},
		{"9191", "want tcp://host:port or unix:///path"},
		{"/run/x.sock", "want tcp://host:port or unix:///path"},
		{"tcp://127.0.0.1", "want tcp://host:port"},
		{"tcp://::1:80", "in brackets"},
		{"tcp://127.0.0.1:", "not a number"},
		{"tcp://127.0.0.1:http", "not a number"},
		{"tcp://127.0.0.1:65536", "not a number"},
		{"tcp://127.0.0.1:-1", "not a number"},
		{"tcp://127.0.0.1:+1", "not a number"},
		{"tcp://127.0.0.1:080", "not a number"},
		{"tcp://user@host:80", "not a host name"},
		{"tcp://host/path:80", "not a host name"},
		{"tls://127.0.0.1:9191", "tls.cert_file"},
		{"https://127.0.0.1:9191", "tls.cert_file"},
		{"http://127.0.0.1:9191", "unknown scheme"},
		{"unix://run/x.sock", "three slashes"},
		{"unix://", "three slashes"},
		{"unix://@", "three slashes"},
		{"unix:///run/", "end with a slash"},
		{"unix:///a\x00b", "zero byte"},
		{"unix:///" + strings.Repeat("x", 107), "108 bytes long"},
	} {
		if got, err := server.ParseAddress(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseAddress(%q) = %v, %v; want an error with %q", c.text, got, err, c.want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("tcp://127.0.0.1:9191")
	f.Add("unix:///run/x.sock")
	f.Add("unix://@x")
	f.Add("tcp://[::1%lo]:1")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := server.ParseAddress(text)
		if err != nil {
			return
		}
		again, err := server.ParseAddress(a.String())
		if err != nil || again != a {
			t.Errorf("ParseAddress(%q) = %v, which reads again as %v, %v", text, a, again, err)
		}
	})
}
