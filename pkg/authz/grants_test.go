package authz_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Whatever order grants come in, they are all there, and All sorts them by scope, effect
// and assignment. The identifiers begin alike and are of different lengths.
func TestAllGrantsAreSorted(t *testing.T) {
	if got := authz.NewGrants(nil).All(); got != nil {
		t.Errorf("no grants: %v", got)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 2, 3, 63, 64, 65, 300} {
		var want []string
		var grants []authz.Grant
		for scope := 0; len(grants) < n; scope++ {
			for effect := authz.NoEffect; effect <= authz.AssignAllow; effect++ {
				for id := 0; id < scope%5 && len(grants) < n; id++ {
					g := authz.Grant{
						AssignmentID: "identifier"[:6+id], Scope: authz.Scope(fmt.Sprintf("/tenants/t/environments/e%04d", scope)),
						Effect: effect, Expires: int64(len(grants)) + 1,
					}
					grants = append(grants, g)
					want = append(want, fmt.Sprint(g))
				}
			}
		}
		random.Shuffle(n, func(i, j int) { grants[i], grants[j] = grants[j], grants[i] })
		for i := range grants { // texts that are equal and not one and the same
			grants[i].Scope = authz.Scope(strings.Clone(string(grants[i].Scope)))
		}
		index := authz.NewGrants(grants)
		var got []string
		for _, g := range index.All() {
			got = append(got, fmt.Sprint(g))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%d grants (-want +got):\n%s", n, diff)
		}
		changed := index.All()
		slices.Reverse(changed)
		if again := index.All(); fmt.Sprint(again[0]) != want[0] {
			t.Error("All gave away what decisions read")
		}
	}
}
