package ops

import (
	"fmt"
	"time"

	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Status is the state of a process, as /status shows it and `pathgrant status` reads
// it. The zero Status is not ready.
type Status struct {
	Readiness server.Readiness `json:"readiness"`
	// Detail says why the process is not ready, or degraded; empty when it is ready.
	Detail    string         `json:"detail,omitempty"`
	Version   string         `json:"version"`
	StartTime time.Time      `json:"start_time"`
	Listeners []string       `json:"listeners"`
	Snapshot  SnapshotStatus `json:"snapshot"`
	Source    SourceStatus   `json:"source"`
	Cache     CacheStatus    `json:"cache"`
	Identity  IdentityStatus `json:"identity"`
	// DecisionLog counts entries of the decision log.
	DecisionLog DecisionLogStatus `json:"decision_log"`
	// Certificates are the TLS certificates; nil without TLS.
	Certificates *CertificateStatus `json:"certificates,omitempty"`
	// Administration is the state of administration; nil where it is switched off.
	Administration *AdministrationStatus `json:"administration,omitempty"`
}

// AdministrationStatus is the state of administration.
type AdministrationStatus struct {
	Listener string `json:"listener"`
	// Writable says that changes are accepted: no file is the record.
	Writable bool `json:"writable"`
	// WrongSecrets counts wrong operator's secrets since the start.
	WrongSecrets uint64 `json:"wrong_secrets"`
	// Keys are the key sets that callers' tokens are verified with.
	Keys []KeySetStatus `json:"keys,omitempty"`
	// BreakGlass are the break-glass assignments that have not ended, and BreakGlassError
	// says why they could not be read.
	BreakGlass      []BreakGlassStatus `json:"break_glass,omitempty"`
	BreakGlassError string             `json:"break_glass_error,omitempty"`
}

// BreakGlassStatus is one break-glass assignment.
type BreakGlassStatus struct {
	Tenant           string    `json:"tenant"`
	PrincipalType    string    `json:"principal_type"`
	Principal        string    `json:"principal"`
	RoleDefinitionID string    `json:"role_definition_id"`
	Expires          time.Time `json:"expires_time"`
	Justification    string    `json:"justification"`
}

// SnapshotStatus is what decisions are taken on.
type SnapshotStatus struct {
	Revision authz.Revision `json:"revision"`
	// Proved is when the last read began that showed the snapshot to be the newest; zero:
	// never. The snapshot's age runs from there.
	Proved time.Time `json:"proved_time,omitzero"`
	// Quarantined counts data files set aside as damaged.
	Quarantined uint64 `json:"quarantined"`
}

// SourceStatus is where changes come from.
type SourceStatus struct {
	// Name is "local", "file" or another source's name.
	Name    string `json:"name"`
	Healthy bool   `json:"healthy"`
	// Error is what is wrong, with file and line where there is one.
	Error string `json:"error,omitempty"`
	// Since is when it became healthy or unhealthy.
	Since time.Time `json:"since_time,omitzero"`
	// LastSuccess is when it was last read without error; zero: never.
	LastSuccess time.Time `json:"last_success_time,omitzero"`
	// Errors counts what went wrong since the start.
	Errors uint64 `json:"errors"`
}

// CacheStatus counts the use of the snapshot's cache.
type CacheStatus struct {
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Dropped uint64 `json:"dropped"`
	Bytes   uint64 `json:"bytes"`
	// Alarms counts what was found to differ from the snapshot; after the first the cache is
	// off.
	Alarms uint64 `json:"alarms"`
}

// IdentityStatus counts the use of the cache of verified tokens, and shows the key sets.
type IdentityStatus struct {
	Hits   uint64         `json:"hits"`
	Misses uint64         `json:"misses"`
	Keys   []KeySetStatus `json:"keys,omitempty"`
}

// KeySetStatus is the state of one issuer's keys.
type KeySetStatus struct {
	Issuer string    `json:"issuer"`
	Loaded time.Time `json:"loaded_time,omitzero"`
	Error  string    `json:"error,omitempty"`
}

// DecisionLogStatus counts entries of the decision log.
type DecisionLogStatus struct {
	Written uint64 `json:"written"`
	Dropped uint64 `json:"dropped"`
	Failed  uint64 `json:"failed"`
}

// CertificateStatus is the state of the TLS certificates.
type CertificateStatus struct {
	NotAfter time.Time `json:"not_after_time"`
	// Error is what is wrong with the files on disk; those read before stay in force.
	Error string `json:"error,omitempty"`
}

// Summary is one line: "ready", or "degraded: " or "not ready: " and the detail.
func (s Status) Summary() string {
	if s.Readiness == server.Ready || s.Detail == "" {
		return s.Readiness.String()
	}
	return fmt.Sprintf("%s: %s", s.Readiness, s.Detail)
}
