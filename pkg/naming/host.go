package naming

import (
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// beforePath is the place of what the host names, before every segment.
const beforePath = -1

// readHost notes what the host names and tells whether the catalogue admits it.
func (c *Catalogue) readHost(r *Resolution, host string) bool {
	r.host = append(r.host[:0], host...)
	for i, b := range r.host {
		r.host[i] = lowerByte(b)
	}
	name := trimHost(viewOf(r.host))
	if c.readHostForm(r, name) || len(c.hosts) == 0 {
		return true
	}
	return c.hosts[name]
}

// trimHost drops the port of http and https, and one dot at the end of the name.
func trimHost(host string) string {
	if name, ok := strings.CutSuffix(host, ":443"); ok {
		host = name
	} else if name, ok := strings.CutSuffix(host, ":80"); ok {
		host = name
	}
	return strings.TrimSuffix(host, ".")
}

// readHostForm reads {30 hex}.{2 hex}.environment.{suffix} and ….tenant.{suffix}.
func (c *Catalogue) readHostForm(r *Resolution, host string) bool {
	const digits, more = 30, 2
	const word = digits + 1 + more + 1 // where the word begins
	if len(c.suffixes) == 0 || len(host) <= word || host[digits] != '.' || host[word-1] != '.' {
		return false
	}
	label, suffix, found := strings.Cut(host[word:], ".")
	if !found || !c.suffixes[suffix] {
		return false
	}
	var kind authz.ScopeKind
	switch label {
	case "environment":
		kind = authz.EnvironmentScope
	case "tenant":
		kind = authz.TenantScope
	default:
		return false
	}
	r.guid = r.guid[:0]
	for i := range word - 1 {
		if i == digits {
			continue
		}
		if !isHex(host[i]) {
			return false
		}
		switch len(r.guid) {
		case 8, 13, 18, 23:
			r.guid = append(r.guid, '-')
		}
		r.guid = append(r.guid, host[i])
	}
	r.named = append(r.named, mention{kind: kind, id: viewOf(r.guid), at: beforePath, fromHost: kind == authz.EnvironmentScope})
	return true
}
