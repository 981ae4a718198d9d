package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// SetTenant says what is known of a tenant. It needs an operator, who can list a new one,
// or Authorization.RoleAssignments.Write everywhere in the tenant.
func (a *Admin) SetTenant(ctx context.Context, c Caller, q SetTenantRequest) (TenantResult, error) {
	return mutate(ctx, a, c, "SetTenant", both, q, &q.Context, func(t *txn) (TenantResult, error) {
		if err := t.bootstrappedTenant(); err != nil {
			return TenantResult{}, err
		}
		k, err := t.asker()
		if err != nil {
			return TenantResult{}, err
		}
		if err := k.needEverywhere(a.write); err != nil {
			return TenantResult{}, err
		}
		result := TenantResult{DirectoryComplete: q.DirectoryComplete}
		record, listed := t.e.Tenant(t.tenant)
		if listed && record.DirectoryComplete == q.DirectoryComplete {
			return result, nil
		}
		var old *snapshot.Tenant
		if listed {
			old = &record
		}
		// Whose groups are unknown is denied less once the directory is said to be complete.
		about := touch{everyone: true, gifts: func(s *state) ([]gift, error) {
			if !q.DirectoryComplete {
				return nil, nil
			}
			every := a.vocabulary.Select(func(authz.Permission) bool { return true })
			return []gift{{set: every, scope: k.root()}}, nil
		}}
		return result, t.apply(k, about, func() error { return t.putTenant(old, q.DirectoryComplete) })
	})
}

func (t *txn) putTenant(old *snapshot.Tenant, directoryComplete bool) error {
	var before any
	if old != nil {
		before = tenantItem{old.ID, old.DirectoryComplete}
	}
	if err := t.change("tenants/"+t.tenant, rootOf(t.tenant), before, tenantItem{t.tenant, directoryComplete}); err != nil {
		return err
	}
	return t.e.PutTenant(t.tenant, directoryComplete)
}

// A deliveryDetail says, in the change audit, what replaced everything.
type deliveryDetail struct {
	Source string `json:"source"`
	// BeforeSum and AfterSum are the store's hash of all that was delivered.
	BeforeSum string         `json:"beforeSum"`
	AfterSum  string         `json:"afterSum"`
	Counts    *importCounts  `json:"counts,omitempty"`
	Tenants   []tenantCounts `json:"tenants,omitempty"`
}

type importCounts struct {
	Added   uint64 `json:"added"`
	Changed uint64 `json:"changed"`
	Removed uint64 `json:"removed"`
}

type tenantCounts struct {
	ID                string `json:"id"`
	Principals        int    `json:"principals"`
	Groups            int    `json:"groups"`
	RoleDefinitions   int    `json:"roleDefinitions"`
	RoleAssignments   int    `json:"roleAssignments"`
	Environments      int    `json:"environments"`
	EnvironmentGroups int    `json:"environmentGroups"`
	BusinessUnits     int    `json:"businessUnits"`
	// Items are what environments with a database have besides business units.
	Items int `json:"dataverseItems,omitempty"`
}

var (
	errValidated = errors.New("the data is valid, and nothing was to be changed")
	errMoved     = errors.New("the data was changed meanwhile")
)

// importTries is how often an import is begun again because of a change in between.
const importTries = 3

// Import replaces everything by the data, whole or not at all. It needs an operator. A
// tenant that had an administrator and is still there must have one afterwards, unless the
// request says that it may be locked out. Importing the same again changes nothing.
func (a *Admin) Import(ctx context.Context, c Caller, q ImportRequest) (ImportResult, error) {
	const action = "Import"
	if _, err := a.tenantOf(c, "", operators); err != nil {
		return ImportResult{}, a.failed(ctx, c, action, err)
	}
	if !a.writable {
		return ImportResult{}, a.failed(ctx, c, action, fail(ReadOnlySource, "", "a file is the record here, not this server", "change the file"))
	}
	if err := q.check(); err != nil {
		return ImportResult{}, a.failed(ctx, c, action, err)
	}
	if q.Data == nil {
		return ImportResult{}, a.failed(ctx, c, action, fail(Invalid, "Data", "there is nothing to import", ""))
	}
	for try := 1; ; try++ {
		result, err := a.importOnce(ctx, c, &q, action)
		if errors.Is(err, errMoved) && try < importTries {
			continue
		}
		if err != nil {
			return ImportResult{}, a.failed(ctx, c, action, err)
		}
		return result, nil
	}
}

