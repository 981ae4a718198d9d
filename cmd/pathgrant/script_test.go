package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			issuer, err := pgtest.NewIssuer("key-1")
			if err != nil {
				return err
			}
			env.Values[issuerValue{}] = issuer
			return os.WriteFile(filepath.Join(env.WorkDir, "jwks.json"), issuer.JWKS(), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"until": until,
			"lines": lines,

			"token":        token,
			"certificates": certificates,
			"matches":      matches,
			"refused":      refused,
			"cut":          cut,
			"port":         port,
		},
	})
}

// exits CODE COMMAND... runs a command, which must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT]...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// until COMMAND... runs a command again and again until it succeeds.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until COMMAND [ARGUMENT]...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ts.Check(pgtest.Poll(ctx, func() error {
		if err := ts.Exec(args[0], args[1:]...); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
		return nil
	}))
}

// lines N checks that the last command printed so many lines.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lines N")
	}
	if got := strconv.Itoa(strings.Count(ts.ReadFile("stdout"), "\n")); got != args[0] {
		ts.Fatalf("%s lines, want %s", got, args[0])
	}
}

// refused COMMAND... runs a command again and again until it ends with exit code 3.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: refused COMMAND [ARGUMENT]...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ts.Check(pgtest.Poll(ctx, func() error {
		var exit *exec.ExitError
		if err := ts.Exec(args[0], args[1:]...); errors.As(err, &exit) && exit.ExitCode() == exitDenied {
			return nil
		} else if err != nil {
			return err
		}
		return fmt.Errorf("%s: it is still allowed", strings.Join(args, " "))
	}))
}

// cut FROM TO copies a file without its last 100 bytes.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FROM TO")
	}
	text := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text[:len(text)-100]), 0o600))
}

// port NAME sets a variable to an address of this machine that nobody listens on.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port NAME")
	}
	address, err := pgtest.FreeAddress()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

// issuerValue is the key of the script's issuer, whose keys are in jwks.json.
type issuerValue struct{}

// token FILE TENANT USER [AUDIENCE] writes a token of the script's issuer.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: token FILE TENANT USER [AUDIENCE]")
	}
	issuer, ok := ts.Value(issuerValue{}).(*pgtest.Issuer)
	if !ok {
		ts.Fatalf("the script has no issuer")
	}
	claims := pgtest.UserClaims(args[1], args[2])
	if len(args) == 4 {
		claims = claims.With("aud", args[3])
	}
	text, err := issuer.Token(claims)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text+"\n"), 0o600))
}

// certificates URI... writes ca.pem, a server's certificate for localhost (server.pem,
// server.key), and for each URI a client's (client1.pem, client1.key, ...).
func certificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: certificates URI...")
	}
	ts.Check(writeCertificates(ts.MkAbs("."), args))
}

// matches NAME REGEXP sets a variable to what the first group matches in the last output.
func matches(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: matches NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("nothing matches %s in the last output", args[1])
	}
	ts.Setenv(args[0], found[1])
}
