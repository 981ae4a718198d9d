package rpc

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// The limits of administration's requests: bytes of text, and counts of items.
const (
	maxPage          = 1000
	maxRequestID     = 128
	maxJustification = 1024
	maxName          = 256
	maxDescription   = 1024
	maxPatterns      = 1000
	maxTemplates     = 100
	maxOwners        = 100
	maxMembers       = 1000
	maxEtag          = 128
	maxClasses       = 16
	maxUses          = 1000
	maxPrincipals    = 1000
	maxPageToken     = 4096
	maxChunk         = 1 << 20
)

// A fieldLimit bounds a field: its bytes and, of a list, its items.
type fieldLimit struct{ bytes, items int }

// fieldLimits bound every text and every list of administration's requests, by the message
// that holds the field and by its name. A field that is not listed is refused when it is
// not empty, so none can be forgotten.
var fieldLimits = map[protoreflect.FullName]fieldLimit{
	"pathgrant.v1.Principal.id":                          {bytes: maxID},
	"pathgrant.v1.ChangeContext.tenant":                  {bytes: maxID},
	"pathgrant.v1.ChangeContext.request_id":              {bytes: maxRequestID},
	"pathgrant.v1.ChangeContext.justification":           {bytes: maxJustification},
	"pathgrant.v1.RoleDefinition.id":                     {bytes: maxID},
	"pathgrant.v1.RoleDefinition.name":                   {bytes: maxName},
	"pathgrant.v1.RoleDefinition.description":            {bytes: maxDescription},
	"pathgrant.v1.RoleDefinition.etag":                   {bytes: maxEtag},
	"pathgrant.v1.RoleDefinition.permissions":            {bytes: maxPermission, items: maxPatterns},
	"pathgrant.v1.RoleDefinition.permissions_exceptions": {bytes: maxPermission, items: maxPatterns},
	"pathgrant.v1.RoleDefinition.assignable_scopes":      {bytes: maxScope, items: maxTemplates},
	"pathgrant.v1.RoleDefinition.restricted_scopes":      {bytes: maxScope, items: maxTemplates},

	"pathgrant.v1.RoleDefinition.category":            {bytes: maxName},
	"pathgrant.v1.RoleDefinition.aliases":             {bytes: maxName, items: maxTemplates},
	"pathgrant.v1.RoleDefinition.privileges":          {bytes: maxPermission, items: maxPatterns},
	"pathgrant.v1.RoleDefinition.environment":         {bytes: maxID},
	"pathgrant.v1.RoleDefinition.business_unit":       {bytes: maxID},
	"pathgrant.v1.RoleDefinition.assignable_roles":    {bytes: maxName, items: maxPatterns},
	"pathgrant.v1.RoleDefinition.missing_to_open_app": {bytes: maxPermission, items: maxPatterns},
	"pathgrant.v1.RoleTerms.held_by":                  {bytes: maxName, items: maxTemplates},
	"pathgrant.v1.RoleTerms.held_by_team_named":       {bytes: maxName},
	"pathgrant.v1.RoleTerms.comes_by":                 {bytes: maxName},
	"pathgrant.v1.RoleTerms.database":                 {bytes: maxName},
	"pathgrant.v1.RoleTerms.companion":                {bytes: maxID},
	"pathgrant.v1.ApplyAdminRoleRequest.environment":  {bytes: maxID},

	"pathgrant.v1.DataverseItem.environment":           {bytes: maxID},
	"pathgrant.v1.DataverseItem.etag":                  {bytes: maxEtag},
	"pathgrant.v1.DataverseTable.name":                 {bytes: maxName},
	"pathgrant.v1.DataverseTable.classes":              {bytes: maxName, items: maxClasses},
	"pathgrant.v1.DataverseTable.ownership":            {bytes: maxName},
	"pathgrant.v1.DataverseTable.entity_set":           {bytes: maxName},
	"pathgrant.v1.DataverseTable.secured_columns":      {bytes: maxName, items: maxUses},
	"pathgrant.v1.DataverseUser.business_unit":         {bytes: maxID},
	"pathgrant.v1.DataverseTeam.id":                    {bytes: maxID},
	"pathgrant.v1.DataverseTeam.display_name":          {bytes: maxName},
	"pathgrant.v1.DataverseTeam.team_type":             {bytes: maxName},
	"pathgrant.v1.DataverseTeam.business_unit":         {bytes: maxID},
	"pathgrant.v1.DataverseTeam.group":                 {bytes: maxID},
	"pathgrant.v1.DataverseTeam.members":               {items: maxPrincipals},
	"pathgrant.v1.DataverseColumnProfile.id":           {bytes: maxID},
	"pathgrant.v1.DataverseColumnProfile.display_name": {bytes: maxName},
	"pathgrant.v1.DataverseColumnProfile.columns":      {items: maxUses},
	"pathgrant.v1.DataverseColumnProfile.principals":   {items: maxPrincipals},
	"pathgrant.v1.DataverseColumnRight.table":          {bytes: maxName},
	"pathgrant.v1.DataverseColumnRight.column":         {bytes: maxName},
	"pathgrant.v1.DataverseColumnRight.rights":         {bytes: maxName, items: maxClasses},
	"pathgrant.v1.DataverseShare.table":                {bytes: maxName},
	"pathgrant.v1.DataverseShare.record":               {bytes: maxID},
	"pathgrant.v1.DataverseShare.rights":               {bytes: maxName, items: maxClasses},
	"pathgrant.v1.DataverseApp.id":                     {bytes: maxID},
	"pathgrant.v1.DataverseApp.display_name":           {bytes: maxName},
	"pathgrant.v1.DataverseApp.shared_with":            {items: maxPrincipals},
	"pathgrant.v1.DataverseApp.tables":                 {items: maxUses},
	"pathgrant.v1.DataverseTableUse.table":             {bytes: maxName},
	"pathgrant.v1.DataverseTableUse.privileges":        {bytes: maxName, items: maxClasses},
	"pathgrant.v1.DataverseFlow.id":                    {bytes: maxID},
	"pathgrant.v1.DataverseFlow.display_name":          {bytes: maxName},
	"pathgrant.v1.DataverseFlow.run_only_users":        {items: maxPrincipals},
	"pathgrant.v1.DataverseFlow.connections":           {items: maxUses},
	"pathgrant.v1.DataverseConnection.name":            {bytes: maxName},
	"pathgrant.v1.DataverseConnection.connector":       {bytes: maxName},
	"pathgrant.v1.DataverseConnection.provider":        {bytes: maxName},
	"pathgrant.v1.DataverseConnection.tables":          {items: maxUses},
	"pathgrant.v1.PutItemRequest.if_match":             {bytes: maxEtag},
	"pathgrant.v1.DeleteItemRequest.if_match":          {bytes: maxEtag},
	"pathgrant.v1.ListItemsRequest.tenant":             {bytes: maxID},
	"pathgrant.v1.ListItemsRequest.environment":        {bytes: maxID},
	"pathgrant.v1.ListItemsRequest.page_token":         {bytes: maxPageToken},

	"pathgrant.v1.ListRoleDefinitionsRequest.tenant":    {bytes: maxID},
	"pathgrant.v1.GetRoleDefinitionRequest.tenant":      {bytes: maxID},
	"pathgrant.v1.GetRoleDefinitionRequest.id_or_name":  {bytes: maxName},
	"pathgrant.v1.CreateRoleDefinitionRequest.copy_of":  {bytes: maxName},
	"pathgrant.v1.UpdateRoleDefinitionRequest.if_match": {bytes: maxEtag},
	"pathgrant.v1.DeleteRoleDefinitionRequest.id":       {bytes: maxID},
	"pathgrant.v1.DeleteRoleDefinitionRequest.if_match": {bytes: maxEtag},

	"pathgrant.v1.ListRoleAssignmentsRequest.tenant":     {bytes: maxID},
	"pathgrant.v1.ListRoleAssignmentsRequest.scope":      {bytes: maxScope},
	"pathgrant.v1.ListRoleAssignmentsRequest.permission": {bytes: maxPermission},
	"pathgrant.v1.ListRoleAssignmentsRequest.page_token": {bytes: maxPageToken},
	"pathgrant.v1.CreateRoleAssignmentRequest.role":      {bytes: maxName},
	"pathgrant.v1.CreateRoleAssignmentRequest.scope":     {bytes: maxScope},
	"pathgrant.v1.DeleteRoleAssignmentRequest.id":        {bytes: maxID},

	"pathgrant.v1.Group.id":                      {bytes: maxID},
	"pathgrant.v1.Group.display_name":            {bytes: maxName},
	"pathgrant.v1.Group.owners":                  {items: maxOwners},
	"pathgrant.v1.Group.etag":                    {bytes: maxEtag},
	"pathgrant.v1.PrincipalRecord.display_name":  {bytes: maxName},
	"pathgrant.v1.PrincipalRecord.mail":          {bytes: maxName},
	"pathgrant.v1.PrincipalRecord.owners":        {items: maxOwners},
	"pathgrant.v1.PrincipalRecord.etag":          {bytes: maxEtag},
	"pathgrant.v1.Environment.id":                {bytes: maxID},
	"pathgrant.v1.Environment.environment_group": {bytes: maxID},
	"pathgrant.v1.Environment.etag":              {bytes: maxEtag},
	"pathgrant.v1.BusinessUnit.id":               {bytes: maxID},
	"pathgrant.v1.BusinessUnit.environment":      {bytes: maxID},
	"pathgrant.v1.BusinessUnit.parent":           {bytes: maxID},
	"pathgrant.v1.BusinessUnit.etag":             {bytes: maxEtag},

	"pathgrant.v1.ListGroupsRequest.tenant":                  {bytes: maxID},
	"pathgrant.v1.ListGroupsRequest.page_token":              {bytes: maxPageToken},
	"pathgrant.v1.ListGroupMembersRequest.tenant":            {bytes: maxID},
	"pathgrant.v1.ListGroupMembersRequest.group":             {bytes: maxID},
	"pathgrant.v1.ListGroupMembersRequest.page_token":        {bytes: maxPageToken},
	"pathgrant.v1.PutGroupRequest.if_match":                  {bytes: maxEtag},
	"pathgrant.v1.DeleteGroupRequest.id":                     {bytes: maxID},
	"pathgrant.v1.DeleteGroupRequest.if_match":               {bytes: maxEtag},
	"pathgrant.v1.AddGroupMembersRequest.group":              {bytes: maxID},
	"pathgrant.v1.AddGroupMembersRequest.members":            {items: maxMembers},
	"pathgrant.v1.RemoveGroupMembersRequest.group":           {bytes: maxID},
	"pathgrant.v1.RemoveGroupMembersRequest.members":         {items: maxMembers},
	"pathgrant.v1.ListPrincipalsRequest.tenant":              {bytes: maxID},
	"pathgrant.v1.ListPrincipalsRequest.page_token":          {bytes: maxPageToken},
	"pathgrant.v1.PutPrincipalRequest.if_match":              {bytes: maxEtag},
	"pathgrant.v1.DeletePrincipalRequest.if_match":           {bytes: maxEtag},
	"pathgrant.v1.ListEnvironmentsRequest.tenant":            {bytes: maxID},
	"pathgrant.v1.ListEnvironmentsRequest.environment_group": {bytes: maxID},
	"pathgrant.v1.ListEnvironmentsRequest.page_token":        {bytes: maxPageToken},
	"pathgrant.v1.PutEnvironmentRequest.if_match":            {bytes: maxEtag},
	"pathgrant.v1.DeleteEnvironmentRequest.id":               {bytes: maxID},
	"pathgrant.v1.DeleteEnvironmentRequest.if_match":         {bytes: maxEtag},
	"pathgrant.v1.ListEnvironmentGroupsRequest.tenant":       {bytes: maxID},
	"pathgrant.v1.ListEnvironmentGroupsRequest.page_token":   {bytes: maxPageToken},
	"pathgrant.v1.CreateEnvironmentGroupRequest.id":          {bytes: maxID},
	"pathgrant.v1.DeleteEnvironmentGroupRequest.id":          {bytes: maxID},
	"pathgrant.v1.ListBusinessUnitsRequest.tenant":           {bytes: maxID},
	"pathgrant.v1.ListBusinessUnitsRequest.environment":      {bytes: maxID},
	"pathgrant.v1.ListBusinessUnitsRequest.page_token":       {bytes: maxPageToken},
	"pathgrant.v1.PutBusinessUnitRequest.if_match":           {bytes: maxEtag},
	"pathgrant.v1.DeleteBusinessUnitRequest.environment":     {bytes: maxID},
	"pathgrant.v1.DeleteBusinessUnitRequest.id":              {bytes: maxID},
	"pathgrant.v1.DeleteBusinessUnitRequest.if_match":        {bytes: maxEtag},

	"pathgrant.v1.ExportSnapshotRequest.tenant": {bytes: maxID},
	"pathgrant.v1.ImportSnapshotRequest.chunk":  {bytes: maxChunk},
	"pathgrant.v1.WatchChangesRequest.tenant":   {bytes: maxID},

	"pathgrant.v1.ListAuditEntriesRequest.tenant": {bytes: maxID},

	"pathgrant.v1.BootstrapRequest.tenant":         {bytes: maxID},
	"pathgrant.v1.BootstrapRequest.justification":  {bytes: maxJustification},
	"pathgrant.v1.BreakGlassRequest.tenant":        {bytes: maxID},
	"pathgrant.v1.BreakGlassRequest.justification": {bytes: maxJustification},
}

