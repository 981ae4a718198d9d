package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List, verify and export the record of who changed what",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(auditListCommand(), auditVerifyCommand(), auditExportCommand())
	return cmd
}

// shownEntry is an entry of the change audit as it is printed.
type shownEntry struct {
	Number uint64          `json:"number"`
	Time   time.Time       `json:"time"`
	Hash   string          `json:"hash"`
	Entry  json.RawMessage `json:"entry"`
}

// summary are the parts of an entry that a line of text has room for.
type summary struct {
	Action     string `json:"action"`
	Tenant     string `json:"tenant"`
	CallerKind string `json:"callerKind"`
	Caller     struct {
		Type string `json:"principalType"`
		ID   string `json:"principalObjectId"`
	} `json:"caller"`
	Changes []struct {
		Target string `json:"target"`
	} `json:"changes"`
}

func (e shownEntry) columns() string {
	var s summary
	_ = json.Unmarshal(e.Entry, &s) // what can't be read stays empty; -o json has it whole
	who := s.CallerKind
	if s.Caller.ID != "" {
		who = s.Caller.Type + " " + s.Caller.ID
	}
	target := ""
	if len(s.Changes) > 0 {
		target = s.Changes[0].Target
	}
	if len(s.Changes) > 1 {
		target += fmt.Sprintf(" and %d more", len(s.Changes)-1)
	}
	return strings.Join([]string{fmt.Sprint(e.Number), e.Time.Format(time.RFC3339), who, s.Action, s.Tenant, target}, "\t")
}

// eachEntry reads all entries after a number, at most so many; 0: all.
func eachEntry(ctx context.Context, client *adminClient, conn *grpc.ClientConn, tenant string, after uint64, most int, use func(*pathgrantv1.AuditEntry) error) error {
	service := pathgrantv1.NewAuditServiceClient(conn)
	for n := 0; ; {
		size := 1000
		if most > 0 {
			size = min(size, most-n)
		}
		page, err := call(ctx, client, service.ListAuditEntries, &pathgrantv1.ListAuditEntriesRequest{Tenant: tenant, AfterNumber: after, PageSize: int32(size)})
		if err != nil {
			return err
		}
		for _, e := range page.GetEntries() {
			if err := use(e); err != nil {
				return err
			}
			after = e.GetNumber()
			n++
		}
		if !page.GetMore() || most > 0 && n >= most {
			return nil
		}
	}
}

func auditListCommand() *cobra.Command {
	var (
		client         adminClient
		tenant, output string
		after          uint64
		most           int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List entries, oldest first; with -o json one JSON object a line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if most < 0 {
				return usagef("--limit %d: want 0 or more", most)
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				var rows []string
				err := eachEntry(ctx, &client, conn, tenant, after, most, func(e *pathgrantv1.AuditEntry) error {
					shown := shownEntry{e.GetNumber(), e.GetTime().AsTime(), e.GetHash(), json.RawMessage(e.GetEntryJson())}
					if output == "json" {
						return printJSON(cmd.OutOrStdout(), shown)
					}
					rows = append(rows, shown.columns())
					return nil
				})
				if err != nil || output == "json" {
					return err
				}
				return printTable(cmd.OutOrStdout(), "NUMBER\tTIME\tWHO\tACTION\tTENANT\tTARGET", rows)
			})
		},
	}
	client.readerFlags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant (default the caller's own; for the operator all)")
	cmd.Flags().Uint64Var(&after, "after", 0, "only entries after this `number`")
	cmd.Flags().IntVar(&most, "limit", 0, "how many at most; 0: all")
	outputFlag(cmd, &output)
	return cmd
}

// shownVerification is what a verification prints.
type shownVerification struct {
	Intact   bool   `json:"intact"`
	Verified uint64 `json:"verified"`
	Head     string `json:"head"`
	Problem  string `json:"problem,omitempty"`
}

func verificationShown(v admin.AuditVerification) shownVerification {
	return shownVerification{v.Intact, v.Verified, hex.EncodeToString(v.Head.Hash[:]), v.Problem}
}

func (v shownVerification) print(w io.Writer, output string) error {
	if output == "json" {
		if err := printJSON(w, v); err != nil {
			return err
		}
	} else if v.Intact {
		fmt.Fprintf(w, "intact: %d entries, head %s\n", v.Verified, v.Head)
	}
	if !v.Intact {
		return fmt.Errorf("the change audit is not intact after entry %d: %s", v.Verified, v.Problem)
	}
	return nil
}

