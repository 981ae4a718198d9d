package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Delivery is the whole of the data, like [Data], from a source that has more role
// assignments than fit into memory: they are handed over one by one.
type Delivery struct {
	// Tenants are all tenants, without their role assignments.
	Tenants []Tenant
	// RoleAssignments calls yield with every role assignment, in any order, and returns
	// the error of yield. What yield is given it does not keep.
	RoleAssignments func(yield func(*DeliveredAssignment) error) error
	// Same is told of two assignments of one principal, role and scope of a tenant, in the
	// order in which they were delivered, and returns the one that stays. With nil both do.
	Same func(first, second *DeliveredAssignment) *DeliveredAssignment
	// SameID is told of two assignments of one identifier, the first one delivered and another,
	// which cannot be; with nil, that is an [ErrInvalid].
	SameID func(first, second *DeliveredAssignment)
	// Check is asked after all was read, and again after all was compared, whether the
	// data may be stored. Nothing is where it returns an error.
	Check func() error
	// Progress, if not nil, is told now and then how far the work has come.
	Progress func(Progress)
}

// A DeliveredAssignment is a role assignment and where it came from.
type DeliveredAssignment struct {
	RoleAssignment
	Tenant int // its place in the tenants of the delivery
	Place  Place
}

// A Place says where something stands at its source. It means nothing to the store.
type Place struct {
	Line, Column int
	Index        int // in its list
}

// Progress says how far a delivery has come.
type Progress struct {
	Step string
	// Done of Total things are done; Total is 0 where nobody knows.
	Done, Total uint64
}

// The steps of a delivery that the store itself goes through, in this order.
const (
	StepWriting   = "writing"
	StepVerifying = "verifying"
)

// progressEvery is how often progress is told.
const progressEvery = 100 * time.Millisecond

// meter tells how far one step has come.
type meter struct {
	tell        func(Progress)
	step        string
	done, total uint64
	last        time.Time
}

func (m *meter) add(n uint64) {
	if m.tell == nil {
		return
	}
	m.done += n
	if m.done%256 < n {
		if now := time.Now(); now.Sub(m.last) >= progressEvery {
			m.last = now
			m.tell(Progress{Step: m.step, Done: min(m.done, m.total), Total: m.total})
		}
	}
}

// Deliver is [Store.Replace] for a delivery. It reads, sorts in temporary files in the
// data directory, and writes a new file; memory is needed for what is not a role
// assignment and for a few buffers.
func (s *Store) Deliver(ctx context.Context, d *Delivery, change Change) (_ authz.Revision, err error) {
	if s.options.ReadOnly {
		return authz.Revision{}, ErrReadOnly
	}
	data := &Data{Tenants: slices.Clone(d.Tenants)}
	for i := range data.Tenants {
		if len(data.Tenants[i].RoleAssignments) > 0 {
			return authz.Revision{}, fmt.Errorf("%w: tenant %q has role assignments besides those that are delivered one by one", ErrInvalid, data.Tenants[i].ID)
		}
	}
	c, err := s.compiler.canonicalize(data)
	if err != nil {
		return authz.Revision{}, err
	}
	if err := s.lock(ctx); err != nil {
		return authz.Revision{}, err
	}
	defer s.unlock()
	select {
	case <-s.verifying:
	case <-ctx.Done():
		return authz.Revision{}, ctx.Err()
	}
	in := newSorted(ctx, c, d, s.dir)
	in.buffer = s.sortBuffer
	defer func() { err = errors.Join(err, in.close()) }()
	if err := in.read(data); err != nil {
		return authz.Revision{}, err
	}
	return s.rebuild(ctx, in, change, s.current.Load(), change.Record)
}

// CheckDelivery reads and compares all that is delivered, and stores nothing. It sorts in
// temporary files in a directory of its own below dir.
func CheckDelivery(ctx context.Context, d *Delivery, dir string) (err error) {
	data := &Data{Tenants: make([]Tenant, len(d.Tenants))}
	for i := range d.Tenants {
		data.Tenants[i].ID = d.Tenants[i].ID
	}
	c, err := canonicalize(data)
	if err != nil {
		return err
	}
	own, err := os.MkdirTemp(dir, "pathgrant-check-")
	if err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
	in := newSorted(ctx, c, d, &directory{path: own})
	in.buffer = sortBuffer
	defer func() { err = errors.Join(in.close(), err) }()
	if err := in.read(data); err != nil {
		return err
	}
	if err := in.compare(); err != nil {
		return err
	}
	return in.check()
}

