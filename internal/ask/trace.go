package ask

import "github.com/pathgrant/pathgrant/pkg/authz"

// A Trace says what an [Answer] was decided on, for whoever explains it. What the decision
// did not get to is zero. Unlike an answer it shares no memory with the next one.
type Trace struct {
	// Platform is what was asked of platform permissions, and Grants are what it was asked
	// of. There is nothing to it where Platform.Permissions is empty.
	Platform authz.Request
	Grants   *authz.Grants
	// GrantedTo are the directory roles to whose direct holders alone the route is open;
	// none: to everybody.
	GrantedTo []authz.Principal
	// Database, Environment and Records are what was asked of records: every one of the
	// requests must be allowed. There is nothing to it where Database is nil.
	Database    *authz.Database
	Environment string
	Records     []authz.RecordRequest
	// Now is when it was decided, in Unix seconds.
	Now int64
}
