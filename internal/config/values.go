package config

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/server"
)

// FileMode is the permission bits of a file, written in octal: 0660.
type FileMode fs.FileMode

// String returns the mode in octal.
func (m FileMode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText returns the mode in octal.
func (m FileMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a mode in octal, with or without a leading 0 or 0o.
func (m *FileMode) UnmarshalText(text []byte) error {
	digits := strings.TrimPrefix(string(text), "0o")
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not a file mode: want octal digits such as 0660", text)
	}
	*m = FileMode(n)
	return nil
}

// OptionalAddress is an address, or "off". The zero value is off.
type OptionalAddress struct{ server.Address }

// Enabled tells whether there is an address.
func (a OptionalAddress) Enabled() bool { return a.Network != "" }

// String returns the address, or "off".
func (a OptionalAddress) String() string {
	if !a.Enabled() {
		return "off"
	}
	return a.Address.String()
}

// MarshalText returns the address, or "off".
func (a OptionalAddress) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an address, or "off".
func (a *OptionalAddress) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = OptionalAddress{}
		return nil
	}
	return a.Address.UnmarshalText(text)
}

// Size is a number of bytes, written as such or with KiB, MiB, GiB or TiB: 64MiB.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String returns the size in the largest unit that it is a whole number of.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns the size in the largest unit that it is a whole number of.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a size. Units of 1000, such as MB, are refused, because people mean
// either by them.
func (s *Size) UnmarshalText(text []byte) error {
	digits, factor := string(text), int64(1)
	for _, u := range sizeUnits {
		if before, ok := strings.CutSuffix(digits, u.name); ok {
			digits, factor = strings.TrimSuffix(before, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/factor {
		return fmt.Errorf("%q is not a size: want a number of bytes, or one with KiB, MiB, GiB or TiB, such as 64MiB", text)
	}
	*s = Size(int64(n) * factor)
	return nil
}

// MaxAge is a duration, or "unlimited". The zero value is not set.
type MaxAge time.Duration

// Unlimited is no limit of age.
const Unlimited MaxAge = -1

// String returns the duration, "unlimited", or nothing when it is not set.
func (m MaxAge) String() string {
	switch {
	case m == 0:
		return ""
	case m < 0:
		return "unlimited"
	default:
		return time.Duration(m).String()
	}
}

// MarshalText returns the duration, "unlimited", or nothing when it is not set.
func (m MaxAge) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a duration above zero, or "unlimited". Zero is refused: it could
// mean no limit as well as no age at all.
func (m *MaxAge) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*m = Unlimited
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not an age: want unlimited, or a duration above zero such as 10m", text)
	}
	*m = MaxAge(d)
	return nil
}

// MemoryLimit is a size, "auto" (nine tenths of the container's limit), or "off". The zero
// value is auto.
type MemoryLimit int64

// MemoryOff is no limit of memory.
const MemoryOff MemoryLimit = -1

// String returns the size, "auto" or "off".
func (m MemoryLimit) String() string {
	switch {
	case m == 0:
		return "auto"
	case m < 0:
		return "off"
	default:
		return Size(m).String()
	}
}

// MarshalText returns the size, "auto" or "off".
func (m MemoryLimit) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a size above zero, "auto" or "off".
func (m *MemoryLimit) UnmarshalText(text []byte) error {
	switch string(text) {
	case "auto":
		*m = 0
		return nil
	case "off":
		*m = MemoryOff
		return nil
	}
	var s Size
	if err := s.UnmarshalText(text); err != nil || s == 0 {
		return fmt.Errorf("%q is not a memory limit: want auto, off, or a size such as 512MiB", text)
	}
	*m = MemoryLimit(s)
	return nil
}

// TLSVersion is the lowest version of TLS that is spoken. The zero value is not set.
type TLSVersion uint16

// The versions.
const (
	TLS12 TLSVersion = tls.VersionTLS12
	TLS13 TLSVersion = tls.VersionTLS13
)

// String returns "1.2" or "1.3".
func (v TLSVersion) String() string {
	switch v {
	case TLS12:
		return "1.2"
	case TLS13:
		return "1.3"
	default:
		return ""
	}
}

// MarshalText returns "1.2" or "1.3".
func (v TLSVersion) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads "1.2" or "1.3".
func (v *TLSVersion) UnmarshalText(text []byte) error {
	switch string(text) {
	case "1.2":
		*v = TLS12
	case "1.3":
		*v = TLS13
	default:
		return fmt.Errorf("%q is not a version of TLS that is served: want 1.2 or 1.3", text)
	}
	return nil
}

// UnknownScopes says what becomes of an environment or group that a tenant does not list.
type UnknownScopes string

// The ways.
const (
	// UnknownScopesDeny refuses it.
	UnknownScopesDeny UnknownScopes = "deny"
	// UnknownScopesTenant makes it a child of the tenant.
	UnknownScopesTenant UnknownScopes = "tenant"
)

// String returns the word.
func (u UnknownScopes) String() string { return string(u) }

// MarshalText returns the word.
func (u UnknownScopes) MarshalText() ([]byte, error) { return []byte(u), nil }

// UnmarshalText reads one of the words.
func (u *UnknownScopes) UnmarshalText(text []byte) error {
	return choose(u, text, UnknownScopesDeny, UnknownScopesTenant)
}

// DenialDetail says how much a denial tells the caller. Other principals' assignments it
// never tells.
type DenialDetail string

// The levels.
const (
	// DenialDetailNone tells nothing but the decision's identifier.
	DenialDetailNone DenialDetail = "none"
	// DenialDetailPermission names the missing permissions.
	DenialDetailPermission DenialDetail = "permission"
	// DenialDetailScope names the scopes too.
	DenialDetailScope DenialDetail = "scope"
)

// String returns the word.
func (d DenialDetail) String() string { return string(d) }

// MarshalText returns the word.
func (d DenialDetail) MarshalText() ([]byte, error) { return []byte(d), nil }

// UnmarshalText reads one of the words.
func (d *DenialDetail) UnmarshalText(text []byte) error {
	return choose(d, text, DenialDetailNone, DenialDetailPermission, DenialDetailScope)
}

// Policy says whether something is refused.
type Policy string

// The policies.
const (
	PolicyDeny  Policy = "deny"
	PolicyAllow Policy = "allow"
)

// String returns the word.
func (p Policy) String() string { return string(p) }

// MarshalText returns the word.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p), nil }

// UnmarshalText reads one of the words.
func (p *Policy) UnmarshalText(text []byte) error { return choose(p, text, PolicyDeny, PolicyAllow) }

// DelegatedScopes says whether a user token's scp is a second gate.
type DelegatedScopes string

// The ways.
const (
	DelegatedScopesOff     DelegatedScopes = "off"
	DelegatedScopesEnforce DelegatedScopes = "enforce"
)

// String returns the word.
func (d DelegatedScopes) String() string { return string(d) }

// MarshalText returns the word.
func (d DelegatedScopes) MarshalText() ([]byte, error) { return []byte(d), nil }

// UnmarshalText reads one of the words.
func (d *DelegatedScopes) UnmarshalText(text []byte) error {
	return choose(d, text, DelegatedScopesOff, DelegatedScopesEnforce)
}

// LogFormat is how log lines are written.
type LogFormat string

// The formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// String returns the word.
func (f LogFormat) String() string { return string(f) }

// MarshalText returns the word.
func (f LogFormat) MarshalText() ([]byte, error) { return []byte(f), nil }

// UnmarshalText reads one of the words.
func (f *LogFormat) UnmarshalText(text []byte) error { return choose(f, text, LogJSON, LogText) }

// LogLevel is the lowest level that is logged. The zero value is info. It is a
// [slog.Leveler].
type LogLevel slog.Level

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Level implements slog.Leveler.
func (l LogLevel) Level() slog.Level { return slog.Level(l) }

// String returns "debug", "info", "warn" or "error".
func (l LogLevel) String() string { return strings.ToLower(l.Level().String()) }

// MarshalText returns "debug", "info", "warn" or "error".
func (l LogLevel) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads one of the words.
func (l *LogLevel) UnmarshalText(text []byte) error {
	level, ok := logLevels[string(text)]
	if !ok {
		return fmt.Errorf("%q is not a level: want debug, info, warn or error", text)
	}
	*l = LogLevel(level)
	return nil
}

// choose stores text if it is one of the words.
func choose[T ~string](into *T, text []byte, words ...T) error {
	if i := slices.Index(words, T(text)); i >= 0 {
		*into = words[i]
		return nil
	}
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	last := len(names) - 1
	return fmt.Errorf("%q is not known: want %s or %s", text, strings.Join(names[:last], ", "), names[last])
}
