package config_test

import (
	"encoding"
	"testing"

	"github.com/pathgrant/pathgrant/internal/config"
)

func TestValuesAreReadAndWritten(t *testing.T) {
	type value interface {
		encoding.TextMarshaler
		encoding.TextUnmarshaler
	}
	read := func(v value, text, want string) {
		t.Helper()
		if err := v.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%T reads %q: %v", v, text, err)
			return
		}
		if got, err := v.MarshalText(); err != nil || string(got) != want {
			t.Errorf("%T reads %q and writes %q, %v; want %q", v, text, got, err, want)
		}
	}
	refuse := func(v value, texts ...string) {
		t.Helper()
		before, _ := v.MarshalText()
		for _, text := range texts {
			if err := v.UnmarshalText([]byte(text)); err == nil {
				t.Errorf("%T reads %q", v, text)
			}
			if after, _ := v.MarshalText(); string(after) != string(before) {
				t.Errorf("%T refuses %q, and is changed by it to %q", v, text, after)
			}
		}
	}

	read(new(config.Size), "0", "0")
	read(new(config.Size), "1000", "1000")
	read(new(config.Size), "1024", "1KiB")
	read(new(config.Size), "64MiB", "64MiB")
	read(new(config.Size), "64 MiB", "64MiB")
	read(new(config.Size), "2048MiB", "2GiB")
	read(new(config.Size), "1TiB", "1TiB")
	refuse(new(config.Size), "", "MiB", "-1", "1.5GiB", "64MB", "64M", "0x10", "9223372036854775808", "9000000TiB", "8388608TiB")

	read(new(config.FileMode), "0660", "0660")
	read(new(config.FileMode), "600", "0600")
	read(new(config.FileMode), "0o666", "0666")
	refuse(new(config.FileMode), "", "0888", "rw", "1777", "-1", "0o0o6")

	read(new(config.MaxAge), "unlimited", "unlimited")
	read(new(config.MaxAge), "10m", "10m0s")
	refuse(new(config.MaxAge), "", "0", "0s", "-1s", "10", "off", "Unlimited")

	read(new(config.MemoryLimit), "auto", "auto")
	read(new(config.MemoryLimit), "off", "off")
	read(new(config.MemoryLimit), "512MiB", "512MiB")
	refuse(new(config.MemoryLimit), "", "0", "-1", "90%", "Auto")

	read(new(config.TLSVersion), "1.2", "1.2")
	read(new(config.TLSVersion), "1.3", "1.3")
	refuse(new(config.TLSVersion), "", "1.1", "1", "TLS1.3")

	read(new(config.OptionalAddress), "off", "off")
	read(new(config.OptionalAddress), "127.0.0.1:1", "tcp://127.0.0.1:1")
	read(new(config.OptionalAddress), "unix:///s", "unix:///s")
	refuse(new(config.OptionalAddress), "", "Off", "9192", "http://127.0.0.1:1")

	read(new(config.UnknownScopes), "tenant", "tenant")
	refuse(new(config.UnknownScopes), "", "allow", "Deny")
	read(new(config.DenialDetail), "scope", "scope")
	refuse(new(config.DenialDetail), "", "all")
	read(new(config.DelegatedScopes), "enforce", "enforce")
	refuse(new(config.DelegatedScopes), "", "on")
	read(new(config.LogLevel), "debug", "debug")
	read(new(config.LogLevel), "warn", "warn")
	refuse(new(config.LogLevel), "", "INFO", "warn+1", "loud")
	read(new(config.LogFormat), "text", "text")
	refuse(new(config.LogFormat), "", "logfmt")
}
