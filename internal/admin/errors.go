package admin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Kind is what is wrong with a call. It is a closed set, which adapters translate into
// the codes of their protocols. The zero Kind is a fault of our own.
type Kind uint8

// The kinds of error.
const (
	// Internal is a fault of our own; the log says which.
	Internal Kind = iota
	// Unavailable says that there is no snapshot to read or to change.
	Unavailable
	// ReadOnlySource says that something else, such as a file, is the record.
	ReadOnlySource
	// Unauthenticated says that the caller is nobody, or that a secret is wrong.
	Unauthenticated
	// Throttled says that too many wrong secrets were tried.
	Throttled
	// OperatorRequired says that only an operator may do it.
	OperatorRequired
	// CrossTenant says that the request names a tenant that is not the caller's.
	CrossTenant
	// Forbidden says that the caller lacks a permission; Missing names it.
	Forbidden
	// SelfEscalation says that the caller, or what it belongs to or owns, would gain.
	SelfEscalation
	// Escalation says that somebody would get what the caller does not hold.
	Escalation
	// BeneathDeny says that an ALLOW would undercut a DENY at whose scope the caller may
	// not assign.
	BeneathDeny
	// LastAdministrator says that the tenant would be left without an administrator.
	LastAdministrator
	// Invalid says that a field cannot be what it is.
	Invalid
	// NotFound says that there is no such thing.
	NotFound
	// ScopeUnknown says that a scope names an environment, an environment group or a
	// business unit that the tenant does not list.
	ScopeUnknown
	// RoleUnknown says that there is no such role definition.
	RoleUnknown
	// PrincipalUnknown says that the directory is complete and does not list the principal.
	PrincipalUnknown
	// PrincipalDisabled says that a role would be assigned to a disabled principal.
	PrincipalDisabled
	// NotAssignable says that the role may not be assigned at the scope.
	NotAssignable
	// Duplicate says that it exists already.
	Duplicate
	// InUse says that something still depends on what would be removed or changed.
	InUse
	// Immutable says that it comes with the product and cannot be changed.
	Immutable
	// Circle says that groups or business units would lie in each other in a circle.
	Circle
	// EtagRequired says that an edit must say which state it edits.
	EtagRequired
	// EtagMismatch says that it has been changed since.
	EtagMismatch
	// RequestIDReused says that another request was sent with the same request id.
	RequestIDReused
	// NotEmpty says that the store holds assignments already, so it cannot be bootstrapped.
	NotEmpty
	// Compacted says that the changes since a revision are no longer known: read the whole.
	Compacted
	kindCount
)

var kindNames = [kindCount]string{
	Internal: "INTERNAL", Unavailable: "UNAVAILABLE", ReadOnlySource: "READ_ONLY_SOURCE", Unauthenticated: "UNAUTHENTICATED",
	Throttled: "THROTTLED", OperatorRequired: "OPERATOR_REQUIRED", CrossTenant: "CROSS_TENANT", Forbidden: "FORBIDDEN",
	SelfEscalation: "SELF_ESCALATION", Escalation: "ESCALATION", BeneathDeny: "BENEATH_DENY", LastAdministrator: "LAST_ADMINISTRATOR",
	Invalid: "INVALID", NotFound: "NOT_FOUND", ScopeUnknown: "SCOPE_UNKNOWN", RoleUnknown: "ROLE_UNKNOWN",
	PrincipalUnknown: "PRINCIPAL_UNKNOWN", PrincipalDisabled: "PRINCIPAL_DISABLED", NotAssignable: "NOT_ASSIGNABLE",
	Duplicate: "DUPLICATE", InUse: "IN_USE", Immutable: "IMMUTABLE", Circle: "CIRCLE", EtagRequired: "ETAG_REQUIRED",
	EtagMismatch: "ETAG_MISMATCH", RequestIDReused: "REQUEST_ID_REUSED", NotEmpty: "NOT_EMPTY", Compacted: "COMPACTED",
}

// Kinds returns every kind, in a fixed order.
func Kinds() []Kind {
	all := make([]Kind, 0, kindCount)
	for k := range kindCount {
		all = append(all, k)
	}
	return all
}

// String returns the kind's name, such as SELF_ESCALATION.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return fmt.Sprintf("KIND_%d", uint8(k))
}

// An Error is what every call of this package fails with. Its text is made for whoever sent
// the request, and holds nothing that the caller may not see.
type Error struct {
	Kind Kind
	// Field names the field of the request that is wrong, by its name in the request struct,
	// such as "Scope"; empty where it is none.
	Field string
	// Message says what is wrong and Mend what to do about it.
	Message, Mend string
	// Missing are the permissions that the caller lacks at Scope.
	Missing []authz.Permission
	Scope   authz.Scope
	// Cause is for the log: it is not part of the text.
	Cause error
}

// Error returns the message and how to mend it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	if e.Message == "" {
		b.WriteString(e.Kind.String())
	}
	if e.Mend != "" {
		b.WriteString(": ")
		b.WriteString(e.Mend)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is tells whether target is an Error of the same kind, so that errors.Is finds the
// sentinels below.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Kind == e.Kind
}

// The errors to tell apart, for errors.Is. KindOf tells the rest.
var (
	ErrReadOnlySource        = &Error{Kind: ReadOnlySource}
	ErrUnauthenticated       = &Error{Kind: Unauthenticated}
	ErrOperatorRequired      = &Error{Kind: OperatorRequired}
	ErrCrossTenant           = &Error{Kind: CrossTenant}
	ErrForbidden             = &Error{Kind: Forbidden}
	ErrSelfEscalation        = &Error{Kind: SelfEscalation}
	ErrEscalation            = &Error{Kind: Escalation}
	ErrBeneathDeny           = &Error{Kind: BeneathDeny}
	ErrLastAdministrator     = &Error{Kind: LastAdministrator}
	ErrInvalid               = &Error{Kind: Invalid}
	ErrNotFound              = &Error{Kind: NotFound}
	ErrScopeUnknown          = &Error{Kind: ScopeUnknown}
	ErrRoleUnknown           = &Error{Kind: RoleUnknown}
	ErrPrincipalDoesNotExist = &Error{Kind: PrincipalUnknown}
	ErrPrincipalDisabled     = &Error{Kind: PrincipalDisabled}
	ErrNotAssignable         = &Error{Kind: NotAssignable}
	ErrDuplicate             = &Error{Kind: Duplicate}
	ErrInUse                 = &Error{Kind: InUse}
	ErrImmutable             = &Error{Kind: Immutable}
	ErrCircle                = &Error{Kind: Circle}
	ErrEtagRequired          = &Error{Kind: EtagRequired}
	ErrEtagMismatch          = &Error{Kind: EtagMismatch}
	ErrRequestIDReused       = &Error{Kind: RequestIDReused}
	ErrNotEmpty              = &Error{Kind: NotEmpty}
	ErrCompacted             = &Error{Kind: Compacted}
	ErrThrottled             = &Error{Kind: Throttled}
	ErrUnavailable           = &Error{Kind: Unavailable}
)

// KindOf returns the kind of an error of this package; [Internal] of any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

func fail(kind Kind, field, message, mend string) *Error {
	return &Error{Kind: kind, Field: field, Message: message, Mend: mend}
}

func failf(kind Kind, field, mend, format string, args ...any) *Error {
	return &Error{Kind: kind, Field: field, Message: fmt.Sprintf(format, args...), Mend: mend}
}
