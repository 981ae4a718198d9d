package reverse

import (
	"strconv"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// WhatCan asks what a caller is allowed at a scope.
type WhatCan struct {
	Tenant  string
	Subject *authz.Subject
	// Scope is empty for the tenant. At that of an environment with a database, privileges of
	// its tables are among the answers.
	Scope string
	// May tells whether assignments at a scope may be shown; nil: all may.
	May  func(authz.Scope) bool
	Page Page
}

// A Held is a permission that is allowed.
type Held struct {
	Permission authz.Permission
	// Reach is how far a privilege of a table reaches, which is the whole table for
	// Organization; none for all else.
	Reach authz.Reach
	// Assignment is the one that decided; nil where the asker may not see it.
	Assignment *Assignment
}

// WhatCan answers what a caller is allowed at a scope: first the catalogue's permissions by
// name, then the privileges of the tables, table by table. A disabled caller is allowed
// nothing. Errors to tell apart: [Error].
func (x *Questions) WhatCan(r *snapshot.Reader, ask WhatCan) (List[Held], error) {
	if err := checkSubject(ask.Tenant, ask.Subject); err != nil {
		return List[Held]{}, err
	}
	q, err := x.question(r, ask.Tenant, ask.May, ask.Page, "what", ask.Subject.Key(), ask.Scope)
	if err != nil {
		return List[Held]{}, err
	}
	chain, named, err := q.chain(ask.Scope)
	if err != nil {
		return List[Held]{}, err
	}
	answer := list[Held](q)
	at := q.page.at
	decide, n, err := q.everyPermission(ask.Subject, chain, named)
	if err != nil {
		return List[Held]{}, err
	}
	first := 0
	if q.page.begun {
		if first, err = strconv.Atoi(string(at.Key)); err != nil || first < 0 {
			return List[Held]{}, bad("Page.Token", "it is not the token of the page before")
		}
	}
	q.ready()
	for i := first; i < n; i++ {
		if len(answer.Items) == q.page.size || q.spent() && i > first {
			at.Key = bytes(strconv.Itoa(i))
			answer.Next, err = at.token()
			return answer, err
		}
		held, id := decide(i)
		if id == "" {
			continue
		}
		if held.Assignment, err = q.shownID(id); err != nil {
			return List[Held]{}, err
		}
		answer.Items = append(answer.Items, held)
	}
	return answer, nil
}

func checkSubject(tenant string, s *authz.Subject) error {
	if s == nil || s.Tenant() != tenant {
		return bad("Subject", "want one of the tenant %q", tenant)
	}
	return nil
}

// everyPermission returns how many permissions can be asked for at a scope, and what decides
// about each: the identifier is that of the assignment that allows it, or empty.
func (q *question) everyPermission(s *authz.Subject, chain []authz.Scope, named authz.NamedScope) (decide func(i int) (Held, string), n int, err error) {
	request, view, err := q.request(s, chain)
	if err != nil {
		return nil, 0, err
	}
	platform := q.o.Vocabulary.Len()
	inDatabase, tables, err := q.everyPrivilege(s, named)
	if err != nil {
		return nil, 0, err
	}
	return func(i int) (Held, string) {
		if i >= platform {
			return inDatabase(i - platform)
		}
		held := Held{Permission: q.o.Vocabulary.Name(authz.PermissionID(i))}
		if view.Disabled {
			return held, ""
		}
		request.Permissions[0] = authz.PermissionID(i)
		if d := authz.Decide(view.Grants, request, q.now); d.Allowed() && d.Grant != nil {
			return held, d.Grant.AssignmentID
		}
		return held, ""
	}, platform + tables, nil
}

// request prepares to decide about one permission at a time.
func (q *question) request(s *authz.Subject, chain []authz.Scope) (authz.Request, *snapshot.View, error) {
	request := authz.Request{Permissions: make([]authz.PermissionID, 1), Chains: [][]authz.Scope{chain}}
	view, err := q.held(s)
	if err != nil {
		return request, nil, err
	}
	if t, _ := q.r.Tenant(q.tenant); s.GroupsUnknown() && !t.DirectoryComplete {
		request.GroupsUnknown = true
		request.GroupDenials, err = q.r.GroupDenials(q.tenant)
	}
	return request, view, err
}
