package rest

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The operations of Pathgrant's own.

func (s *server) check(c *call, q *permissionCheck) (explainedCheckResult, error) {
	if c.caller.Kind == admin.Operator {
		return explainedCheckResult{}, operatorRefused.of("An operator belongs to no tenant; use the credentials of an administrator of the tenant.")
	}
	if _, _, err := authz.ParseScope(q.Scope, s.FoldCase); err != nil {
		return explainedCheckResult{}, bodyInvalid.of("Scope: " + err.Error())
	}
	result, err := s.checked(c, q, q.Scope)
	if err != nil {
		return explainedCheckResult{}, err
	}
	shown := explainedCheckResult{HasPermission: len(result.Granted) > 0, Permissions: []explainedPermission{}, Revision: revisionOf(result.Revision)}
	for _, g := range result.Granted {
		shown.HasPermission = shown.HasPermission && g.Granted
		shown.Permissions = append(shown.Permissions, explainedPermission{string(g.Permission), g.Granted, g.Reason.String()})
	}
	return shown, nil
}

func (s *server) listAuditEntries(c *call, _ *noBody) (auditEntryList, error) {
	var request admin.AuditRequest
	size := uint64(s.PageSize)
	for name, into := range map[string]*uint64{"after": &request.After, "limit": &size} {
		if !c.query.Has(name) {
			continue
		}
		n, err := strconv.ParseUint(c.query.Get(name), 10, 63)
		if err != nil || name == "limit" && (n < 1 || n > maxPage) {
			return auditEntryList{}, queryInvalid.of(fmt.Sprintf("%s: want a whole number (limit: 1 to %d)", name, maxPage))
		}
		*into = n
	}
	request.Size = int(size)
	page, err := s.Admin.Audit(c.Context(), c.caller, request)
	if err != nil {
		return auditEntryList{}, err
	}
	shown := auditEntryList{Value: []auditEntry{}}
	for _, e := range page.Entries {
		shown.Value = append(shown.Value, auditEntry{e.Number, e.Time.UTC().Format(time.RFC3339Nano), hex.EncodeToString(e.Hash[:]), string(e.Text)})
	}
	if n := len(shown.Value); page.More && n > 0 {
		shown.NextLink = c.next(url.Values{"after": {strconv.FormatUint(shown.Value[n-1].Number, 10)}, "limit": {strconv.FormatUint(size, 10)}}.Encode())
	}
	return shown, nil
}

func (s *server) verifyAudit(c *call, _ *noBody) (auditVerification, error) {
	v, err := s.Admin.AuditVerify(c.Context(), c.caller)
	if err != nil {
		return auditVerification{}, err
	}
	shown := auditVerification{Intact: v.Intact, Verified: v.Verified, Head: auditHead{v.Head.Number, hex.EncodeToString(v.Head.Hash[:])}}
	if !v.Intact {
		shown.Problem = &v.Problem
	}
	return shown, nil
}

func (s *server) bootstrap(c *call, q *bootstrapRequest) (bootstrapResult, error) {
	principal, err := principalOf(q.PrincipalType, q.PrincipalObjectID)
	if err != nil {
		return bootstrapResult{}, err
	}
	request := admin.BootstrapRequest{Context: admin.Context{Tenant: q.TenantID}, Principal: principal}
	if q.Justification != nil {
		request.Justification = *q.Justification
	}
	result, err := s.Admin.Bootstrap(c.Context(), c.caller, request)
	if err != nil {
		return bootstrapResult{}, err
	}
	c.changed(result.Revision)
	return bootstrapResult{assignmentOf(&result.RoleAssignment), revisionOf(result.Revision)}, nil
}

func (s *server) openAPI(*call, *noBody) (document, error) { return s.document, nil }