// sorted is a delivery whose role assignments are brought into the orders of the file by
// sorting them on disk: first by who holds them, which is the order of the grants; from
// there by identifier and by scope.
type sorted struct {
	*canonical
	ctx      context.Context
	delivery *Delivery
	dir      *directory
	buffer   int
	ranks    []int // the place of each delivered tenant among the canonical ones

	byPrincipal, byID, byScope *sorter

	read_    uint64 // assignments that were read
	kept     uint64 // and that stay
	uses     []map[string]uint64
	denials  []sortedDenial
	problems problems
}

// A sortedDenial is a role assignment that takes something away from a group.
type sortedDenial struct {
	rank         int
	key, payload []byte
	assignment   RoleAssignment
}

func newSorted(ctx context.Context, c *canonical, d *Delivery, dir *directory) *sorted {
	return &sorted{canonical: c, ctx: ctx, delivery: d, dir: dir}
}

// temporary makes a sorter with a file in the data directory; what a crash leaves behind
// is removed at the next start.
func (in *sorted) temporary(what string) *sorter {
	return newSorter(in.ctx, in.buffer, func() (*os.File, error) {
		return os.OpenFile(in.dir.file("import-"+what+tempSuffix), os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	})
}

func (in *sorted) close() error {
	var errs []error
	for _, s := range []*sorter{in.byPrincipal, in.byID, in.byScope} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}

// read takes in all role assignments. Where the delivery does not pass its check, they are
// compared all the same, so that all problems are found at once.
func (in *sorted) read(data *Data) error {
	in.ranks = make([]int, len(data.Tenants))
	for rank := range in.tenants {
		for i := range data.Tenants {
			if in.tenants[rank].source == &data.Tenants[i] {
				in.ranks[i] = rank
			}
		}
	}
	in.uses = make([]map[string]uint64, len(in.tenants))
	in.byPrincipal = in.temporary("principals")
	var key, value []byte
	roots := make([]authz.Scope, len(in.tenants))
	for rank := range in.tenants {
		roots[rank] = authz.NamedScope{Kind: authz.TenantScope}.In(in.tenants[rank].source.ID)
	}
	err := in.delivery.RoleAssignments(func(a *DeliveredAssignment) error {
		if in.read_%verifyStop == 0 && in.ctx.Err() != nil {
			return in.ctx.Err()
		}
		rank := in.ranks[a.Tenant]
		if !checkAssignment(&in.problems, in.tenants[rank].source.ID, roots[rank], &a.RoleAssignment) {
			return nil
		}
		key = binary.BigEndian.AppendUint32(key[:0], uint32(rank))
		key = appendPrincipalPart(key, a.Principal.Key())
		key = appendPart(appendPart(key, a.RoleDefinitionID), string(a.Scope))
		key = binary.BigEndian.AppendUint64(key, in.read_)
		value = appendRoleAssignment(appendPlace(appendPart(value[:0], a.ID), a.Place), &a.RoleAssignment)
		in.read_++
		return in.byPrincipal.add(key, value)
	})
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return errors.Join(in.compare(), in.check())
	}
	return nil
}