// adminLimits returns a status that names the first field that is outside its limit. What
// is no message of administration has no limits here.
func adminLimits(in any) error {
	if question, ok := in.(*pathgrantv1.ExplainRequest); ok {
		return explainLimits(question)
	}
	if known, err := reverseLimits(in); known {
		return err
	}
	message, ok := in.(proto.Message)
	if !ok || message.ProtoReflect().Descriptor().ParentFile().Package() != "pathgrant.v1" {
		return nil
	}
	return limitsOf("", message.ProtoReflect())
}

func limitsOf(prefix string, m protoreflect.Message) (err error) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := prefix + string(field.Name())
		limit := fieldLimits[field.FullName()]
		switch {
		case field.IsMap():
			err = invalid(name, "this field is not known here")
		case field.IsList():
			err = listLimits(name, field, value.List(), limit)
		default:
			err = valueLimits(name, field, value, limit)
		}
		return err == nil
	})
	return err
}

func listLimits(name string, field protoreflect.FieldDescriptor, list protoreflect.List, limit fieldLimit) error {
	if list.Len() > limit.items {
		return invalid(name, fmt.Sprintf("%d items, want at most %d", list.Len(), limit.items))
	}
	for i := range list.Len() {
		if err := valueLimits(indexed(name, i), field, list.Get(i), limit); err != nil {
			return err
		}
	}
	return nil
}

func valueLimits(name string, field protoreflect.FieldDescriptor, value protoreflect.Value, limit fieldLimit) error {
	n := 0
	switch field.Kind() {
	case protoreflect.StringKind:
		n = len(value.String())
	case protoreflect.BytesKind:
		n = len(value.Bytes())
	case protoreflect.MessageKind:
		if field.Message().ParentFile().Package() == "pathgrant.v1" {
			return limitsOf(name+".", value.Message())
		}
		return nil
	default:
		if field.Name() == "page_size" {
			return pageSize(name, int32(value.Int()))
		}
		return nil
	}
	if n > limit.bytes {
		return invalid(name, fmt.Sprintf("%d bytes, want at most %d", n, limit.bytes))
	}
	return nil
}