func auditVerifyCommand() *cobra.Command {
	var (
		client       adminClient
		offline      bool
		files        modelFiles
		output, data string
	)
	cmd := &cobra.Command{
		Use:   "verify [EXPORT]",
		Short: "Compare every hash of the change audit, and its head",
		Long: `Compare every hash of the change audit, and its head: of a running server, of a data
directory with --offline, or of a file that pathgrant audit export wrote. Exit code 1 if
anything does not fit.

Whoever can replace the whole store can replace the audit with it. Keep the head that this
command prints somewhere else: the entry of that number must have that hash for ever.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			data = client.data
			switch {
			case len(args) == 1:
				v, err := verifyExport(args[0], cmd.InOrStdin())
				if err != nil {
					return err
				}
				return verificationShown(v).print(cmd.OutOrStdout(), output)
			case offline:
				return withLocalAdmin(cmd, data, files, func(ctx context.Context, a *admin.Admin, local admin.Caller) error {
					v, err := a.AuditVerify(ctx, local)
					if err != nil {
						return err
					}
					return verificationShown(v).print(cmd.OutOrStdout(), output)
				})
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				v, err := call(ctx, &client, pathgrantv1.NewAuditServiceClient(conn).VerifyAudit, &pathgrantv1.VerifyAuditRequest{})
				if err != nil {
					return err
				}
				return shownVerification{v.GetIntact(), v.GetVerified(), v.GetHead(), v.GetProblem()}.print(cmd.OutOrStdout(), output)
			})
		},
	}
	client.readerFlags(cmd)
	cmd.Flags().BoolVar(&offline, "offline", false, "read the data directory --data, without a server")
	files.flags(cmd, ", with --offline")
	outputFlag(cmd, &output)
	return cmd
}

func verifyExport(file string, stdin io.Reader) (admin.AuditVerification, error) {
	if file == "-" {
		return admin.VerifyAuditExport(stdin)
	}
	f, err := os.Open(file)
	if err != nil {
		return admin.AuditVerification{}, err
	}
	defer f.Close()
	return admin.VerifyAuditExport(f)
}

// withLocalAdmin opens a data directory to be read, as whoever holds it.
func withLocalAdmin(cmd *cobra.Command, data string, files modelFiles, do func(ctx context.Context, a *admin.Admin, local admin.Caller) error) (err error) {
	loaded, err := files.load()
	if err != nil {
		return err
	}
	store, err := openStore(cmd.Context(), loaded, storeOptions{dir: data, readOnly: true, log: warnings(cmd.ErrOrStderr())})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	a, err := newAdmin(loaded, store, func(o *admin.Options) { o.Writable = false })
	if err != nil {
		return err
	}
	return do(cmd.Context(), a, admin.Caller{Kind: admin.Operator, From: "local", Agent: "pathgrant/" + buildVersion()})
}

func auditExportCommand() *cobra.Command {
	var (
		client  adminClient
		offline bool
		files   modelFiles
		to      string
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the whole change audit so that anybody can verify it",
		Long: `Write the whole change audit: a line that names the format, a line for each entry (its
hash, and the JSON object that was hashed), and a line with the head. It needs the operator.
SHA-256 over the 32 bytes of the hash before and the bytes of the JSON object is the hash
of an entry; before the first one stand 32 zero bytes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return intoFile(to, cmd.OutOrStdout(), func(w io.Writer) error {
				if offline {
					return withLocalAdmin(cmd, client.data, files, func(ctx context.Context, a *admin.Admin, local admin.Caller) error {
						return a.AuditExport(ctx, local, w)
					})
				}
				return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
					return exportAudit(ctx, &client, conn, w)
				})
			})
		},
	}
	client.serverFlags(cmd, defaultAdminServer, "the `address` of the server's --admin-listen")
	client.secretFlags(cmd)
	cmd.Flags().StringVar(&to, "to", "-", "the `file` to write, or - for standard output")
	cmd.Flags().BoolVar(&offline, "offline", false, "read the data directory --data, without a server")
	files.flags(cmd, ", with --offline")
	return cmd
}

// exportAudit writes what a server holds in the form of [admin.Admin.AuditExport].
func exportAudit(ctx context.Context, client *adminClient, conn *grpc.ClientConn, w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "pathgrant-audit 1")
	last, head := uint64(0), strings.Repeat("0", 64)
	err := eachEntry(ctx, client, conn, "", 0, 0, func(e *pathgrantv1.AuditEntry) error {
		last, head = e.GetNumber(), e.GetHash()
		_, err := fmt.Fprintf(out, "%s %s\n", e.GetHash(), e.GetEntryJson())
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "head %d %s\n", last, head)
	return out.Flush()
}