func (a *Admin) importOnce(ctx context.Context, c Caller, q *ImportRequest, action string) (ImportResult, error) {
	if q.Source == "" {
		q.Source = "import"
	}
	before, revision, err := a.store.Export(ctx)
	if errors.Is(err, snapshot.ErrNotReady) {
		before, err = &snapshot.Data{}, nil // an import is what makes it ready
	}
	if err != nil {
		return ImportResult{}, err
	}
	counts, err := countChanges(before, q.Data)
	if err != nil {
		return ImportResult{}, err
	}
	result := ImportResult{Added: counts.Added, Changed: counts.Changed, Removed: counts.Removed}
	var administered []string
	if len(before.Tenants) > 0 {
		if administered, err = a.administered(ctx); err != nil {
			return ImportResult{}, err
		}
	}
	revision, err = a.store.Replace(ctx, q.Data, snapshot.Change{Source: q.Source, Note: action}, func(e Edit) error {
		if e.Revision() != revision && len(before.Tenants) > 0 {
			return errMoved
		}
		t := &txn{a: a, e: e, caller: c, action: action, context: &q.Context, now: e.Now().Unix(), whole: true, changed: true}
		for _, tenant := range administered {
			if _, listed := e.Tenant(tenant); !listed || q.LockOut {
				continue
			}
			if err := a.keepsAdministrator(e, tenant, a.remembered(tenant)); err != nil {
				return err
			}
		}
		if q.ValidateOnly {
			return errValidated
		}
		after := e.DataSum()
		base := e.BaseSum()
		t.detail = deliveryDetail{
			Source: q.Source, BeforeSum: hex.EncodeToString(base[:]), AfterSum: hex.EncodeToString(after[:]),
			Counts: &counts, Tenants: countTenants(q.Data),
		}
		if err := t.forgetEmergencies(); err != nil {
			return err
		}
		return t.record()
	})
	if errors.Is(err, errValidated) {
		return result, nil
	}
	if err != nil {
		return ImportResult{}, err
	}
	result.Revision = revision
	return result, nil
}

// remembered is the administrator that was found last.
func (a *Admin) remembered(tenant string) authz.Principal {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.administrators[tenant]
}

// administered are the tenants that have an administrator.
func (a *Admin) administered(ctx context.Context) ([]string, error) {
	var all []string
	err := a.store.Read(ctx, func(r Reader) error {
		all = nil
		for _, tenant := range r.Tenants() {
			_, has, err := a.administrator(r, tenant)
			if err != nil {
				return err
			}
			if has {
				all = append(all, tenant)
			}
		}
		return nil
	})
	return all, err
}

func countTenants(d *snapshot.Data) []tenantCounts {
	all := make([]tenantCounts, 0, len(d.Tenants))
	for i := range d.Tenants {
		t := &d.Tenants[i]
		all = append(all, tenantCounts{
			t.ID, len(t.Principals), len(t.Groups), len(t.RoleDefinitions), len(t.RoleAssignments),
			len(t.Environments), len(t.EnvironmentGroups), len(t.BusinessUnits),
			len(t.Tables) + len(t.Users) + len(t.Teams) + len(t.ColumnProfiles) + len(t.Shares) + len(t.Apps) + len(t.Flows),
		})
	}
	return all
}

// countChanges says how two states of the data differ, thing by thing.
func countChanges(before, after *snapshot.Data) (importCounts, error) {
	old, err := hashThings(before)
	if err != nil {
		return importCounts{}, err
	}
	now, err := hashThings(after)
	if err != nil {
		return importCounts{}, err
	}
	var n importCounts
	for key, hash := range now {
		was, there := old[key]
		switch {
		case !there:
			n.Added++
		case was != hash:
			n.Changed++
		}
	}
	for key := range old {
		if _, there := now[key]; !there {
			n.Removed++
		}
	}
	return n, nil
}

type shortHash [16]byte

func hashText(parts ...string) shortHash {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return shortHash(sum[:16])
}

