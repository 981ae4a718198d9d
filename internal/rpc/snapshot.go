package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	// sentChunk is how many bytes of a bundle or a backup one message has.
	sentChunk = 256 << 10
	// maxImport bounds a bundle that is sent. Larger ones are imported with the server
	// stopped, which does not hold them in memory.
	maxImport = 128 << 20
)

// ExportSnapshot implements SnapshotService.
func (s *Administration) ExportSnapshot(in *pathgrantv1.ExportSnapshotRequest, stream grpc.ServerStreamingServer[pathgrantv1.ExportSnapshotResponse]) error {
	json, err := isJSON("format", in.GetFormat())
	if err != nil {
		return err
	}
	ctx := stream.Context()
	data, at, err := s.o.Admin.Export(ctx, caller(ctx), in.GetTenant())
	if err != nil {
		return err
	}
	if err := stream.Send(&pathgrantv1.ExportSnapshotResponse{Revision: revision(at)}); err != nil {
		return err
	}
	out := &chunks{send: func(chunk []byte) error { return stream.Send(&pathgrantv1.ExportSnapshotResponse{Chunk: chunk}) }}
	return out.end(s.o.WriteBundle(out, data, json))
}

// BackupSnapshot implements SnapshotService.
func (s *Administration) BackupSnapshot(_ *pathgrantv1.BackupSnapshotRequest, stream grpc.ServerStreamingServer[pathgrantv1.BackupSnapshotResponse]) error {
	ctx := stream.Context()
	if err := s.o.Admin.RequireOperator(caller(ctx)); err != nil {
		return err
	}
	out := &chunks{send: func(chunk []byte) error { return stream.Send(&pathgrantv1.BackupSnapshotResponse{Chunk: chunk}) }}
	_, err := s.o.Backup(ctx, out, func(at authz.Revision) error {
		return stream.Send(&pathgrantv1.BackupSnapshotResponse{Revision: revision(at)})
	})
	if err != nil && ctx.Err() == nil {
		s.o.Log.ErrorContext(ctx, "backup failed", "err", err)
	}
	return out.end(err)
}

// ImportSnapshot implements SnapshotService.
func (s *Administration) ImportSnapshot(stream grpc.ClientStreamingServer[pathgrantv1.ImportSnapshotRequest, pathgrantv1.ImportSnapshotResponse]) error {
	ctx := stream.Context()
	if err := s.o.Admin.RequireOperator(caller(ctx)); err != nil {
		return err // before anything is read of the bundle
	}
	first, text, err := receiveBundle(stream)
	if err != nil {
		return err
	}
	json, err := isJSON("format", first.GetFormat())
	if err != nil {
		return err
	}
	data, err := s.o.ReadBundle(text, json)
	if err != nil {
		return invalid("chunk", "the bundle is refused: "+clipped(err.Error()))
	}
	made, err := s.o.Admin.Import(ctx, caller(ctx), admin.ImportRequest{
		Context: changeContext(first.GetContext()), Data: data, Source: "import", ValidateOnly: first.GetValidateOnly(),
	})
	if err != nil {
		return adminError(first, err)
	}
	if !first.GetValidateOnly() {
		s.logChange(ctx, pathgrantv1.SnapshotService_ImportSnapshot_FullMethodName, first, revision(made.Revision))
	}
	return stream.SendAndClose(&pathgrantv1.ImportSnapshotResponse{
		Revision: revision(made.Revision), Added: made.Added, Changed: made.Changed, Removed: made.Removed,
	})
}

// receiveBundle reads the pieces of a bundle.
func receiveBundle(stream grpc.ClientStreamingServer[pathgrantv1.ImportSnapshotRequest, pathgrantv1.ImportSnapshotResponse]) (first *pathgrantv1.ImportSnapshotRequest, text []byte, err error) {
	for {
		in, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && first == nil:
			return nil, nil, invalid("chunk", "no message was sent")
		case errors.Is(err, io.EOF):
			return first, text, nil
		case err != nil:
			return nil, nil, err
		case first == nil:
			first = in
		case in.GetContext() != nil || in.GetFormat() != pathgrantv1.BundleFormat_BUNDLE_FORMAT_UNSPECIFIED || in.GetValidateOnly():
			return nil, nil, status.Error(codes.InvalidArgument, "context, format and validate_only belong into the first message")
		}
		if len(text)+len(in.GetChunk()) > maxImport {
			return nil, nil, invalid("chunk", fmt.Sprintf("the bundle has more than %d bytes: stop the server and use pathgrant import", maxImport))
		}
		text = append(text, in.GetChunk()...)
	}
}

