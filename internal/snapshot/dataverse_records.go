package snapshot

import (
	"encoding/binary"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The keys and payloads of what environments with a database hold.

// everyPrivilege are the privileges that a set can have.
const everyPrivilege = authz.PrivilegeSet(1<<(authz.ActOnBehalf+1) - 2)

// itemKey is the key of something of an environment that has an identifier of its own.
func itemKey(dst []byte, tenant, environment, id string) []byte {
	return appendPart(appendPart(appendPart(dst, tenant), environment), id)
}

func tableKey(dst []byte, tenant, environment, name string) []byte {
	return itemKey(dst, tenant, environment, authz.TableKey(name))
}

// environmentUserKey has one key for a person and a service principal with one object id.
func environmentUserKey(dst []byte, tenant, environment string, p authz.Principal) []byte {
	return appendPrincipalPart(appendPart(appendPart(dst, tenant), environment), p.Key())
}

// recordKey is what the keys of the shares of one record begin with.
func recordKey(dst []byte, tenant, environment, table, record string) []byte {
	return appendPart(tableKey(dst, tenant, environment, table), record)
}

func shareKey(dst []byte, tenant string, s *Share) []byte {
	return appendReceiver(recordKey(dst, tenant, s.Environment, s.Table, s.Record), &s.Share)
}

// appendReceiver appends whom a share is with; a zero stands for everyone.
func appendReceiver(key []byte, s *authz.Share) []byte {
	if s.WithOrganization {
		return append(key, 0)
	}
	return appendPrincipalPart(key, s.With.Key())
}

// receiver reads what appendReceiver appends; the type is in the payload.
func (r *keyReader) receiver() (id string, everyone bool) {
	if !r.bad && len(r.rest) == 1 && r.rest[0] == 0 {
		r.rest = nil
		return "", true
	}
	return r.principal().ID, false
}

// newPayload begins to read a payload of a section that layout 1 did not have.
func newPayload(payload string) *payloadReader {
	r := readPayload(payload)
	r.bad = r.bad || r.wide
	return r
}

// privileges reads a set of privileges.
func (r *payloadReader) privileges() authz.PrivilegeSet {
	n := r.uint()
	r.bad = r.bad || n&^uint64(everyPrivilege) != 0
	if r.bad {
		return 0
	}
	return authz.PrivilegeSet(n)
}

func appendPrivileges(b []byte, s authz.PrivilegeSet) []byte {
	return binary.AppendUvarint(b, uint64(s))
}

// oneOf reads a number that must be from first to last.
func (r *payloadReader) oneOf(first, last byte) byte {
	n := r.byte()
	r.bad = r.bad || n < first || n > last
	return n
}

func appendTable(b []byte, t *authz.Table) []byte {
	b = appendText(append(b, payloadForm), t.Name)
	b = appendText(append(b, byte(t.Classes), byte(t.Ownership)), t.EntitySet)
	return appendTexts(b, t.SecuredColumns)
}

func readTable(payload string) (authz.Table, error) {
	r := newPayload(payload)
	t := authz.Table{Name: r.text()}
	t.Classes = authz.TableClass(r.oneOf(0, byte(authz.CustomTables<<1-1)))
	t.Ownership = authz.Ownership(r.oneOf(byte(authz.NoOwnership), byte(authz.OrganizationOwned)))
	t.EntitySet = r.text()
	t.SecuredColumns = r.texts()
	return t, r.done(tableSection)
}

func appendEnvironmentUser(b []byte, u *EnvironmentUser) []byte {
	b = appendBool(appendBool(append(b, payloadForm, byte(u.Type)), u.Disabled), u.ServiceInstalled)
	return appendText(b, u.BusinessUnit)
}

// readEnvironmentUser reads a user whose key names the principal.
func readEnvironmentUser(environment string, of authz.Principal, payload string) (EnvironmentUser, error) {
	r := newPayload(payload)
	u := EnvironmentUser{Environment: environment, Principal: of}
	u.Type = authz.PrincipalType(r.byte())
	u.Disabled = r.bool()
	u.ServiceInstalled = r.bool()
	u.BusinessUnit = r.text()
	r.bad = r.bad || u.Key() != of.Key()
	return u, r.done(environmentUserSection)
}

func appendTeam(b []byte, t *Team) []byte {
	b = appendText(appendText(append(b, payloadForm, byte(t.Kind)), t.Environment), t.DisplayName)
	b = appendText(appendText(b, t.BusinessUnit), t.Group)
	return appendPrincipals(b, t.Members)
}

func readTeam(id, payload string) (Team, error) {
	r := newPayload(payload)
	t := Team{ID: id}
	t.Kind = authz.HolderKind(r.oneOf(byte(authz.OwnerTeamHolder), byte(authz.AccessTeamHolder)))
	t.Environment = r.text()
	t.DisplayName = r.text()
	t.BusinessUnit = r.text()
	t.Group = r.text()
	t.Members = r.principals()
	return t, r.done(teamSection)
}

// A placedTeam is what decisions read of a team, in the environment that it is in.
type placedTeam struct {
	environment, id, unit string
	kind                  authz.HolderKind
}

func (t *Team) placed() placedTeam { return placedTeam{t.Environment, t.ID, t.BusinessUnit, t.Kind} }

func appendPlacedTeam(b []byte, t placedTeam) []byte {
	return appendText(append(b, payloadForm, byte(t.kind)), t.unit)
}

func readPlacedTeam(environment, id, payload string) (placedTeam, error) {
	r := newPayload(payload)
	t := placedTeam{environment: environment, id: id}
	t.kind = authz.HolderKind(r.oneOf(byte(authz.OwnerTeamHolder), byte(authz.AccessTeamHolder)))
	t.unit = r.text()
	return t, r.done(environmentTeamSection)
}

func appendColumnRights(b []byte, columns []ColumnRight) []byte {
	b = binary.AppendUvarint(b, uint64(len(columns)))
	for i := range columns {
		c := &columns[i]
		b = appendPrivileges(appendText(appendText(b, c.Table), c.Column), c.Rights)
	}
	return b
}

func (r *payloadReader) columnRights() (columns []ColumnRight) {
	for range r.count() {
		columns = append(columns, ColumnRight{Table: r.text(), Column: r.text(), Rights: r.privileges()})
	}
	return columns
}

// appendColumns is what a column profile gives, without whom it is given to.
func appendColumns(b []byte, columns []ColumnRight) []byte {
	return appendColumnRights(append(b, payloadForm), columns)
}

func readColumns(payload string) ([]ColumnRight, error) {
	r := newPayload(payload)
	columns := r.columnRights()
	return columns, r.done(profiledSection)
}

// profiledKey is the key of what a column profile gives to somebody.
func profiledKey(dst []byte, tenant, environment string, to authz.Principal, profile string) []byte {
	return appendPart(environmentUserKey(dst, tenant, environment, to), profile)
}

func appendColumnProfile(b []byte, p *ColumnProfile) []byte {
	b = appendColumnRights(appendText(append(b, payloadForm), p.DisplayName), p.Columns)
	return appendPrincipals(b, p.Principals)
}

func readColumnProfile(environment, id, payload string) (ColumnProfile, error) {
	r := newPayload(payload)
	p := ColumnProfile{ID: id, Environment: environment, DisplayName: r.text()}
	p.Columns = r.columnRights()
	p.Principals = r.principals()
	return p, r.done(columnProfileSection)
}

func appendShare(b []byte, s *Share) []byte {
	kind := s.With.Type
	if s.WithOrganization {
		kind = authz.NoPrincipal
	}
	return appendPrivileges(appendText(append(b, payloadForm, byte(kind)), s.Table), s.Rights)
}

// readShare reads a share whose key names the record and the receiver.
func readShare(environment, table, record, receiver string, everyone bool, payload string) (Share, error) {
	r := newPayload(payload)
	s := Share{Environment: environment, Record: record}
	s.With = authz.Principal{Type: authz.PrincipalType(r.byte()), ID: receiver}
	s.WithOrganization = everyone
	s.Table = r.text()
	s.Rights = r.privileges()
	r.bad = r.bad || authz.TableKey(s.Table) != table || everyone == validType(s.With.Type)
	return s, r.done(shareSection)
}

// readShareOf reads a share whose environment is known; key is the rest of its key.
func readShareOf(environment string, key *keyReader, payload string) (Share, error) {
	table, record := key.part(), key.part()
	receiver, everyone := key.receiver()
	return readShare(environment, table, record, receiver, everyone, payload)
}

func appendTableUses(b []byte, uses []TableUse) []byte {
	b = binary.AppendUvarint(b, uint64(len(uses)))
	for _, u := range uses {
		b = appendPrivileges(appendText(b, u.Table), u.Privileges)
	}
	return b
}

func (r *payloadReader) tableUses() (uses []TableUse) {
	for range r.count() {
		uses = append(uses, TableUse{Table: r.text(), Privileges: r.privileges()})
	}
	return uses
}

func appendApp(b []byte, a *App) []byte {
	b = appendPrincipals(appendText(append(b, payloadForm), a.DisplayName), a.SharedWith)
	return appendTableUses(appendBool(b, a.SharedWithEveryone), a.Tables)
}

func readApp(environment, id, payload string) (App, error) {
	r := newPayload(payload)
	a := App{ID: id, Environment: environment, DisplayName: r.text()}
	a.SharedWith = r.principals()
	a.SharedWithEveryone = r.bool()
	a.Tables = r.tableUses()
	return a, r.done(appSection)
}

func appendFlow(b []byte, f *Flow) []byte {
	b = appendPrincipal(appendText(append(b, payloadForm), f.DisplayName), f.Maker)
	b = appendPrincipals(b, f.RunOnly)
	b = binary.AppendUvarint(b, uint64(len(f.Connections)))
	for i := range f.Connections {
		c := &f.Connections[i]
		b = append(appendText(appendText(b, c.Name), c.Connector), byte(c.Provider))
		b = appendTableUses(b, c.Tables)
	}
	return b
}

func readFlow(environment, id, payload string) (Flow, error) {
	r := newPayload(payload)
	f := Flow{ID: id, Environment: environment, DisplayName: r.text()}
	f.Maker = r.principal()
	f.RunOnly = r.principals()
	for range r.count() {
		c := Connection{Name: r.text(), Connector: r.text()}
		c.Provider = ConnectionProvider(r.oneOf(byte(NoProvider), byte(MakerProvides)))
		c.Tables = r.tableUses()
		f.Connections = append(f.Connections, c)
	}
	return f, r.done(flowSection)
}

// checkItem tells whether a record of what an environment holds can be read; the tenant is
// taken from its key already.
func checkItem(sec section, k *keyReader, payload string) (err error) {
	switch sec {
	case tableSection:
		k.part()
		name := k.part()
		var t authz.Table
		if t, err = readTable(payload); err == nil && authz.TableKey(t.Name) != name {
			err = corruptf("a record in %q stands under another name", sec)
		}
	case environmentUserSection:
		_, err = readEnvironmentUser(k.part(), k.principal(), payload)
	case teamSection:
		_, err = readTeam(k.part(), payload)
	case columnProfileSection:
		_, err = readColumnProfile(k.part(), k.part(), payload)
	case shareSection:
		_, err = readShareOf(k.part(), k, payload)
	case appSection:
		_, err = readApp(k.part(), k.part(), payload)
	case flowSection:
		_, err = readFlow(k.part(), k.part(), payload)
	case environmentTeamSection:
		_, err = readPlacedTeam(k.part(), k.part(), payload)
	case profiledSection:
		k.part()
		k.principal()
		k.part()
		_, err = readColumns(payload)
	case sharedTableSection:
		k.part()
		k.part()
		_, err = readCount(sec, payload)
	default:
		return corruptf("section %d is unknown", sec)
	}
	return err
}
