package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestATokenIsOneWord(t *testing.T) {
	for text, good := range map[string]bool{
		"abc": true, " abc \n": true, "": false, "\n": false, "a b": false, "a\nb": false, "a\x00b": false, "é": false, strings.Repeat("x", 64<<10): true, strings.Repeat("x", 64<<10+1): false,
	} {
		if _, err := readCredential(strings.NewReader(text)); (err == nil) != good {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestAnExpiryIsATimeOrADurationFromNow(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{"8h": "2026-11-22T16:00:00Z", "2027-01-01T00:00:00Z": "2027-01-01T00:00:00Z"} {
		got, err := readExpiry(text, now)
		if err != nil || got.AsTime().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
	if got, err := readExpiry("", now); got != nil || err != nil {
		t.Errorf("nothing given: %v, %v", got, err)
	}
	for _, text := range []string{"0s", "-1h", "tomorrow", "2027-01-01"} {
		var usage usageError
		if _, err := readExpiry(text, now); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a usage error", text, err)
		}
	}
}

func TestARefusalHasAnExitCodeOfItsOwn(t *testing.T) {
	var refused refusedError
	if err := callError("x", status.Error(codes.PermissionDenied, "no")); !errors.As(err, &refused) || err.Error() != "x: no (PERMISSION_DENIED)" {
		t.Errorf("%v", err)
	}
	for code, name := range map[codes.Code]string{
		codes.Unauthenticated: "UNAUTHENTICATED", codes.FailedPrecondition: "FAILED_PRECONDITION", codes.OutOfRange: "OUT_OF_RANGE", codes.NotFound: "NOT_FOUND",
	} {
		if err := callError("x", status.Error(code, "no")); errors.As(err, &refused) || err.Error() != "x: no ("+name+")" {
			t.Errorf("%v, want %s", err, name)
		}
	}
	if err := callError("x", nil); err != nil {
		t.Errorf("%v", err)
	}
}
