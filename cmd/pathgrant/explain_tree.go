package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// A branch is a line of a tree with the lines below it.
type branch struct {
	text  string
	below []*branch
}

func (b *branch) add(format string, args ...any) *branch {
	child := &branch{text: onOneLine(fmt.Sprintf(format, args...))}
	b.below = append(b.below, child)
	return child
}

// onOneLine keeps what came from outside from drawing branches of its own.
func onOneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

func (b *branch) print(w io.Writer) error {
	var out strings.Builder
	out.WriteString(b.text + "\n")
	b.draw(&out, "")
	_, err := io.WriteString(w, out.String())
	return err
}

func (b *branch) draw(out *strings.Builder, before string) {
	for i, child := range b.below {
		fork, under := "├─ ", "│  "
		if i == len(b.below)-1 {
			fork, under = "└─ ", "   "
		}
		out.WriteString(before + fork + child.text + "\n")
		child.draw(out, before+under)
	}
}

// explanationTree draws an explanation.
func explanationTree(e *pathgrantv1.Explanation) *branch {
	root := &branch{}
	if d := e.GetComposite(); d != nil {
		compositeTree(root, e)
	} else {
		root.text = fmt.Sprintf("%s %s", effectWord(e.GetDecision().GetEffect()), reasonWord(e.GetDecision().GetReason()))
		mappingBranch(root, e)
	}
	if d := e.GetRecent(); d != nil {
		recent := root.add("decision %s by %s at %s: %s then", d.GetDecisionId(), d.GetAdapter(), d.GetTime().AsTime().Format(time.RFC3339), reasonWord(d.GetReason()))
		for _, text := range d.GetNotKept() {
			recent.add("not kept: %s", text)
		}
	}
	subjectBranch(root, e.GetSubject())
	for _, p := range e.GetPairs() {
		pairBranch(root, p)
	}
	for i, layer := range e.GetLayers() {
		layerBranch(root, e.GetComposite().GetLayers()[i], layer)
	}
	mendBranch(root, e.GetMend())
	if n := e.GetHiddenAssignments(); n > 0 {
		root.add("%d assignments are not shown: you may not read them", n)
	}
	for _, note := range e.GetNotes() {
		root.add("note: %s", note)
	}
	if cached := e.GetCachedDecision(); cached != nil {
		root.add("ALARM: the cached answer was %s %s; the cache is off", effectWord(cached.GetEffect()), reasonWord(cached.GetReason()))
	}
	if r := cmp.Or(e.GetDecision().GetRevision(), e.GetComposite().GetRevision()); r != nil {
		root.add("revision %d.%d", r.GetEpoch(), r.GetNumber())
	}
	return root
}

func effectWord(e pathgrantv1.Effect) string {
	if e == pathgrantv1.Effect_EFFECT_ALLOW {
		return "allow"
	}
	return "deny"
}

