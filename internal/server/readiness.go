package server

import "fmt"

// Readiness says whether a process can answer. The zero value is NotReady.
type Readiness uint8

// The three states.
const (
	// NotReady: there is nothing to decide on; every question is denied.
	NotReady Readiness = iota
	// Degraded: questions are answered from what is held, but the source of changes is
	// lost or delivers what cannot be applied.
	Degraded
	// Ready: questions are answered from the newest data.
	Ready
)

// Serving tells whether callers should be sent here: yes, unless it is NotReady.
func (r Readiness) Serving() bool { return r == Degraded || r == Ready }

// String returns "not ready", "degraded" or "ready".
func (r Readiness) String() string {
	switch r {
	case NotReady:
		return "not ready"
	case Degraded:
		return "degraded"
	case Ready:
		return "ready"
	default:
		return fmt.Sprintf("readiness %d", uint8(r))
	}
}

// MarshalText returns "not_ready", "degraded" or "ready"; a value out of range is
// "not_ready".
func (r Readiness) MarshalText() ([]byte, error) {
	switch r {
	case Ready:
		return []byte("ready"), nil
	case Degraded:
		return []byte("degraded"), nil
	default:
		return []byte("not_ready"), nil
	}
}

// UnmarshalText reads what MarshalText writes and refuses any other text.
func (r *Readiness) UnmarshalText(text []byte) error {
	switch string(text) {
	case "ready":
		*r = Ready
	case "degraded":
		*r = Degraded
	case "not_ready":
		*r = NotReady
	default:
		return fmt.Errorf("unknown readiness %q: want ready, degraded or not_ready", text)
	}
	return nil
}