// compare goes through the orders without writing anything.
func (in *sorted) compare() error {
	for _, sec := range []section{grantsSection, roleAssignmentSection} {
		if err := in.each(sec, func(_, _ []byte) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (in *sorted) check() error {
	if err := in.problems.err(); err != nil {
		return err
	}
	if in.delivery.Check == nil {
		return nil
	}
	return in.delivery.Check()
}

func appendPlace(b []byte, p Place) []byte {
	b = binary.AppendUvarint(b, uint64(p.Line))
	b = binary.AppendUvarint(b, uint64(p.Column))
	return binary.AppendUvarint(b, uint64(p.Index))
}

func readPlace(b []byte) (p Place, rest []byte) {
	for _, to := range []*int{&p.Line, &p.Column, &p.Index} {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return Place{}, nil
		}
		*to, b = int(n), b[size:]
	}
	return p, b
}

// delivered reads back what read wrote; value begins behind the identifier.
func (in *sorted) delivered(rank int, id string, value []byte) (DeliveredAssignment, error) {
	d := DeliveredAssignment{Tenant: slices.Index(in.ranks, rank)}
	var payload []byte
	d.Place, payload = readPlace(value)
	var err error
	d.RoleAssignment, err = readRoleAssignment(roleAssignmentSection, id, string(payload))
	return d, err
}

// writeOrder is the order in which sections can be read: the grants first, for what else
// there is to know of role assignments is learnt from them.
func (in *sorted) writeOrder() []section {
	order := []section{grantsSection, roleAssignmentSection}
	for _, sec := range dataSections {
		if !slices.Contains(order, sec) {
			order = append(order, sec)
		}
	}
	return order
}

// each implements records.
func (in *sorted) each(sec section, yield func(key, payload []byte) error) error {
	switch sec {
	case grantsSection:
		return in.eachGrants(yield)
	case roleAssignmentSection:
		return in.eachAssignment(yield)
	case scopeSection:
		var key []byte
		empty := appendEmpty(nil)
		return in.byScope.each(func(sortKey, _ []byte) error {
			key = append(in.tenantPart(key[:0], sortKey), sortKey[4:]...)
			return yield(key, empty)
		})
	case groupDenialSection:
		for i := range in.denials {
			if err := yield(in.denials[i].key, in.denials[i].payload); err != nil {
				return err
			}
		}
		return nil
	case roleUseSection:
		for rank := range in.tenants {
			in.tenants[rank].roleUse = in.roleUse(rank)
		}
		return in.canonical.each(sec, yield)
	default:
		return in.canonical.each(sec, yield)
	}
}

func (in *sorted) roleUse(rank int) []roleCount {
	uses := make([]roleCount, 0, len(in.uses[rank]))
	for role, n := range in.uses[rank] {
		uses = append(uses, roleCount{role, n})
	}
	slices.SortFunc(uses, func(a, b roleCount) int { return compareParts(a.role, b.role) })
	return uses
}

// tenantPart appends what a key in the file begins with, for a key that begins with a rank.
func (in *sorted) tenantPart(dst, sortKey []byte) []byte {
	return appendPart(dst, in.tenants[binary.BigEndian.Uint32(sortKey)].source.ID)
}

// eachGrants merges the role assignments by who holds them, decides which of the same
// stays, and hands the others on to the other orders.
func (in *sorted) eachGrants(yield func(key, payload []byte) error) (err error) {
	in.byID, in.byScope = in.temporary("identifiers"), in.temporary("scopes")
	var key, payload []byte
	g := grantsGatherer{in: in, rank: -1}
	g.yield = func(of authz.Principal, record *grantsRecord) error {
		key = appendPrincipalPart(appendPart(key[:0], in.tenants[g.rank].source.ID), of)
		payload = appendGrants(payload[:0], record)
		return yield(key, payload)
	}
	// The one that stays so far of those with the same principal, role and scope.
	var first struct{ key, value []byte }
	err = in.byPrincipal.each(func(sortKey, value []byte) error {
		if first.key != nil {
			same := bytes.Equal(first.key[:len(first.key)-8], sortKey[:len(sortKey)-8])
			if same && in.delivery.Same != nil {
				stays, err := in.choose(sortKey, first.value, value)
				if err != nil || !stays {
					return err
				}
			} else if err := g.take(first.key, first.value); err != nil {
				return err
			}
		}
		first.key, first.value = append(first.key[:0], sortKey...), append(first.value[:0], value...)
		return nil
	})
	if err == nil && first.key != nil {
		err = g.take(first.key, first.value)
	}
	if err == nil {
		err = g.upTo(len(in.tenants))
	}
	return errors.Join(err, in.byPrincipal.close())
}

// choose tells whether the second of two assignments stays in the place of the first.
func (in *sorted) choose(sortKey, first, second []byte) (bool, error) {
	rank := int(binary.BigEndian.Uint32(sortKey))
	var both [2]DeliveredAssignment
	for i, value := range [][]byte{first, second} {
		k := keyReader{rest: value}
		id := k.part()
		var err error
		if both[i], err = in.delivered(rank, id, k.rest); err != nil {
			return false, err
		}
	}
	return in.delivery.Same(&both[0], &both[1]) == &both[1], nil
}

// A grantsGatherer makes one record of what each principal holds.
type grantsGatherer struct {
	in     *sorted
	rank   int // of the tenant; -1 before the first
	merger grantsMerger
	yield  func(of authz.Principal, g *grantsRecord) error

	of     authz.Principal
	holder []byte // the part of the sort key that names it
	grants []grantRecord
	key    []byte
}

// take takes in a role assignment that stays.
func (g *grantsGatherer) take(sortKey, value []byte) error {
	in := g.in
	rank := int(binary.BigEndian.Uint32(sortKey))
	holderLength := 4 + 1 + partLength(sortKey[5:])
	holder := sortKey[:holderLength]
	if !bytes.Equal(holder, g.holder) {
		if err := g.flush(); err != nil {
			return err
		}
		if err := g.upTo(rank); err != nil {
			return err
		}
		k := keyReader{rest: holder[4:]}
		g.of, g.holder = k.principal(), append(g.holder[:0], holder...)
	}
	rest := sortKey[holderLength:]
	rest = rest[partLength(rest):] // the role
	scope := rest[:partLength(rest)]
	id := value[:partLength(value)]
	k := keyReader{rest: id}
	a, err := in.delivered(rank, k.part(), value[len(id):])
	if err != nil {
		return err
	}
	g.grants = append(g.grants, grantOf(&a.RoleAssignment))
	if in.uses[rank] == nil {
		in.uses[rank] = map[string]uint64{}
	}
	in.uses[rank][a.RoleDefinitionID]++
	in.kept++
	g.key = append(append(append(g.key[:0], sortKey[:4]...), id...), sortKey[len(sortKey)-8:]...)
	if err := in.byID.add(g.key, value[len(id):]); err != nil {
		return err
	}
	g.key = append(append(append(append(g.key[:0], sortKey[:4]...), scope...), byte(a.Effect)), id...)
	return in.byScope.add(g.key, nil)
}

// flush hands on what was gathered of one principal.
func (g *grantsGatherer) flush() error {
	if len(g.grants) == 0 {
		return nil
	}
	slices.SortFunc(g.grants, func(a, b grantRecord) int { return compareParts(a.assignment, b.assignment) })
	err := g.merger.assigned(g.of, g.grants)
	clear(g.grants)
	g.grants = g.grants[:0]
	return err
}

// upTo ends all tenants before the rank and begins that one.
func (g *grantsGatherer) upTo(rank int) error {
	if err := g.flush(); err != nil {
		return err
	}
	for g.rank < rank {
		if g.rank >= 0 {
			if err := g.merger.end(); err != nil {
				return err
			}
		}
		if g.rank++; g.rank < len(g.in.tenants) {
			t := &g.in.tenants[g.rank]
			g.merger = grantsMerger{members: t.memberships, disabled: t.disabled, yield: g.yield}
		}
	}
	return nil
}

// eachAssignment merges the role assignments by identifier.
func (in *sorted) eachAssignment(yield func(key, payload []byte) error) error {
	var key, last, lastValue []byte
	in.denials = nil
	err := in.byID.each(func(sortKey, value []byte) error {
		sortKey = sortKey[:len(sortKey)-8] // behind it stands in which order they were delivered
		if bytes.Equal(last, sortKey) {
			return in.sameID(sortKey, lastValue, value)
		}
		last, lastValue = append(last[:0], sortKey...), append(lastValue[:0], value...)
		key = append(in.tenantPart(key[:0], sortKey), sortKey[4:]...)
		_, payload := readPlace(value)
		if len(payload) > 1 && authz.PrincipalType(payload[1]) == authz.Group {
			if err := in.noteDenial(sortKey, key, payload); err != nil {
				return err
			}
		}
		return yield(key, payload)
	})
	return errors.Join(err, in.byID.close())
}

// noteDenial keeps a role assignment of a group in memory if it takes something away.
func (in *sorted) noteDenial(sortKey, key, payload []byte) error {
	k := keyReader{rest: sortKey[4:]}
	a, err := readRoleAssignment(roleAssignmentSection, k.part(), string(payload))
	if err == nil && isGroupDenial(&a) {
		in.denials = append(in.denials, sortedDenial{int(binary.BigEndian.Uint32(sortKey)), bytes.Clone(key), bytes.Clone(payload), a})
	}
	return err
}

func (in *sorted) sameID(sortKey, first, second []byte) error {
	k := keyReader{rest: sortKey[4:]}
	rank, id := int(binary.BigEndian.Uint32(sortKey)), k.part()
	if in.delivery.SameID == nil {
		in.problems.addf("tenant %q: role assignment %q is listed twice", in.tenants[rank].source.ID, id)
		return nil
	}
	var both [2]DeliveredAssignment
	for i, value := range [][]byte{first, second} {
		var err error
		if both[i], err = in.delivered(rank, id, value); err != nil {
			return err
		}
	}
	in.delivery.SameID(&both[0], &both[1])
	return nil
}

// records counts the records that were delivered.
func (in *sorted) records() int { return in.canonical.records() + int(in.kept) }

// total is how many records will be written, or more.
func (in *sorted) total() uint64 {
	memberships := 0
	for i := range in.tenants {
		t := &in.tenants[i]
		memberships += len(t.memberships) + len(t.ownerships) + t.derived()
	}
	return uint64(in.canonical.records()+memberships) + 3*in.read_
}

// small returns what compile needs of each tenant, once all was written.
func (in *sorted) small() []*smallTenant {
	all := in.canonical.small()
	for rank, t := range all {
		t.roleUse = in.roleUse(rank)
	}
	for i := range in.denials {
		t := all[in.denials[i].rank]
		t.denials = append(t.denials, in.denials[i].assignment)
	}
	return all
}
