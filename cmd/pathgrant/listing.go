package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// pageFlags say how much of an answer that comes in pages is wanted.
type pageFlags struct {
	limit int
	token string
}

func (p *pageFlags) flags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.limit, "limit", 100, "print so many at most; 0: all of them")
	cmd.Flags().StringVar(&p.token, "page-token", "", "go on behind an answer that was cut off, with the token that it printed")
}

func (p *pageFlags) check() error {
	if p.limit < 0 {
		return usagef("--limit %d: want 0 for all, or more", p.limit)
	}
	return nil
}

// An answerEnd is how far an answer went.
type answerEnd struct {
	next     string
	changed  bool
	revision *pathgrantv1.Revision
}

// maxReversePage is the largest page that is asked for.
const maxReversePage = 1000

// print says what text tables do not have room for.
func (e answerEnd) print(cmd *cobra.Command) {
	if e.changed {
		fmt.Fprintln(cmd.ErrOrStderr(), "pathgrant: the data changed meanwhile: whomever that concerns may be missing, or listed twice")
	}
	if e.next != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "pathgrant: there are more: go on with --page-token %s, or print all with --limit 0\n", e.next)
	}
}

// A listing is a question that is answered by a list, page by page.
type listing[T any] struct {
	// name is what the items are called in JSON, and header are the cells above those of a
	// row, up to the assignment's.
	name, header string
	row          func(T) string
	page         func(ctx context.Context, asked explainer, size int32, token string) ([]T, answerEnd, error)
}

// print asks for as many items as are wanted and prints them.
func (l listing[T]) print(cmd *cobra.Command, source *explainSource, pages *pageFlags, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	if err := pages.check(); err != nil {
		return err
	}
	return source.ask(cmd, func(ctx context.Context, asked explainer) error {
		all, end, err := l.all(ctx, asked, pages)
		if err != nil {
			return err
		}
		if output == "json" {
			return printJSON(cmd.OutOrStdout(), map[string]any{
				l.name: all, "nextPageToken": end.next, "changed": end.changed, "revision": revisionShown(end.revision),
			})
		}
		rows := make([]string, 0, len(all))
		for _, item := range all {
			rows = append(rows, l.row(item))
		}
		end.print(cmd)
		return printTable(cmd.OutOrStdout(), l.header+assignmentCells, rows)
	})
}

// all asks for pages until there are as many items as are wanted.
func (l listing[T]) all(ctx context.Context, asked explainer, pages *pageFlags) ([]T, answerEnd, error) {
	all, end := []T{}, answerEnd{next: pages.token}
	for {
		size := maxReversePage
		if pages.limit > 0 {
			size = min(size, pages.limit-len(all))
		}
		items, after, err := l.page(ctx, asked, int32(size), end.next)
		if err != nil {
			return nil, end, err
		}
		all = append(all, items...)
		after.changed = after.changed || end.changed
		if end = after; end.next == "" || pages.limit > 0 && len(all) >= pages.limit {
			return all, end, nil
		}
	}
}
