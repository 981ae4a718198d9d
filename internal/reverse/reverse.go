package reverse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Options are what [Questions] are made of.
type Options struct {
	// Vocabulary and FoldCase are those that the snapshot was opened with.
	Vocabulary *authz.Vocabulary
	FoldCase   bool
	// ShippedRoles are those that the snapshot was opened with: their terms say which groups'
	// and resources' security roles count.
	ShippedRoles []authz.RoleDefinition
	// Work bounds what is done for one page, in about microseconds; 0: 20,000. A page does
	// at least one step, however small it is.
	Work int
	// Within is how long a page may take before it is cut short likewise, where what it reads
	// costs more than is thought of here; 0: 15 ms. What has to be read before its first step
	// comes on top.
	Within time.Duration
}

// Questions answers reverse questions. It keeps nothing and is safe for concurrent use.
type Questions struct {
	o       Options
	shipped map[string]*authz.RoleDefinition // the security roles
	types   []string                         // of the resources at which some of them are assigned
}

const (
	defaultWork = 20_000
	defaultTime = 15 * time.Millisecond
	defaultPage = 100
	maxPage     = 1000
)

// New returns Questions.
func New(o Options) *Questions {
	if o.Work <= 0 {
		o.Work = defaultWork
	}
	if o.Within <= 0 {
		o.Within = defaultTime
	}
	x := &Questions{o: o, shipped: map[string]*authz.RoleDefinition{}}
	for i := range o.ShippedRoles {
		def := &o.ShippedRoles[i]
		if !def.IsSecurityRole() {
			continue
		}
		x.shipped[def.ID] = def
		for _, template := range def.AssignableScopes {
			if word := resourceType(template); word != "" && !slices.Contains(x.types, word) {
				x.types = append(x.types, word)
			}
		}
	}
	slices.Sort(x.types)
	return x
}

// resourceType returns the word before the identifier of a resource, in the template of a
// scope; empty where it is none of a resource.
func resourceType(template string) string {
	segments := strings.Split(template, "/")
	if len(segments) != 7 || segments[5] == unitsWord {
		return ""
	}
	return segments[5]
}

// unitsWord is the word before the identifier of a business unit in a scope.
const unitsWord = "businessUnits"

// An Error says what is wrong with a question.
type Error struct {
	// Field is the field of the question, in the spelling of Go.
	Field   string
	Message string
	// Unlisted says that the scope is not one that the tenant lists.
	Unlisted bool
}

// Error returns the field and the message.
func (e *Error) Error() string { return e.Field + ": " + e.Message }

func bad(field, format string, args ...any) error {
	return &Error{Field: field, Message: fmt.Sprintf(format, args...)}
}

// A List is a page of an answer.
type List[T any] struct {
	Items []T
	// Next is the token of the page that follows; empty: this is the last.
	Next     string
	Revision authz.Revision
	// Time is the Unix second as of which all pages are decided.
	Time int64
	// Changed says that the data is no longer what the first page was read from.
	Changed bool
}

// An Assignment is one that decided.
type Assignment struct {
	ID        string
	Principal authz.Principal
	RoleID    string
	RoleName  string
	Scope     authz.Scope
	// Expires is the Unix second from which it is as if absent; 0: never.
	Expires int64
}

// A question is what the answers to all three have in common.
type question struct {
	*Questions
	r      *snapshot.Reader
	tenant string
	// may tells whether assignments at a scope may be shown; nil: all may.
	may    func(authz.Scope) bool
	seen   map[authz.Scope]bool // what may said
	now    int64
	page   pageState
	worked int
	until  time.Time
	// underWay says that the first that had to be read is.
	underWay bool
}

func (x *Questions) question(r *snapshot.Reader, tenant string, may func(authz.Scope) bool, p Page, key ...string) (*question, error) {
	if _, listed := r.Tenant(tenant); !listed {
		return nil, bad("Tenant", "there is no tenant %q", tenant)
	}
	q := &question{Questions: x, r: r, tenant: tenant, may: may, seen: map[authz.Scope]bool{}}
	q.ready()
	var err error
	q.page, err = p.begin(r, append([]string{tenant}, key...)...)
	q.now = q.page.at.Time
	return q, err
}

// ready begins to count: what had to be read first brings no page any further, and if it used
// up what a page may cost, the answer would take a page for each of its steps.
func (q *question) ready() { q.worked, q.until = 0, time.Now().Add(q.o.Within) }

