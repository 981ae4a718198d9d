package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0 // done, or allowed
	exitError  = 1
	exitUsage  = 2
	exitDenied = 3 // denied, or unmapped
)

// errDenied is returned by a command whose answer is a refusal: it has been printed
// already, and only the exit code is left to say it.
var errDenied = errors.New("denied")

// A usageError is a command line that can't be understood.
type usageError struct{ error }

// A refusedError is a server's answer that the caller may not do what it asked for.
type refusedError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is the whole command: it can be called from a test, and ends when ctx does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateFlagGroups(); err != nil { // cobra does so itself, but only after this
			return usageError{err}
		}
		ran = true
		return nil
	}
	err := root.ExecuteContext(ctx)
	var usage usageError
	var refused refusedError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.As(err, &refused):
		fmt.Fprintf(stderr, "pathgrant: %v\n", err)
		return exitDenied
	case errors.As(err, &usage) || !ran:
		fmt.Fprintf(stderr, "pathgrant: %v\nRun pathgrant help for how to use it.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "pathgrant: %v\n", err)
		return exitError
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pathgrant",
		Short: "Your URL is the permission: authorization beside every Envoy",
		Long: `Pathgrant decides, for every request that a proxy or a service asks about, whether
this caller may do this. Each method and path maps by a naming convention to a
permission, {namespace}.{resourceType}.{action}; role assignments say who holds it
where; the answer comes from a snapshot on this machine.

Exit codes: 0 done (or allowed), 1 error, 2 usage, 3 denied or unmapped.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		// Without it, an unknown command would be answered with the help and exit code 0.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		serveCommand(), mapCommand(), checkCommand(), explainCommand(), whoCanCommand(), whatCanCommand(), whereCanCommand(), catalogueCommand(),
		rolesCommand(), assignmentsCommand(), dataverseCommand(), auditCommand(), bootstrapCommand(), breakGlassCommand(),
		importCommand(), exportCommand(), backupCommand(), restoreCommand(), statusCommand(), versionCommand(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() { // cobra's own, which answer what they do not know with exit code 0
		case "help":
			cmd.Run, cmd.RunE = nil, help
		case "completion":
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

func help(cmd *cobra.Command, args []string) error {
	topic, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usagef("there is no help for %q", strings.Join(args, " "))
	}
	topic.InitDefaultHelpFlag()
	return topic.Help()
}

// printJSON writes v as one line of JSON, with <, > and & as they are.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// outputFlag adds -o to a command that prints results.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "how to print the result: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return usagef("-o %s: want text or json", output)
	}
	return nil
}