func reasonWord(r pathgrantv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

func mappingBranch(root *branch, e *pathgrantv1.Explanation) {
	m, d := e.GetMapping(), e.GetDecision()
	text := "mapping: "
	switch m.GetDecidedBy() {
	case "":
		text += "none"
	case "permission":
		text += "the question names the permission"
	default:
		text += fmt.Sprintf("%s %s of the catalogue %s", m.GetDecidedBy(), m.GetRule(), m.GetCatalogue())
	}
	mapping := root.add("%s", text)
	if m.GetDetail() != "" {
		mapping.add("%s", m.GetDetail())
	}
	for _, permission := range d.GetPermissions() {
		mapping.add("needs %s", permission)
	}
	for _, scope := range d.GetScopes() {
		mapping.add("at %s", scope)
	}
}

func principalText(p *pathgrantv1.Principal) string {
	return principalTypeName(p.GetType()) + " " + p.GetId()
}

func subjectBranch(root *branch, s *pathgrantv1.ExplainedSubject) {
	if s == nil {
		return
	}
	subject := root.add("subject: %s of the tenant %s", principalText(s.GetPrincipal()), s.GetTenant())
	if s.GetDisabled() {
		subject.add("is disabled")
	}
	if s.GetGroupsUnknown() && !s.GetDirectoryComplete() {
		subject.add("its groups are not known")
	}
	for _, m := range s.GetMemberships() {
		text := "in " + principalText(m.GetPrincipal())
		if m.GetDisplayName() != "" {
			text += fmt.Sprintf(" %q", m.GetDisplayName())
		}
		var through []string
		for _, p := range m.GetVia() {
			through = append(through, principalText(p))
		}
		switch {
		case m.GetByToken():
			text += ", by its token"
		case len(through) > 0:
			text += ", through " + strings.Join(through, " and ")
		default:
			text += ", directly"
		}
		subject.add("%s", text)
	}
}

func pairBranch(root *branch, p *pathgrantv1.ExplainedPair) {
	pair := root.add("%s: %s", p.GetPermission(), reasonWord(p.GetReason()))
	chain := pair.add("scopes, nearest first")
	for _, scope := range p.GetChain() {
		chain.add("%s", scope)
	}
	recordBranch(pair, p.GetRecord())
	if len(p.GetAssignments()) == 0 {
		pair.add("no assignment")
	}
	for _, c := range p.GetAssignments() {
		text := fmt.Sprintf("%s: %s", verdictWord(c.GetVerdict()), assignmentText(c.GetAssignment()))
		if c.GetReach() != "" {
			text += fmt.Sprintf(", reaches %s from %s", c.GetReach(), c.GetBusinessUnit())
		}
		line := pair.add("%s", text)
		if c.GetDetail() != "" {
			line.add("%s", c.GetDetail())
		}
	}
}

func verdictWord(v pathgrantv1.Verdict) string {
	word := strings.TrimPrefix(v.String(), "VERDICT_")
	return strings.ToLower(strings.ReplaceAll(word, "_", " "))
}

func assignmentText(a *pathgrantv1.DecidingAssignment) string {
	text := fmt.Sprintf("%s %q to %s at %s (%s)", strings.TrimPrefix(a.GetEffect().String(), "ASSIGNMENT_EFFECT_"),
		a.GetRoleDefinitionName(), principalText(a.GetPrincipal()), a.GetScope(), a.GetId())
	if at := a.GetExpiresTime(); at != nil {
		text += ", until " + at.AsTime().Format(time.RFC3339)
	}
	return text
}

func recordBranch(pair *branch, r *pathgrantv1.ExplainedRecord) {
	if r == nil {
		return
	}
	text := "all of the table " + r.GetTable()
	if r.GetOwner() != nil || r.GetBusinessUnit() != "" {
		text = "a record of the table " + r.GetTable()
		if r.GetOwner() != nil {
			text += ", owned by " + principalText(r.GetOwner())
		}
		if r.GetBusinessUnit() != "" {
			text += ", of the business unit " + r.GetBusinessUnit()
		}
	}
	record := pair.add("%s", text)
	if r.GetActingFor() {
		record.add("decided about the one acted for")
	}
	if r.GetStep() != "" {
		record.add("access by %s", r.GetStep())
	}
	if r.GetLacks() != "" {
		lacks := "lacks " + r.GetLacks()
		if r.GetNeededReach() != "" {
			lacks += ": " + r.GetNeededReach() + " would do"
		}
		if r.GetColumn() != "" {
			lacks += " " + r.GetColumn()
		}
		record.add("%s", lacks)
	}
}

func mendBranch(root *branch, m *pathgrantv1.Mend) {
	if m == nil {
		return
	}
	mend := root.add("mend: %s", mendText(m))
	for _, a := range m.GetAssignments() {
		mend.add("assign %q to %s at %s", a.GetRoleDefinitionName(), principalText(a.GetPrincipal()), a.GetScope())
	}
	for _, a := range m.GetInTheWay() {
		mend.add("in the way: %s", assignmentText(a))
	}
	for _, text := range m.GetAdvice() {
		mend.add("%s", text)
	}
}

func mendText(m *pathgrantv1.Mend) string {
	switch len(m.GetAssignments()) {
	case 0:
		return "no assignment"
	case 1:
		return "one assignment"
	default:
		return fmt.Sprintf("%d assignments", len(m.GetAssignments()))
	}
}

func compositeTree(root *branch, e *pathgrantv1.Explanation) {
	d := e.GetComposite()
	root.text = fmt.Sprintf("%s %s", effectWord(d.GetEffect()), reasonWord(d.GetReason()))
	composite := root.add("composite: %s of %s at %s", d.GetComposite(), d.GetObject(), d.GetScope())
	if d.GetDetail() != "" {
		composite.add("%s", d.GetDetail())
	}
}

func layerBranch(root *branch, of *pathgrantv1.CompositeLayer, l *pathgrantv1.ExplainedLayer) {
	layer := root.add("layer %s: %s %s", l.GetName(), stateName(of.GetState()), reasonWord(of.GetReason()))
	for _, q := range of.GetRequirements() {
		text := fmt.Sprintf("%s: %s", stateName(q.GetState()), q.GetText())
		if q.GetPrincipal() != nil {
			text += ", for " + principalText(q.GetPrincipal())
		}
		line := layer.add("%s", text)
		if q.GetDetail() != "" {
			line.add("%s", q.GetDetail())
		}
	}
	for _, p := range l.GetPairs() {
		pairBranch(layer, p)
	}
	mendBranch(layer, l.GetMend())
}