// begun is ready for the first of what is read while a page is being made, which may be a
// large group, and does nothing after that.
func (q *question) begun() {
	if !q.underWay {
		q.underWay = true
		q.ready()
	}
}

// work counts what is done.
func (q *question) work(microseconds int) { q.worked += microseconds }

// spent tells whether the page has cost what it may.
func (q *question) spent() bool { return q.worked >= q.o.Work || time.Now().After(q.until) }

// chain returns a scope in its one spelling with what it inherits from, nearest first.
func (q *question) chain(text string) ([]authz.Scope, authz.NamedScope, error) {
	if text == "" {
		text = string(authz.NamedScope{Kind: authz.TenantScope}.In(q.tenant))
	}
	of, named, err := authz.ParseScope(text, q.o.FoldCase)
	if err != nil {
		return nil, named, bad("Scope", "%v", err)
	}
	if of != q.tenant {
		return nil, named, bad("Scope", "%s is of another tenant", text)
	}
	tree, err := q.r.Hierarchy(q.tenant)
	if err != nil {
		return nil, named, err
	}
	chain, known := q.chainOf(tree, named)
	if !known {
		return nil, named, &Error{Field: "Scope", Message: "the tenant does not list " + text, Unlisted: true}
	}
	return chain, named, nil
}

func (q *question) chainOf(tree *authz.Hierarchy, named authz.NamedScope) ([]authz.Scope, bool) {
	var scratch []byte
	return tree.AppendChain(nil, named, &scratch)
}

// nobody is a user that no directory has: of somebody of whom nothing is known but one
// group or directory role, it is the caller.
const nobody = "\x00"

// SubjectOf returns what is asked about when a principal is: a User or ApplicationUser with
// what the snapshot knows of it, or somebody of whom nothing is known but that it is in a
// Group or holds a DirectoryRole.
func (x *Questions) SubjectOf(tenant string, p authz.Principal) (*authz.Subject, error) {
	spec := authz.SubjectSpec{Tenant: tenant, Principal: authz.Principal{Type: authz.User, ID: nobody}, FoldCase: x.o.FoldCase}
	switch {
	case p.ID == "" || p.ID == nobody:
		return nil, bad("Principal", "it has no identifier")
	case p.Key().Type == authz.User:
		spec.Principal = p
	case p.Type == authz.Group:
		spec.Groups = []string{p.ID}
	case p.Type == authz.DirectoryRole:
		spec.DirectoryRoles = []string{p.ID}
	default:
		return nil, bad("Principal", "ask about a User, an ApplicationUser, a Group or a DirectoryRole, not about a %v", p.Type)
	}
	s, err := authz.NewSubject(spec)
	if err != nil {
		return nil, bad("Principal", "%v", err)
	}
	return s, nil
}

// held reads what a subject holds.
func (q *question) held(s *authz.Subject) (*snapshot.View, error) {
	v, err := q.r.View(q.tenant, s)
	if err != nil {
		return nil, err
	}
	q.work(viewWork + v.Grants.Len())
	return v, nil
}

// What the parts of an answer cost, in microseconds, as they were measured with the file in
// the page cache.
const (
	viewWork       = 20
	recordWork     = 60 // what somebody may do to records
	assignmentWork = 6  // found by its scope, and read
	readWork       = 3
	membersPerWork = 20 // members of a group that are read in one
)

// shown returns an assignment if the asker may see it, else nil.
func (q *question) shown(a *snapshot.RoleAssignment) *Assignment {
	if q.may != nil {
		visible, asked := q.seen[a.Scope]
		if !asked {
			visible = q.may(a.Scope)
			q.seen[a.Scope] = visible
		}
		if !visible {
			return nil
		}
	}
	out := &Assignment{ID: a.ID, Principal: a.Principal, RoleID: a.RoleDefinitionID, Scope: a.Scope, Expires: a.Expires}
	if role, ok := q.r.Role(q.tenant, a.RoleDefinitionID); ok {
		out.RoleName = role.Name()
	}
	return out
}

// shownID is shown for an assignment of which the identifier is known.
func (q *question) shownID(id string) (*Assignment, error) {
	a, ok, err := q.r.RoleAssignment(q.tenant, id)
	q.work(readWork)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, errors.New("a decision names a role assignment that does not exist")
	}
	return q.shown(&a), nil
}

// live tells whether an assignment has not expired.
func (q *question) live(expires int64) bool { return expires == 0 || q.now < expires }