// hashThings hashes each thing of the data by its name.
func hashThings(d *snapshot.Data) (map[shortHash]shortHash, error) {
	things := map[shortHash]shortHash{}
	var failed error
	add := func(tenant, target string, item any) {
		text, err := spell(item)
		failed = errors.Join(failed, err)
		things[hashText(tenant, target)] = hashText(string(text))
	}
	for i := range d.Tenants {
		t := &d.Tenants[i]
		add(t.ID, "tenant", tenantItem{t.ID, t.DirectoryComplete})
		groups := map[string]string{}
		for _, g := range t.EnvironmentGroups {
			add(t.ID, "environmentGroups/"+g.ID, idItem{g.ID})
			for _, e := range g.Environments {
				groups[e] = g.ID
				add(t.ID, "environments/"+e, environmentItem{e, false, g.ID})
			}
		}
		for _, e := range t.Environments {
			add(t.ID, "environments/"+e.ID, environmentItem{e.ID, e.Dataverse, groups[e.ID]})
		}
		for _, u := range t.BusinessUnits {
			add(t.ID, unitTarget(&u), unitItem{u.ID, u.Environment, u.Parent})
		}
		for _, p := range t.Principals {
			add(t.ID, principalTarget(p.Principal), principalRecordItem{itemOf(p.Principal), p.Disabled, p.DisplayName, p.Mail, nil})
		}
		for _, g := range t.Groups {
			add(t.ID, groupTarget(g.ID), groupItem{g.ID, g.DisplayName, nil})
			for _, m := range g.Members {
				add(t.ID, memberTarget(g.ID, m), true)
			}
		}
		for _, def := range t.RoleDefinitions {
			def.Permissions, def.PermissionsExceptions = distinct(def.Permissions), distinct(def.PermissionsExceptions)
			def.AssignableScopes, def.RestrictedScopes = distinct(def.AssignableScopes), distinct(def.RestrictedScopes)
			add(t.ID, "roleDefinitions/"+def.ID, definitionItemOf(&def))
		}
		for _, item := range itemsOfData(t) {
			// It is brought into one order. A bundle may hold more of a kind than a request: the
			// order is then the bundle's, and the count of changes may be too large.
			_ = item.check(&Admin{})
			add(t.ID, item.target(), item.spelled())
		}
		for j := range t.RoleAssignments {
			add(t.ID, assignmentTarget(t.RoleAssignments[j].ID), assignmentItemOf(&t.RoleAssignments[j]))
		}
	}
	return things, failed
}

// itemsOfData are what the environments of a tenant have besides business units.
func itemsOfData(t *snapshot.Tenant) []dataItem {
	var all []dataItem
	for _, x := range t.Tables {
		all = append(all, &tableItem{x})
	}
	for _, x := range t.Users {
		all = append(all, &userItem{x})
	}
	for _, x := range t.Teams {
		all = append(all, &teamItem{x})
	}
	for _, x := range t.ColumnProfiles {
		all = append(all, &profileItem{x})
	}
	for _, x := range t.Shares {
		all = append(all, &shareItem{x})
	}
	for _, x := range t.Apps {
		all = append(all, &appItem{x})
	}
	for _, x := range t.Flows {
		all = append(all, &flowItem{x})
	}
	return all
}

// Delivered records, in the change audit, that a source such as "file" delivered the whole
// of the data. It is for [snapshot.Change.Record].
func (a *Admin) Delivered(source string) func(*snapshot.Edit) error {
	return func(edit *snapshot.Edit) error {
		return a.recordDelivery(snapshotEdit{snapshotReader{&edit.Reader}, edit}, source)
	}
}

func (a *Admin) recordDelivery(e Edit, source string) error {
	base, after := e.BaseSum(), e.DataSum()
	t := &txn{
		a: a, e: e, caller: Caller{Kind: Nobody, From: "local", Agent: source}, action: "Deliver", context: &Context{}, now: e.Now().Unix(),
		whole: true, changed: true,
		detail: deliveryDetail{Source: source, BeforeSum: hex.EncodeToString(base[:]), AfterSum: hex.EncodeToString(after[:])},
	}
	if err := t.forgetEmergencies(); err != nil {
		return err
	}
	return t.record()
}
