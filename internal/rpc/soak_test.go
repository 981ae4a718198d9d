//go:build soak

package rpc_test

import "testing"

// A million checks during a thousand changes through administration.
func TestSoakNoCheckIsAnsweredFromBeforeAnAnnouncedChange(t *testing.T) {
	checksDuringChanges(t, 1_000_000, 1000)
}
