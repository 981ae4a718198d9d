package rpc

import (
	"context"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// ListAuditEntries implements AuditService.
func (s *Administration) ListAuditEntries(ctx context.Context, in *pathgrantv1.ListAuditEntriesRequest) (*pathgrantv1.ListAuditEntriesResponse, error) {
	found, err := s.o.Admin.Audit(ctx, caller(ctx), admin.AuditRequest{Tenant: in.GetTenant(), After: in.GetAfterNumber(), Size: int(in.GetPageSize())})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListAuditEntriesResponse{Entries: each(found.Entries, auditEntry), More: found.More}, nil
}

// VerifyAudit implements AuditService.
func (s *Administration) VerifyAudit(ctx context.Context, _ *pathgrantv1.VerifyAuditRequest) (*pathgrantv1.VerifyAuditResponse, error) {
	v, err := s.o.Admin.AuditVerify(ctx, caller(ctx))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.VerifyAuditResponse{
		Intact: v.Intact, Verified: v.Verified, Head: hex.EncodeToString(v.Head.Hash[:]), Problem: v.Problem,
	}, nil
}

func auditEntry(e admin.AuditEntry) *pathgrantv1.AuditEntry {
	return &pathgrantv1.AuditEntry{
		Number: e.Number, Time: timestamppb.New(e.Time), EntryJson: string(e.Text), Hash: fmt.Sprintf("%x", e.Hash),
	}
}
