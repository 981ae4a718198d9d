package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// runHere runs the command in this process.
func runHere(t *testing.T, stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, stdin, &out, &errOut)
	return out.String(), errOut.String(), code
}

func TestALineThatIsTooLongIsAnsweredAndTheNextOneRead(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	fits := "GET\t/powerapps/apps?" + strings.Repeat("a", limit-len("GET\t/powerapps/apps?\n"))
	for _, test := range []struct {
		name, input string
		reasons     []string
	}{
		{"the longest", fits + "\n", []string{""}},
		{"one byte more", fits + "a\nGET\t/powerapps/apps\n", []string{"BAD_REQUEST", ""}},
		{"many bytes more", strings.Repeat("x", 3*limit) + "\nGET\t/powerapps/apps\n", []string{"BAD_REQUEST", ""}},
		{"without an end", "GET\t/powerapps/apps\n" + strings.Repeat("x", 3*limit), []string{"", "BAD_REQUEST"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := runHere(t, strings.NewReader(test.input), "map", "-")
			if code != exitOK || stderr != "" {
				t.Fatalf("exit code %d, %s", code, stderr)
			}
			var reasons []string
			for line := range strings.Lines(stdout) {
				var answer struct{ Reason, Detail string }
				if err := json.Unmarshal([]byte(line), &answer); err != nil {
					t.Fatal(err)
				}
				reasons = append(reasons, answer.Reason)
				if answer.Reason == "BAD_REQUEST" && answer.Detail != "the line is longer than 1048576 bytes" {
					t.Errorf("the detail is %q", answer.Detail)
				}
			}
			if strings.Join(reasons, ",") != strings.Join(test.reasons, ",") {
				t.Errorf("reasons %q, want %q", reasons, test.reasons)
			}
		})
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Half of the input, or answers that nobody got, are no success.
func TestInputAndOutputThatFailAreErrors(t *testing.T) {
	t.Parallel()
	if _, stderr, code := runHere(t, failingReader{}, "map", "-"); code != exitError || !strings.Contains(stderr, "read input") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{
		{"map", "-"},
		{"map", "GET", "/powerapps/apps", "-o", "json"},
		{"catalogue", "show"},
		{"version", "-o", "json"},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader("GET\t/powerapps/apps\n"), failingWriter{}, &stderr); code != exitError {
			t.Errorf("pathgrant %s into a broken pipe: exit code %d, %s", strings.Join(args, " "), code, stderr.String())
		}
	}
}
