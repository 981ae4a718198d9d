package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Policy says what happens to a change that raises somebody. The zero Policy is the
// default of the setting that it is for.
type Policy uint8

// The policies.
const (
	// PolicyDefault refuses self-escalation, and lets people assign what they do not hold.
	PolicyDefault Policy = iota
	// PolicyDeny refuses.
	PolicyDeny
	// PolicyAllow does not.
	PolicyAllow
)

// UnmarshalText reads deny or allow.
func (p *Policy) UnmarshalText(text []byte) error {
	switch string(text) {
	case "deny":
		*p = PolicyDeny
	case "allow":
		*p = PolicyAllow
	default:
		return fmt.Errorf("%q is neither deny nor allow", text)
	}
	return nil
}

// MarshalText returns deny, allow, or nothing for the default.
func (p Policy) MarshalText() ([]byte, error) {
	switch p {
	case PolicyDeny:
		return []byte("deny"), nil
	case PolicyAllow:
		return []byte("allow"), nil
	case PolicyDefault:
	}
	return nil, nil
}

// Options say what administration works on and what it allows.
type Options struct {
	// Store, Vocabulary and ShippedRoles are required; the last two are those that the store
	// was opened with, and FoldCase too.
	Store        Store
	Vocabulary   *authz.Vocabulary
	ShippedRoles []authz.RoleDefinition
	FoldCase     bool
	// Writable says that the store is the record. Where a file is, every change is refused.
	Writable bool
	// SelfEscalation is whether callers may raise themselves; by default they may not.
	SelfEscalation Policy
	// Escalation is whether callers may give what they do not hold; by default they may.
	Escalation Policy
	// AllowRoleAssignmentOnDisabledUsers lets roles be assigned to disabled principals.
	AllowRoleAssignmentOnDisabledUsers bool
	// Secret is what operators prove themselves with; nil: they cannot.
	Secret *Secret
	// Now is the clock; nil: the machine's.
	Now func() time.Time
	// Log gets what an operator should know; nil: nobody does.
	Log *slog.Logger
}

// An Admin carries out administration. It is safe for concurrent use.
type Admin struct {
	store       Store
	vocabulary  *authz.Vocabulary
	shipped     []authz.RoleDefinition
	foldCase    bool
	writable    bool
	selfAllowed bool
	escalation  bool // is refused
	disabledOK  bool
	secret      *Secret
	now         func() time.Time
	log         *slog.Logger

	write, remove, read, readRoles authz.PermissionID
	// elevate is what raising oneself needs, and shareApp what sharing an app does; where the
	// catalogues know no such permission, nobody holds it.
	elevate, shareApp           authz.PermissionID
	knowsElevate, knowsShareApp bool

	rememberMost uint64 // answers, of a tenant

	// mu guards what follows.
	mu sync.Mutex
	// administrators remembers one administrator of each tenant, to be looked at first.
	administrators map[string]authz.Principal
}

// New checks the options. It reports every problem at once.
func New(o Options) (*Admin, error) {
	a := &Admin{
		store: o.Store, vocabulary: o.Vocabulary, shipped: slices.Clone(o.ShippedRoles), foldCase: o.FoldCase, writable: o.Writable,
		selfAllowed: o.SelfEscalation == PolicyAllow, escalation: o.Escalation == PolicyDeny,
		disabledOK: o.AllowRoleAssignmentOnDisabledUsers, secret: o.Secret, now: o.Now, log: o.Log,
		administrators: map[string]authz.Principal{}, rememberMost: rememberMost,
	}
	if a.store == nil || a.vocabulary == nil {
		return nil, errors.New("administration needs a store and a vocabulary")
	}
	var errs []error
	for name, id := range map[string]*authz.PermissionID{
		permissionWrite: &a.write, permissionDelete: &a.remove, permissionRead: &a.read, permissionReadRoles: &a.readRoles,
	} {
		found, ok := a.vocabulary.ID(name)
		if !ok {
			errs = append(errs, fmt.Errorf("administration needs the permission %s, which the catalogues do not declare", name))
		}
		*id = found
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(errs...)
	}
	a.elevate, a.knowsElevate = a.vocabulary.ID(permissionApply)
	a.shareApp, a.knowsShareApp = a.vocabulary.ID(permissionShareApp)
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.selfAllowed {
		a.log.Warn("self_escalation is allowed: whoever may assign roles may give themselves any")
	}
	return a, nil
}

// who says which callers may make a change.
type who uint8

const (
	tokens    who = iota // callers with a subject
	operators            // operators alone
	both
)

const (
	maxRequestID     = 128
	maxJustification = 1024
	maxText          = 256
	maxDescription   = 1024
)

// tenantOf says which tenant a caller may ask about, in its one spelling. Without a name it
// is the caller's own; an operator's may be empty.
func (a *Admin) tenantOf(c Caller, named string, may who) (string, error) {
	tenant := authz.CanonicalID(named, a.foldCase)
	switch {
	case c.Kind == Token && c.Subject != nil:
		if may == operators {
			return "", fail(OperatorRequired, "", "this concerns the whole store, and needs the operator's secret", "")
		}
		own := c.Subject.Tenant()
		if named != "" && tenant != own {
			return "", fail(CrossTenant, "Tenant", "the request names a tenant that is not the caller's", "leave it out")
		}
		return own, nil
	case c.Kind == Operator:
		if may == tokens {
			return "", fail(Forbidden, "", "an operator may do what concerns the whole store, and nothing else", "use the credentials of an administrator of the tenant")
		}
		return tenant, nil
	default:
		return "", fail(Unauthenticated, "", "nobody is known to be calling", "send a token")
	}
}

