package roles

import (
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// AuthoringQuestion is what has to be asked to know whether somebody may author a resource
// in an environment.
type AuthoringQuestion struct {
	// Resource is what is authored, such as Canvas app.
	Resource string
	// InSolution says that the permission is the one for authoring it inside a solution. A
	// resource for which that makes no difference has one question, with InSolution false.
	InSolution bool
	// Permission is what has to be held at the environment; one that begins with Dataverse.
	// has to be held there with Organization reach.
	Permission string
	// NotInTeams says that nobody may while the environment's type is teams: it must be
	// raised to a full database first.
	NotInTeams bool
}

// AuthoringQuestions returns the questions of the authoring matrix in its order. The caller
// may keep it.
func AuthoringQuestions() []AuthoringQuestion {
	return []AuthoringQuestion{
		{Resource: "Canvas app", Permission: "PowerApps.Apps.Create"},
		{Resource: "Cloud flow", Permission: "PowerAutomate.Flows.Create"},
		{Resource: "Cloud flow", Permission: "PowerAutomate.SolutionFlows.Create", InSolution: true},
		{Resource: "Connector", Permission: "Connectivity.Connectors.Create"},
		{Resource: "Connector", Permission: "Connectivity.SolutionConnectors.Create", InSolution: true},
		{Resource: "Connection", Permission: "Connectivity.Connections.Create"},
		{Resource: "Data gateway", Permission: "Connectivity.Gateways.Create"},
		{Resource: "Dataflow", Permission: "PowerApps.Dataflows.Create"},
		{Resource: "Dataverse tables", Permission: "Dataverse.Entity.Create"},
		{Resource: "Model-driven app", Permission: "Dataverse.AppModule.Create"},
		{Resource: "Solution framework", Permission: "Dataverse.Solution.Create"},
		{Resource: "Desktop flow", Permission: "PowerAutomate.DesktopFlows.Create", NotInTeams: true},
		{Resource: "AI Builder", Permission: "Dataverse.AIModel.Create"},
	}
}

// NewSecurityRolePrivileges returns what a new custom security role begins with: the
// privileges of App Opener. The caller may keep it.
func NewSecurityRolePrivileges() []string {
	opener, _ := FindPredefined("App Opener")
	return opener.Privileges
}

// MissingToOpenApp returns what the role lacks for its holder to open an app with no other:
// Read, at any reach, of every system table, and Create, Read and Write of the settings of
// the user interface. A role that lacks any is to be flagged: it cannot open an app.
func MissingToOpenApp(db *authz.Database, role *authz.SecurityRole) []string {
	var missing []string
	for i := range db.Len() {
		id := authz.TableID(i + 1)
		table, _ := db.Table(id)
		var needed []authz.Privilege
		switch {
		case table.Classes&authz.SystemTables != 0:
			needed = []authz.Privilege{authz.ReadPrivilege}
		case table.Name == "UserEntityUISettings":
			needed = []authz.Privilege{authz.CreatePrivilege, authz.ReadPrivilege, authz.WritePrivilege}
		}
		for _, p := range needed {
			if role.Reach(id, p) == authz.NoReach {
				missing = append(missing, "Dataverse."+table.Name+"."+p.String())
			}
		}
	}
	slices.Sort(missing)
	return missing
}