// clipped shortens what a refused bundle is told: it may have many thousand problems, and a
// status must fit into a header.
func clipped(text string) string {
	const most = 4096
	if len(text) <= most {
		return text
	}
	return text[:most] + " …"
}

func isJSON(field string, format pathgrantv1.BundleFormat) (bool, error) {
	switch format {
	case pathgrantv1.BundleFormat_BUNDLE_FORMAT_UNSPECIFIED, pathgrantv1.BundleFormat_BUNDLE_FORMAT_YAML:
		return false, nil
	case pathgrantv1.BundleFormat_BUNDLE_FORMAT_JSON:
		return true, nil
	default:
		return false, invalid(field, "the format is not known: want YAML or JSON")
	}
}

// chunks is a writer that sends what is written to it in pieces.
type chunks struct {
	send func([]byte) error
	held []byte
}

func (c *chunks) Write(p []byte) (int, error) {
	n := len(p)
	for len(c.held)+len(p) >= sentChunk {
		room := sentChunk - len(c.held)
		if err := c.flush(append(c.held, p[:room]...)); err != nil {
			return 0, err
		}
		p = p[room:]
	}
	c.held = append(c.held, p...)
	return n, nil
}

// flush sends a piece and begins a new one: a message may still be read after it was sent.
func (c *chunks) flush(piece []byte) error {
	c.held = make([]byte, 0, sentChunk)
	return c.send(piece)
}

// end sends what is left, unless writing failed.
func (c *chunks) end(err error) error {
	if err != nil || len(c.held) == 0 {
		return err
	}
	return c.flush(c.held)
}

// WatchChanges implements SnapshotService.
func (s *Administration) WatchChanges(in *pathgrantv1.WatchChangesRequest, stream grpc.ServerStreamingServer[pathgrantv1.WatchChangesResponse]) error {
	ctx := stream.Context()
	after := authz.Revision{Epoch: in.GetAfterRevision().GetEpoch(), Number: in.GetAfterRevision().GetNumber()}
	if in.GetAfterRevision() == nil {
		var err error
		if after, err = s.o.Changed(ctx, authz.Revision{}); err != nil {
			return watchEnded(ctx, err)
		}
	}
	// The first look says whether the caller may watch, and whether the revision is known.
	if _, err := s.changes(ctx, in.GetTenant(), after, 1); err != nil {
		return adminError(in, err)
	}
	if err := stream.Send(&pathgrantv1.WatchChangesResponse{Revision: revision(after)}); err != nil {
		return err
	}
	for {
		found, err := s.changes(ctx, in.GetTenant(), after, 0)
		if err != nil {
			return adminError(in, err)
		}
		for _, r := range found.Revisions {
			if r.Whole {
				return adminError(in, &admin.Error{
					Kind: admin.Compacted, Field: "After", Message: fmt.Sprintf("revision %d.%d replaced everything", r.Revision.Epoch, r.Revision.Number),
					Mend: "read the whole, and watch after its revision",
				})
			}
			if err := stream.Send(changesOf(r)); err != nil {
				return err
			}
		}
		if after = found.Through; found.More {
			continue
		}
		if err := s.awaitChange(ctx, after); err != nil {
			return watchEnded(ctx, err)
		}
	}
}

func (s *Administration) changes(ctx context.Context, tenant string, after authz.Revision, limit int) (admin.Changes, error) {
	return s.o.Admin.Changes(ctx, caller(ctx), admin.ChangesRequest{Tenant: tenant, After: after, Limit: limit})
}

// awaitChange waits for a newer revision. Meanwhile it looks whether the caller's
// credentials are still valid: what the caller may do is looked at with each change.
func (s *Administration) awaitChange(ctx context.Context, after authz.Revision) error {
	for {
		if err := recheck(ctx); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, recheckCaller)
		_, err := s.o.Changed(short, after)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// watchEnded says why a watch ends.
func watchEnded(ctx context.Context, err error) error {
	var refused *admin.Error
	switch {
	case errors.As(err, &refused):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return status.FromContextError(ctx.Err()).Err()
	case ctx.Err() != nil:
		return status.Error(codes.Unavailable, "the call or the server is ending: watch again after the last revision")
	default:
		return status.Error(codes.Unavailable, "there is no data to watch: try again later")
	}
}

func changesOf(r admin.RevisionChange) *pathgrantv1.WatchChangesResponse {
	out := &pathgrantv1.WatchChangesResponse{Revision: revision(r.Revision)}
	for _, item := range r.Items {
		out.Changes = append(out.Changes, &pathgrantv1.Change{
			Action: r.Action, Target: item.Target, BeforeJson: string(item.Before), AfterJson: string(item.After),
		})
	}
	return out
}
