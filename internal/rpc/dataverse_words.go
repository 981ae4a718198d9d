package rpc

import (
	"github.com/pathgrant/pathgrant/internal/ask"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// dataverse says how a question about a record was decided: about the first permission that
// is missing, or else about the first of all.
func dataverse(a *ask.Answer) *pathgrantv1.DataverseDecision {
	d := a.Record
	out := &pathgrantv1.DataverseDecision{
		ActingFor:   d.ActingFor,
		Access:      dataverseAccess[d.Step],
		Lack:        dataverseLacks[d.Denial],
		Reach:       dataverseReaches[d.Reach],
		NeededReach: dataverseReaches[d.Needed],
		Column:      d.Column,
	}
	if asked := append(a.Missing[:len(a.Missing):len(a.Missing)], a.Permissions...); len(asked) > 0 {
		out.Permission = string(asked[0])
	}
	return out
}

var dataverseAccess = map[authz.AccessStep]pathgrantv1.DataverseAccess{
	authz.OwnerAccess:  pathgrantv1.DataverseAccess_DATAVERSE_ACCESS_OWNER,
	authz.ReachAccess:  pathgrantv1.DataverseAccess_DATAVERSE_ACCESS_REACH,
	authz.ShareAccess:  pathgrantv1.DataverseAccess_DATAVERSE_ACCESS_SHARE,
	authz.DirectAccess: pathgrantv1.DataverseAccess_DATAVERSE_ACCESS_DIRECT,
}

var dataverseLacks = map[authz.DataverseDenial]pathgrantv1.DataverseLack{
	authz.LacksPrivilege: pathgrantv1.DataverseLack_DATAVERSE_LACK_PRIVILEGE,
	authz.LacksReach:     pathgrantv1.DataverseLack_DATAVERSE_LACK_REACH,
	authz.LacksColumn:    pathgrantv1.DataverseLack_DATAVERSE_LACK_COLUMN,
	authz.LacksOnBehalf:  pathgrantv1.DataverseLack_DATAVERSE_LACK_ON_BEHALF,
}

var dataverseReaches = map[authz.Reach]pathgrantv1.DataverseReach{
	authz.UserReach:         pathgrantv1.DataverseReach_DATAVERSE_REACH_USER,
	authz.BusinessUnitReach: pathgrantv1.DataverseReach_DATAVERSE_REACH_BUSINESS_UNIT,
	authz.ParentChildReach:  pathgrantv1.DataverseReach_DATAVERSE_REACH_PARENT_CHILD,
	authz.OrganizationReach: pathgrantv1.DataverseReach_DATAVERSE_REACH_ORGANIZATION,
}

var layerStates = map[ask.LayerState]pathgrantv1.LayerState{
	ask.LayerUnknown: pathgrantv1.LayerState_LAYER_STATE_UNKNOWN,
	ask.LayerFailed:  pathgrantv1.LayerState_LAYER_STATE_FAILED,
	ask.LayerPassed:  pathgrantv1.LayerState_LAYER_STATE_PASSED,
}

var compositeParties = map[ask.Party]pathgrantv1.CompositeParty{
	ask.CallerParty: pathgrantv1.CompositeParty_COMPOSITE_PARTY_CALLER,
	ask.MakerParty:  pathgrantv1.CompositeParty_COMPOSITE_PARTY_MAKER,
}
