package explain

import (
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Explanation is how a question is decided, step by step. It shares no memory with
// anything.
type Explanation struct {
	// Answer is the gate's, without an identifier: it was made for the explanation alone.
	Answer ask.Answer
	// Cached is what the gate answers from its caches at the same revision, where it is
	// something else; nil: the same.
	Cached *ask.Answer
	// Catalogue is the one that mapped the request.
	Catalogue string
	Subject   Subject
	// Pairs are each permission at each scope, in the order in which they are decided.
	Pairs []Pair
	// Mend is what would turn the refusal into an allow; nil where it is allowed.
	Mend *Mend
	// Recent is the decision that was asked about; nil where a question was.
	Recent *Recent
	// Hidden counts the assignments that whoever asks may not read.
	Hidden int
	// Notes are what else there is to say.
	Notes []string

	decided ask.Answer // with what is not to be shown
}

// A Subject is who asks, with all that it belongs to.
type Subject struct {
	Tenant                           string
	Principal                        authz.Principal
	Disabled                         bool
	GroupsUnknown, DirectoryComplete bool
	Memberships                      []Membership
}

// A Membership is something that the subject belongs to, and how it got there.
type Membership struct {
	authz.Principal
	DisplayName string
	// ByToken says that the token names it.
	ByToken bool
	// Via are the groups in between, from the subject's side; none: a direct membership.
	Via []authz.Principal
}

// A Pair is one permission at one scope.
type Pair struct {
	Permission authz.Permission
	// Chain is the scope and all that it inherits from, nearest first.
	Chain  []authz.Scope
	Reason authz.Reason
	// Assignments are those of the subject, those that spoke first.
	Assignments []Considered
	// Record is more of a question about records; nil for any other.
	Record *Record
}

// A Considered is an assignment of the subject with what it said.
type Considered struct {
	Assignment
	Verdict Verdict
	// Detail says the same in words.
	Detail string
	// Reach and BusinessUnit are those of a privilege in a database.
	Reach        authz.Reach
	BusinessUnit string
}

// An Assignment is a role assignment as it is shown.
type Assignment struct {
	ID        string
	Principal authz.Principal
	RoleID    string
	RoleName  string
	Scope     authz.Scope
	Effect    authz.AssignmentEffect
	Expires   int64 // Unix seconds; 0: never

	spokeAt int // where on the chain it stands; the chain's length: nowhere
}

// A Record is how access to a record or a table was decided.
type Record struct {
	authz.RecordDecision
	// TableName is the name of the table.
	TableName string
	// Owner and BusinessUnit are the record's, where they were told.
	Owner        authz.Principal
	BusinessUnit string
}

// A Verdict is what an assignment said to a permission at a scope. The zero Verdict is none.
type Verdict uint8

// The verdicts.
const (
	NoVerdict Verdict = iota
	// Decided: it is the one that decided.
	Decided
	// Agrees: it says the same as the one that decided.
	Agrees
	// Overridden: it covers the permission, and another spoke before it or outranks it.
	Overridden
	// OtherScope: its scope is neither the one asked about nor above it.
	OtherScope
	// Expired: it covers the permission and is over.
	Expired
	// Exception: an exception of its role takes the permission out.
	Exception
	// NotCovered: its role does not cover the permission.
	NotCovered
	// ReachTooSmall: its role gives the privilege and does not reach the record.
	ReachTooSmall
	// OtherBusinessUnit: its role would reach the record, were it held in the record's
	// business unit.
	OtherBusinessUnit
)

var verdictNames = [...]string{
	"", "DECIDED", "AGREES", "OVERRIDDEN", "OTHER_SCOPE", "EXPIRED", "EXCEPTION", "NOT_COVERED", "REACH_TOO_SMALL", "OTHER_BUSINESS_UNIT",
}

// String returns the verdict's name, such as OTHER_SCOPE.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "VERDICT"
}

// A Mend is what would turn a refusal into an allow.
type Mend struct {
	// Assignments are those to be made, two at most; none: no assignment helps, or none can
	// be made.
	Assignments []Proposal
	// Advice is what it takes where no assignment helps, and what to know where one does.
	Advice []string
	// InTheWay are the assignments that deny, as far as whoever asks may read them.
	InTheWay []Assignment
}

// A Proposal is an assignment, with the effect ALLOW, that does not exist yet.
type Proposal struct {
	Principal authz.Principal
	RoleID    string
	RoleName  string
	Scope     authz.Scope
	// Size is how much the role gives; it counts permissions and reaches.
	Size int
}

// A Recent is a decision as it was made.
type Recent struct {
	ID       string
	Time     time.Time
	Reason   authz.Reason
	Revision authz.Revision
	Adapter  string
	// NotKept is what of the decision the explanation cannot know.
	NotKept []string
}
