package rpc

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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
