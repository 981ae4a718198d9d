package audit

import "fmt"

// A Mode says which decisions the log keeps. The zero value keeps none.
type Mode uint8

// The modes.
const (
	// Off keeps nothing.
	Off Mode = iota
	// Denials keeps every decision that does not allow. It is the default setting: what was
	// refused is what people ask about, and allowed requests are in the proxy's own log.
	Denials
	// All keeps every decision.
	All
)

// String returns "off", "denials" or "all".
func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case Denials:
		return "denials"
	case All:
		return "all"
	default:
		return fmt.Sprintf("mode %d", uint8(m))
	}
}

// MarshalText returns "off", "denials" or "all".
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads "off", "denials" or "all" and refuses any other text.
func (m *Mode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "off":
		*m = Off
	case "denials":
		*m = Denials
	case "all":
		*m = All
	default:
		return fmt.Errorf("unknown decision log %q: want off, denials or all", text)
	}
	return nil
}
