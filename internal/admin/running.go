package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A running is what decides who may run an app or a flow.
type running struct {
	name     string // for people
	everyone bool
	with     []authz.Principal
	// takes are what has to be there for it to run: whose access, to which tables and by which
	// connectors.
	takes []string
}

// makerParty begins what a flow takes of its maker.
const makerParty = "maker "

// runningOf returns it of an app or a flow, the zero one of any other item and of none.
func runningOf(item dataItem) running {
	switch i := item.(type) {
	case *appItem:
		r := running{name: fmt.Sprintf("the app %q", i.ID), everyone: i.SharedWithEveryone, with: i.SharedWith}
		r.takesOf("user", i.Tables)
		return r
	case *flowItem:
		r := running{name: fmt.Sprintf("the flow %q", i.ID), with: i.RunOnly}
		for _, c := range i.Connections {
			party := "user"
			switch {
			case c.Provider == snapshot.MakerProvides:
				party = makerParty + i.Maker.Key().String()
			case c.Provider != snapshot.RunOnlyUserProvides:
				party = "nobody" // so that it does not run
			}
			r.takes = append(r.takes, party+" by "+strings.ToLower(c.Connector))
			r.takesOf(party, c.Tables)
		}
		return r
	default:
		return running{}
	}
}

func (r *running) takesOf(party string, uses []snapshot.TableUse) {
	for _, use := range uses {
		names := rightNames(use.Privileges)
		if len(names) == 0 {
			names = []string{"what the catalogue says"}
		}
		for _, name := range names {
			r.takes = append(r.takes, party+" to "+authz.TableKey(use.Table)+" "+name)
		}
	}
}

// sharedWith tells whether any of the principals is one that it is shared with.
func (r *running) sharedWith(is func(authz.Principal) bool) bool {
	return r.everyone || slices.ContainsFunc(r.with, func(p authz.Principal) bool { return is(p.Key()) })
}

// guardRunning refuses a change by which the caller comes to run an app or a flow: because it
// is shared with the caller or whatever that belongs to or owns, or because one that is takes
// less than before, or somebody else's access. Whoever may share the app may open it, and a
// flow's maker runs their own.
func (t *txn) guardRunning(k *asker, about touch, old, next dataItem) error {
	after := runningOf(next)
	if after.name == "" || t.caller.Kind != Token || t.a.selfAllowed {
		return nil
	}
	switch is := next.(type) {
	case *appItem:
		if t.a.knowsShareApp && k.holds(t.a.shareApp, is.scope(t.tenant)) {
			return nil
		}
	case *flowItem:
		self := t.caller.Subject.Principal().Key()
		if was, there := old.(*flowItem); is.Maker.Key() == self && (!there || was.Maker.Key() == self) {
			return nil
		}
	}
	ps, err := t.powers(k, about, nil)
	if err != nil {
		return err
	}
	if !after.sharedWith(func(p authz.Principal) bool { return ps.of[p] != nil }) {
		return nil
	}
	before := runningOf(old)
	ran := before.sharedWith(func(p authz.Principal) bool { return ps.of[p] != nil && !ps.perhaps[p] })
	less := slices.ContainsFunc(before.takes, func(what string) bool { return !slices.Contains(after.takes, what) })
	others := slices.ContainsFunc(after.takes, func(what string) bool {
		return strings.HasPrefix(what, makerParty) && !slices.Contains(before.takes, what)
	})
	if ran && !less && !others {
		return nil
	}
	return &Error{
		Kind: SelfEscalation, Scope: environmentScope(t.tenant, next.environment()),
		Message: "the caller, or what it belongs to or owns, would come to run " + after.name + ", or to run it with less or with the access of somebody else",
		Mend:    "let another administrator make the change",
	}
}
