package oracle

// Mistake is a rule that a decider can get wrong. The zero Mistake is none.
type Mistake string

// The mistakes. Each switches exactly one rule wrong.
const (
	// NearestScopeIgnored lets a DENY at any scope win, however near an ALLOW stands.
	NearestScopeIgnored Mistake = "nearest scope ignored"
	// FarthestScopeWins walks from the tenant down.
	FarthestScopeWins Mistake = "farthest scope wins"
	// ExceptionIgnored grants what a role excepts.
	ExceptionIgnored Mistake = "exception ignored"
	// ExceptionNotClosedUpward leaves ReadWrite where Read is excepted.
	ExceptionNotClosedUpward Mistake = "exception not closed upward"
	// ExceptionNotClosedDownward leaves Create where Write is excepted.
	ExceptionNotClosedDownward Mistake = "exception not closed downward"
	// ExceptionActsAsDeny takes what one role excepts from all other roles too.
	ExceptionActsAsDeny Mistake = "exception acts as a deny"
	// ImplicationsIgnored gives Write without Create.
	ImplicationsIgnored Mistake = "implications ignored"
	// ImplicationsNotClosed follows implications one step only.
	ImplicationsNotClosed Mistake = "implications not closed"
	// ExpiryOffByASecond keeps an assignment one second too long.
	ExpiryOffByASecond Mistake = "expiry off by a second"
	// ExpiredDenyCounts forgets that a DENY or a FORBID can expire.
	ExpiredDenyCounts Mistake = "expired deny counts"
	// AnyPairSuffices allows where one of several pairs allows.
	AnyPairSuffices Mistake = "any-of for all-of"
	// FirstPairOnly looks at the first of several pairs only.
	FirstPairOnly Mistake = "first pair only"
	// DenyLosesTie prefers the ALLOW where both stand at one scope.
	DenyLosesTie Mistake = "deny loses a tie"
	// ForbidIsDeny lets a nearer ALLOW give back what a FORBID took.
	ForbidIsDeny Mistake = "forbid treated like deny"
	// NestedGroupIgnored finds the groups of the caller, not the groups of those groups.
	NestedGroupIgnored Mistake = "group's parent ignored"
	// DirectoryIgnored believes in the token's groups only.
	DirectoryIgnored Mistake = "directory ignored"
	// EnvironmentGroupIgnored makes every environment a child of the tenant.
	EnvironmentGroupIgnored Mistake = "environment's group ignored"
	// BusinessUnitParentIgnored makes every business unit a child of its environment.
	BusinessUnitParentIgnored Mistake = "business unit's parent ignored"
	// DenyWithoutImpliers leaves ReadWrite where Read is denied.
	DenyWithoutImpliers Mistake = "deny takes only what the role grants"
	// OtherTenantCounted counts the assignments that other tenants have at like scopes.
	OtherTenantCounted Mistake = "other tenant's assignments counted"
	// KindIgnored takes a group for a directory role of the same identifier.
	KindIgnored Mistake = "principal's kind ignored"
	// KindOfCallerCompared tells a User from an ApplicationUser with the same identifier.
	KindOfCallerCompared Mistake = "user and application user told apart"
	// WidsIgnored forgets the directory roles of the token.
	WidsIgnored Mistake = "directory roles ignored"
	// GroupsUnknownIgnored takes unknown groups for no groups.
	GroupsUnknownIgnored Mistake = "unknown groups taken for none"
	// DirectoryCompleteIgnored distrusts a complete directory.
	DirectoryCompleteIgnored Mistake = "complete directory distrusted"
	// DisabledIgnored lets a disabled principal in.
	DisabledIgnored Mistake = "disabled principal let in"
	// UnlistedScopeInherits makes a scope that nobody listed a child of the tenant.
	UnlistedScopeInherits Mistake = "unlisted scope inherits"
	// CaseCompared compares permissions with their case.
	CaseCompared Mistake = "permission's case compared"
	// StarWithinPart lets the star of a pattern span one part only.
	StarWithinPart Mistake = "star spans one part only"
	// SuffixWithinPart lets *.Write match ReadWrite.
	SuffixWithinPart Mistake = "suffix matches within a part"
	// ExpiredNotSaid says NO_ASSIGNMENT where an assignment has expired.
	ExpiredNotSaid Mistake = "expired not said"
)

// Mistakes returns every mistake.
func Mistakes() []Mistake {
	return []Mistake{
		NearestScopeIgnored, FarthestScopeWins, ExceptionIgnored, ExceptionNotClosedUpward,
		ExceptionNotClosedDownward, ExceptionActsAsDeny, ImplicationsIgnored,
		ImplicationsNotClosed, ExpiryOffByASecond, ExpiredDenyCounts, AnyPairSuffices,
		FirstPairOnly, DenyLosesTie, ForbidIsDeny, NestedGroupIgnored, DirectoryIgnored,
		EnvironmentGroupIgnored, BusinessUnitParentIgnored, DenyWithoutImpliers,
		OtherTenantCounted, KindIgnored, KindOfCallerCompared, WidsIgnored,
		GroupsUnknownIgnored, DirectoryCompleteIgnored, DisabledIgnored,
		UnlistedScopeInherits, CaseCompared, StarWithinPart, SuffixWithinPart,
		ExpiredNotSaid,
	}
}