// RequireOperator returns an error unless the caller is an operator.
func (a *Admin) RequireOperator(c Caller) error {
	_, err := a.tenantOf(c, "", operators)
	return err
}

func (c *Context) check() error {
	switch {
	case len(c.RequestID) > maxRequestID || !printable(c.RequestID):
		return failf(Invalid, "RequestID", "choose a shorter one", "a request id is at most %d printable characters", maxRequestID)
	case len(c.Justification) > maxJustification || !utf8.ValidString(c.Justification):
		return failf(Invalid, "Justification", "shorten it", "a justification is text of at most %d bytes", maxJustification)
	}
	return nil
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7E })
}

// A txn is a change in the making.
type txn struct {
	a       *Admin
	e       Edit
	caller  Caller
	tenant  string
	now     int64
	action  string
	context *Context

	changed bool
	whole   bool // everything was replaced
	scopes  []authz.Scope
	items   []changedItem
	notes   []string
	detail  any
}

// resultOf is a pointer to a result that has an [Outcome].
type resultOf[R any] interface {
	*R
	outcome() *Outcome
}

// mutate makes one change: it finds the tenant, answers a request that was made before,
// and otherwise lets do make the change, records it and remembers the answer, all in one
// transaction.
func mutate[Q, R any, P resultOf[R]](ctx context.Context, a *Admin, c Caller, action string, may who, q Q, rc *Context, do func(*txn) (R, error)) (R, error) {
	var result, none R
	fails := func(err error) (R, error) { return none, a.failed(ctx, c, action, err) }
	tenant, err := a.tenantOf(c, rc.Tenant, may)
	if err != nil {
		return fails(err)
	}
	if !a.writable {
		return fails(fail(ReadOnlySource, "", "a file is the record here, not this server", "change the file"))
	}
	if err := rc.check(); err != nil {
		return fails(err)
	}
	if tenant == "" && may != operators {
		return fails(fail(Invalid, "Tenant", "an operator must name the tenant", ""))
	}
	digest, err := digestOf(action, q)
	if err != nil {
		return fails(err)
	}
	replayed := false
	revision, err := a.store.Update(ctx, snapshot.Change{Source: "admin", Note: action}, func(e Edit) error {
		result, replayed = none, false
		t := &txn{a: a, e: e, caller: c, tenant: tenant, action: action, context: rc, now: e.Now().Unix()}
		if remembered, err := t.remembered(digest); err != nil {
			return err
		} else if remembered != nil {
			replayed = true
			return gob.NewDecoder(bytes.NewReader(remembered)).Decode(&result)
		}
		var err error
		if result, err = do(t); err != nil {
			return err
		}
		if !t.changed && rc.RequestID == "" {
			return nil
		}
		P(&result).outcome().Revision = e.Next()
		if err := t.record(); err != nil {
			return fmt.Errorf("record the change: %w", err)
		}
		return t.remember(digest, result)
	})
	if err != nil {
		return fails(err)
	}
	out := P(&result).outcome()
	if out.Replayed = replayed; !replayed {
		out.Revision = revision
	}
	return result, nil
}

// digestOf tells one request from another.
func digestOf(action string, q any) ([32]byte, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return [32]byte{}, fmt.Errorf("spell the request: %w", err)
	}
	return sha256.Sum256(append([]byte(action+"\x00"), text...)), nil
}

// failed turns any error into one for the caller, and logs what is for the operator.
func (a *Admin) failed(ctx context.Context, c Caller, action string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		switch {
		case errors.Is(err, snapshot.ErrNotReady), errors.Is(err, snapshot.ErrClosed):
			e = &Error{Kind: Unavailable, Message: "there is no data to work on yet", Mend: "try again later", Cause: err}
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			e = &Error{Kind: Unavailable, Message: "the call ended before it was done", Mend: "try again", Cause: err}
		case errors.Is(err, snapshot.ErrInUse):
			e = &Error{Kind: InUse, Message: err.Error(), Cause: err}
		case errors.Is(err, snapshot.ErrInvalid):
			e = &Error{Kind: Invalid, Message: err.Error(), Cause: err}
		default:
			e = &Error{Kind: Internal, Message: "the change or the question could not be carried out; the log says why", Cause: err}
		}
	}
	attrs := []slog.Attr{slog.String("action", action), slog.String("kind", e.Kind.String()), slog.String("caller", c.Kind.String())}
	if c.Subject != nil {
		attrs = append(attrs, slog.String("tenant", c.Subject.Tenant()), slog.String("principal", c.Subject.Principal().ID))
	}
	level := slog.LevelInfo
	if e.Kind == Internal || e.Kind == Unavailable {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", err))
	}
	a.log.LogAttrs(ctx, level, "administration refused", attrs...)
	return e
}
