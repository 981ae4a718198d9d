package authz

import "cmp"

// Revision names a state of the snapshot: Number counts the changes within an epoch,
// and a restore begins a new Epoch. The zero Revision is before every other.
type Revision struct {
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`
}

// Compare orders revisions: by epoch, then by number.
func (r Revision) Compare(s Revision) int {
	return cmp.Or(cmp.Compare(r.Epoch, s.Epoch), cmp.Compare(r.Number, s.Number))
}
