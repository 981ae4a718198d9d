package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/identity"
)

// Admin are the settings of administration.
type Admin struct {
	// TLS secures AdminListen where that is TCP; without any file, [Config.TLS] does.
	TLS TLS `yaml:"tls"`
	// Audiences is the short form of Identity: the issuers of tokens are those that checks
	// are answered for, and these are the audiences that a token must be for here. What
	// Identity says of checks holds here in no other way: a token that a service was given
	// must not be good for administration.
	Audiences []string `yaml:"audience"`
	// Identity says how callers are identified, by jwt and mtls alone.
	Identity identity.Config `yaml:"identity"`
	// SelfEscalation says whether callers may raise themselves.
	SelfEscalation Policy `yaml:"self_escalation"`
	// Escalation says whether callers may give what they do not hold.
	Escalation Policy `yaml:"escalation"`
	// AllowRoleAssignmentOnDisabledUsers lets roles be assigned to disabled principals.
	AllowRoleAssignmentOnDisabledUsers bool `yaml:"allow_role_assignment_on_disabled_users"`
}

// adminTokenCache is how many verified tokens are remembered for administration, which few
// people use.
const adminTokenCache = 1024

// AdminTLS returns the certificate files of AdminListen, and whether they are its own.
func (c *Config) AdminTLS() (files TLS, own bool) {
	if c.Admin.TLS.Enabled() {
		return c.Admin.TLS, true
	}
	return c.TLS, false
}

// AdminIdentityConfig returns the sources of identity of administration; without any, only
// the operator's secret identifies somebody. Whether identifiers are compared without case
// is the catalogue's to say, and the caller's to set.
func (c *Config) AdminIdentityConfig() identity.Config {
	all := c.Admin.Identity
	if len(c.Admin.Audiences) > 0 {
		checks := c.IdentityConfig()
		all.DelegatedScopes = checks.DelegatedScopes
		all.Sources = nil
		for _, source := range checks.Sources {
			if source.JWT == nil {
				continue
			}
			jwt := *source.JWT
			jwt.Issuers = slices.Clone(jwt.Issuers)
			for i := range jwt.Issuers {
				jwt.Issuers[i].Audiences = c.Admin.Audiences
			}
			all.Sources = append(all.Sources, identity.SourceConfig{JWT: &jwt})
		}
	}
	if all.TokenCacheEntries == 0 {
		all.TokenCacheEntries = adminTokenCache
	}
	return all
}

func (v *validation) admin() {
	c := v.config
	if c.AdminListen.Enabled() {
		v.adminListener()
	}
	v.tls("admin.tls", c.Admin.TLS)
	for _, policy := range []struct {
		key   string
		value Policy
	}{{"admin.self_escalation", c.Admin.SelfEscalation}, {"admin.escalation", c.Admin.Escalation}} {
		if policy.value != PolicyDeny && policy.value != PolicyAllow {
			v.problem(policy.key, "%q is not known: want deny or allow", policy.value)
		}
	}
	switch {
	case len(c.Admin.Audiences) > 0 && len(c.Admin.Identity.Sources) > 0:
		v.problem("admin.identity.sources", "sources are given here, and issuers by %s: give one or the other", c.name("admin.audience"))
	case len(c.Admin.Audiences) > 0:
		v.adminAudiences()
	default:
		v.adminSources()
	}
}

func (v *validation) adminListener() {
	c := v.config
	address := c.AdminListen.Address
	if slices.Contains(c.Listen, address) && !anyPort(address) {
		v.problem("admin_listen", "%s is among the addresses of listen: administration has a port of its own", address)
	}
	if address == c.OpsListen.Address && !anyPort(address) {
		v.problem("admin_listen", "%s is the address of ops_listen too", address)
	}
	if files, _ := c.AdminTLS(); !address.Local() && !files.Enabled() && !c.InsecureListen {
		v.problem("admin_listen", "%s may be reached by other machines, and without TLS tokens and secrets could be read on the way: "+
			"listen on loopback or a unix socket, or give admin.tls.cert_file and admin.tls.key_file, or set insecure_listen", address)
	}
}

// adminAudiences checks the short form.
func (v *validation) adminAudiences() {
	c := v.config
	for i, audience := range c.Admin.Audiences {
		if audience == "" {
			v.problem(fmt.Sprintf("admin.audience[%d]", i), "is empty")
		}
	}
	if len(c.AdminIdentityConfig().Sources) == 0 {
		v.problem("admin.audience", "there is no issuer that it could go with: give issuer, or a jwt source in identity, or admin.identity in its place")
	}
}

// adminSources checks the long form.
func (v *validation) adminSources() {
	all := v.config.Admin.Identity
	for i, source := range all.Sources {
		key := fmt.Sprintf("admin.identity.sources[%d]", i)
		if source.Header != nil {
			v.problem(key+".header", "nobody administers by headers that anyone could send: want jwt or mtls")
		}
		if source.JWTMetadata != nil {
			v.problem(key+".jwt_metadata", "there is no proxy's metadata here: want jwt or mtls")
		}
		if files, _ := v.config.AdminTLS(); source.MTLS != nil && v.config.AdminListen.Enabled() && files.ClientCAFile == "" {
			v.problem(key+".mtls", "clients are asked for no certificate: give admin.tls.client_ca_file")
		}
	}
	for _, err := range split(all.Validate()) {
		key, message, ok := strings.Cut(err.Error(), ": ")
		if !ok {
			key, message = "identity", err.Error()
		}
		v.problem("admin."+key, "%s", message)
	}
}

// adminWarnings says what is allowed in administration but deserves attention.
func (c *Config) adminWarnings() []string {
	var all []string
	if !c.AdminListen.Enabled() {
		return nil
	}
	for _, audience := range c.Admin.Audiences {
		for _, source := range c.IdentityConfig().Sources {
			if source.JWT == nil {
				continue
			}
			for _, issuer := range source.JWT.Issuers {
				if slices.Contains(issuer.Audiences, audience) {
					all = append(all, fmt.Sprintf("admin.audience %s is an audience of the checks too: whoever is sent a user's token can administer with it", audience))
				}
			}
		}
	}
	files, _ := c.AdminTLS()
	if !c.AdminListen.Local() && !files.Enabled() {
		all = append(all, fmt.Sprintf("administration on %s is served without TLS (insecure_listen): tokens and secrets can be read on the way", c.AdminListen))
	}
	if c.Admin.SelfEscalation == PolicyAllow {
		all = append(all, "admin.self_escalation is allow: whoever may assign roles may give themselves any")
	}
	return all
}
