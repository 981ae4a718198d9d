package roles

import (
	"errors"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// powerAppsAdministrator is the one directory role whose template id is not published.
const powerAppsAdministrator = "Power Apps Administrator"

// dynamicsAdministratorOfEnvironment is assigned to Dynamics 365 administrators wherever
// there is a database.
const dynamicsAdministratorOfEnvironment = "Dynamics 365 Administrator (environment)"

// dynamicsAdministrator is whom that is assigned to.
const dynamicsAdministrator = "Dynamics 365 Administrator"

// DirectorySpec says for which tenant the assignments to directory roles are wanted.
type DirectorySpec struct {
	Tenant string
	// PowerAppsAdministrator is the template id of that directory role, which is not
	// published; empty: it is assigned nothing.
	PowerAppsAdministrator string
	// Databases are the environments that have one.
	Databases []string
}

// Assignment is a role assignment that is proposed, always an ALLOW without an end.
type Assignment struct {
	Principal authz.Principal
	RoleID    string
	RoleName  string
	Scope     authz.Scope
}

// Directory returns the assignments that give the directory roles of tenant administration
// what they have on the platform: each at the tenant, and that of Dynamics 365
// administrators at every environment with a database besides. Nothing is assigned until
// somebody imports them. Global Reader is not supported and gets none.
func Directory(spec DirectorySpec) ([]Assignment, error) {
	if spec.Tenant == "" {
		return nil, errors.New("name the tenant whose directory roles are meant")
	}
	tenant := authz.CanonicalID(spec.Tenant, false)
	var all []Assignment
	for _, p := range predefined {
		holder := p.ID
		switch {
		case p.Category != authz.TenantAdministrationRoles || len(p.Terms.HeldBy) == 0:
			continue
		case p.Name == dynamicsAdministratorOfEnvironment:
			dynamics, _ := FindPredefined(dynamicsAdministrator)
			for _, environment := range spec.Databases {
				named := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: authz.CanonicalID(environment, false)}
				all = append(all, proposal(dynamics.ID, &p, named.In(tenant)))
			}
			continue
		case p.Name == powerAppsAdministrator:
			if holder = spec.PowerAppsAdministrator; holder == "" {
				continue
			}
		}
		all = append(all, proposal(holder, &p, authz.NamedScope{Kind: authz.TenantScope}.In(tenant)))
	}
	return all, nil
}

func proposal(templateID string, p *authz.RoleDefinition, scope authz.Scope) Assignment {
	principal := authz.Principal{Type: authz.DirectoryRole, ID: authz.CanonicalID(templateID, false)}
	return Assignment{Principal: principal, RoleID: p.ID, RoleName: p.Name, Scope: scope}
}
