package admin

import (
	"context"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Item is one thing that an environment with a database has besides its business units:
// exactly one field but the etag is set.
type Item struct {
	Table         *snapshot.Table
	User          *snapshot.EnvironmentUser
	Team          *snapshot.Team
	ColumnProfile *snapshot.ColumnProfile
	Share         *snapshot.Share
	App           *snapshot.App
	Flow          *snapshot.Flow
	// Etag names this state of it.
	Etag string
}

// An ItemKind is a kind of [Item]. The zero ItemKind is none.
type ItemKind uint8

// The kinds of items.
const (
	NoItem ItemKind = iota
	TableItem
	UserItem
	TeamItem
	ColumnProfileItem
	ShareItem
	AppItem
	FlowItem
)

// PutItemRequest makes an item or replaces it. Etag is empty where there is none yet.
type PutItemRequest struct {
	Context
	Item Item
	Etag string
}

// DeleteItemRequest removes an item, of which only what identifies it is looked at.
type DeleteItemRequest struct {
	Context
	Item Item
	Etag string
}

// ItemResult holds the item as it is now, or as it was.
type ItemResult struct {
	Outcome
	Item Item
}

// ItemsRequest asks for the items of one kind in an environment.
type ItemsRequest struct {
	Tenant, Environment string
	Kind                ItemKind
	Page                Page
}

// A dataItem is an [Item] with what is done to those of its kind.
type dataItem interface {
	// identify brings what identifies the item into its one form.
	identify(a *Admin) error
	// check brings the rest into its one form, as far as the store does not.
	check(a *Admin) error
	environment() string
	target() string
	// spelled is the item with a bundle's field names.
	spelled() any
	load(r Reader, tenant string) (dataItem, bool, error)
	put(t *txn) error
	drop(t *txn) error
	// touches is what a change is about that makes the item of another, nil for none; of a
	// removal the item is what was there and next is nil.
	touches(t *txn, next dataItem) (touch, error)
	shown() Item
}

// itemOfKind finds the one thing that an item is.
func itemOfKind(field string, i *Item) (dataItem, error) {
	var found []dataItem
	if i.Table != nil {
		found = append(found, &tableItem{*i.Table})
	}
	if i.User != nil {
		found = append(found, &userItem{*i.User})
	}
	if i.Team != nil {
		found = append(found, &teamItem{*i.Team})
	}
	if i.ColumnProfile != nil {
		found = append(found, &profileItem{*i.ColumnProfile})
	}
	if i.Share != nil {
		found = append(found, &shareItem{*i.Share})
	}
	if i.App != nil {
		found = append(found, &appItem{*i.App})
	}
	if i.Flow != nil {
		found = append(found, &flowItem{*i.Flow})
	}
	if len(found) != 1 {
		return nil, fail(Invalid, field, "the item is none of a table, a user, a team, a column profile, a share, an app and a flow", "name one")
	}
	return found[0], nil
}

func itemEtag(tenant string, i dataItem) string { return etagOf(tenant, i.spelled()) }

func (t *txn) shownItem(i dataItem) Item {
	shown := i.shown()
	shown.Etag = itemEtag(t.tenant, i)
	return shown
}

// PutItem makes an item of an environment with a database, or replaces it. It needs
// Authorization.RoleAssignments.Write at the environment, covering security roles; for a
// team also at every scope at which it is assigned anything, covering that. Whoever may
// share a record by its own rights may share it, with no right that it does not have on it;
// and whoever may share an app by PowerApps.Share.Write at it may say with whom.
func (a *Admin) PutItem(ctx context.Context, c Caller, q PutItemRequest) (ItemResult, error) {
	return mutate(ctx, a, c, "PutItem", tokens, q, &q.Context, func(t *txn) (ItemResult, error) {
		k, item, refused, err := t.editedItem(a.write, &q.Item)
		if err != nil {
			return ItemResult{}, err
		}
		if err := item.check(a); err != nil {
			return ItemResult{}, err
		}
		old, exists, err := t.item(item)
		if err != nil {
			return ItemResult{}, err
		}
		if refused != nil {
			if err := t.mayInstead(k, old, item, refused); err != nil {
				return ItemResult{}, err
			}
		}
		etag := ""
		if exists {
			etag = itemEtag(t.tenant, old)
		}
		if err := matches(q.Etag, etag, exists); err != nil {
			return ItemResult{}, err
		}
		if exists && etag == itemEtag(t.tenant, item) {
			return ItemResult{Item: t.shownItem(old)}, nil
		}
		about, err := t.aboutItem(k, a.write, old, item)
		if err != nil {
			return ItemResult{}, err
		}
		if err := t.guardRunning(k, about, old, item); err != nil {
			return ItemResult{}, err
		}
		err = t.apply(k, about, func() error {
			var before any
			if exists {
				before = old.spelled()
			}
			if err := t.change(item.target(), environmentScope(t.tenant, item.environment()), before, item.spelled()); err != nil {
				return err
			}
			return item.put(t)
		})
		return ItemResult{Item: t.shownItem(item)}, err
	})
}

// DeleteItem removes an item. It needs Authorization.RoleAssignments.Delete where PutItem
// needs .Write. What another item, or a role, names is not removed.
func (a *Admin) DeleteItem(ctx context.Context, c Caller, q DeleteItemRequest) (ItemResult, error) {
	return mutate(ctx, a, c, "DeleteItem", tokens, q, &q.Context, func(t *txn) (ItemResult, error) {
		k, item, refused, err := t.editedItem(a.remove, &q.Item)
		if err != nil {
			return ItemResult{}, err
		}
		old, exists, err := t.item(item)
		if err != nil {
			return ItemResult{}, err
		}
		if refused != nil {
			if err := t.mayInstead(k, old, nil, refused); err != nil {
				return ItemResult{}, err
			}
		}
		if !exists {
			return ItemResult{}, failf(NotFound, "Item", "", "the environment %q has no such item", item.environment())
		}
		if err := matches(q.Etag, itemEtag(t.tenant, old), true); err != nil {
			return ItemResult{}, err
		}
		about, err := t.aboutItem(k, a.remove, old, nil)
		if err != nil {
			return ItemResult{}, err
		}
		err = t.apply(k, about, func() error { return t.dropItem(old) })
		return ItemResult{Item: t.shownItem(old)}, err
	})
}

// item finds the item that another names; nil where there is none.
func (t *txn) item(named dataItem) (dataItem, bool, error) {
	old, exists, err := named.load(t.e, t.tenant)
	if err != nil || !exists {
		return nil, false, err
	}
	return old, true, nil
}

func (t *txn) dropItem(old dataItem) error {
	if err := t.change(old.target(), environmentScope(t.tenant, old.environment()), old.spelled(), nil); err != nil {
		return err
	}
	return old.drop(t)
}

// editedItem reads which item is meant, and whether the caller may change whatever the
// database holds: refused says why not. Nothing is told of an environment before.
func (t *txn) editedItem(permission authz.PermissionID, i *Item) (k *asker, item dataItem, refused, err error) {
	if item, err = itemOfKind("Item", i); err != nil {
		return nil, nil, nil, err
	}
	if err := item.identify(t.a); err != nil {
		return nil, nil, nil, err
	}
	if k, err = t.asker(); err != nil {
		return nil, nil, nil, err
	}
	refused = k.needFor(permission, anySecurityRole, environmentScope(t.tenant, item.environment()))
	switch item.(type) {
	case *shareItem, *appItem:
		if KindOf(refused) == Forbidden && refused != nil {
			return k, item, refused, nil
		}
	}
	if refused != nil {
		return nil, nil, nil, refused
	}
	return k, item, nil, t.hasDatabase(k, "Item.Environment", item.environment())
}

// mayInstead lets those share who may share what is theirs to share; refused is for all
// others.
func (t *txn) mayInstead(k *asker, old, next dataItem, refused error) error {
	switch is := next.(type) {
	case *shareItem:
		if before, _ := old.(*shareItem); before != nil { // whose rights are replaced
			if err := t.mayShare(before, refused); err != nil {
				return err
			}
		}
		return t.mayShare(is, refused)
	case *appItem:
		before, _ := old.(*appItem)
		if before == nil || !t.a.knowsShareApp || !k.holds(t.a.shareApp, before.scope(t.tenant)) {
			return refused
		}
		same := *is
		same.SharedWith, same.SharedWithEveryone = before.SharedWith, before.SharedWithEveryone
		if itemEtag(t.tenant, &same) != itemEtag(t.tenant, before) {
			return refused
		}
		return nil
	case nil:
		if before, _ := old.(*shareItem); before != nil {
			return t.mayShare(before, refused)
		}
	}
	return refused
}

// mayShare checks that the caller may share a record, and has on it itself every right that
// the share gives. Of the record only what is stored is believed, which is how it is shared:
// what the caller says of its owner could be anything.
func (t *txn) mayShare(s *shareItem, refused error) error {
	shares, err := t.e.SharesOf(t.tenant, s.Environment, s.Table, s.Record)
	if err != nil {
		return err
	}
	record := &authz.Record{Owner: nobody, Shares: shares}
	may, err := t.mayRecords(s.Environment, s.Table, authz.SharePrivilege, record)
	if err != nil {
		return err
	}
	if !may {
		return refused
	}
	for _, right := range authz.TablePrivileges() {
		if !s.Rights.Has(right) {
			continue
		}
		has, err := t.mayRecords(s.Environment, s.Table, right, record)
		if err != nil {
			return err
		}
		if !has {
			e := failf(Escalation, "Item.Share.Rights", "leave the right out, or let somebody share the record who has it",
				"the share is wider than the sharer's own rights: the caller may not %v the record", right)
			e.Scope = environmentScope(t.tenant, s.Environment)
			return e
		}
	}
	return nil
}

// aboutItem is what a change of an item is about. old or next is nil where there is none.
func (t *txn) aboutItem(k *asker, permission authz.PermissionID, old, next dataItem) (touch, error) {
	if team := teamOf(old, next); team != nil {
		places, _, err := t.placesOf(team.principal())
		if err != nil {
			return touch{}, err
		}
		if _, listed, err := t.e.Team(t.tenant, team.ID); err != nil {
			return touch{}, err
		} else if listed {
			if err := t.needPlaces(k, permission, places); err != nil {
				return touch{}, err
			}
		}
		if err := t.checkTeam(k, old, next); err != nil {
			return touch{}, err
		}
	}
	is := old
	if old == nil {
		is, next = next, nil
	}
	return is.touches(t, next)
}

func teamOf(items ...dataItem) *teamItem {
	for _, i := range items {
		if team, is := i.(*teamItem); is {
			return team
		}
	}
	return nil
}

// checkTeam checks that nobody who comes to be in a team undercuts a DENY by it.
func (t *txn) checkTeam(k *asker, old, next dataItem) error {
	was, _ := old.(*teamItem)
	is, _ := next.(*teamItem)
	if is == nil {
		return nil
	}
	s, err := newState(t.a, t.e, t.tenant)
	if err != nil {
		return err
	}
	grants, err := s.directly(is.principal())
	if err != nil {
		return err
	}
	for _, p := range is.joining(was) {
		of, err := s.belongings(p)
		if err != nil {
			return err
		}
		for i := range grants {
			if g := &grants[i]; g.Effect == authz.AssignAllow && live(g, t.now) {
				if err := t.beneathDeny(k, s, g.Role, g.Scope, of, t.mayCount(p)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Items lists the items of one kind, by what identifies them. It needs
// Authorization.RoleAssignments.Read at the environment.
func (a *Admin) Items(ctx context.Context, c Caller, q ItemsRequest) (List[Item], error) {
	var list List[Item]
	err := a.question(ctx, c, "Items", q.Tenant, func(k *asker) error {
		id, err := k.readEnvironment(q.Environment)
		if err != nil {
			return err
		}
		items, err := itemsOfKind(k.r, k.tenant, id, q.Kind)
		if err != nil {
			return err
		}
		request := struct {
			Environment string
			Kind        ItemKind
		}{id, q.Kind}
		found, err := pageOf(k, "Items", request, q.Page, ordered(items, dataItem.target), dataItem.target, always)
		if err != nil {
			return err
		}
		list = List[Item]{Next: found.Next, Revision: found.Revision}
		for _, item := range found.Items {
			shown := item.shown()
			shown.Etag = itemEtag(k.tenant, item)
			list.Items = append(list.Items, shown)
		}
		return nil
	})
	return list, err
}

func itemsOfKind(r Reader, tenant, environment string, kind ItemKind) ([]dataItem, error) {
	var all []dataItem
	var err error
	switch kind {
	case TableItem:
		err = eachItem(r.Tables(tenant, environment), func(x snapshot.Table) { all = append(all, &tableItem{x}) })
	case UserItem:
		err = eachItem(r.EnvironmentUsers(tenant, environment), func(x snapshot.EnvironmentUser) { all = append(all, &userItem{x}) })
	case TeamItem:
		err = eachItem(r.Teams(tenant, environment), func(x snapshot.Team) { all = append(all, &teamItem{x}) })
	case ColumnProfileItem:
		err = eachItem(r.ColumnProfiles(tenant, environment), func(x snapshot.ColumnProfile) { all = append(all, &profileItem{x}) })
	case ShareItem:
		err = eachItem(r.Shares(tenant, environment), func(x snapshot.Share) { all = append(all, &shareItem{x}) })
	case AppItem:
		err = eachItem(r.Apps(tenant, environment), func(x snapshot.App) { all = append(all, &appItem{x}) })
	case FlowItem:
		err = eachItem(r.Flows(tenant, environment), func(x snapshot.Flow) { all = append(all, &flowItem{x}) })
	default:
		err = fail(Invalid, "Kind", "the kind of items is none of tables, users, teams, column profiles, shares, apps and flows", "name one")
	}
	return all, err
}

func eachItem[T any](items func(yield func(T, error) bool), take func(T)) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		take(item)
	}
	return nil
}

// removeItems removes all that an environment has, with its security roles, in an order in
// which nothing names what is gone.
func (t *txn) removeItems(environment string) error {
	kinds := []ItemKind{FlowItem, AppItem, ShareItem, ColumnProfileItem, TeamItem, UserItem, NoItem, TableItem}
	for _, kind := range kinds {
		if kind == NoItem {
			custom, err := t.e.RoleDefinitions(t.tenant)
			if err != nil {
				return err
			}
			for _, def := range custom {
				if def.Environment != environment {
					continue
				}
				if err := t.putDefinition(&def, nil); err != nil {
					return err
				}
			}
			continue
		}
		items, err := itemsOfKind(t.e, t.tenant, environment, kind)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := t.dropItem(item); err != nil {
				return err
			}
		}
	}
	return nil
}
