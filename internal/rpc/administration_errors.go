package rpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pathgrant/pathgrant/internal/admin"
)

// errorDomain is the domain of the reasons in google.rpc.ErrorInfo. The reasons are the
// names of the kinds of [admin.Error].
const errorDomain = "pathgrant"

// adminCode says which code a kind of error has.
func adminCode(kind admin.Kind) codes.Code {
	switch kind {
	case admin.Unauthenticated:
		return codes.Unauthenticated
	case admin.Throttled:
		return codes.ResourceExhausted
	case admin.OperatorRequired, admin.CrossTenant, admin.Forbidden, admin.SelfEscalation, admin.Escalation, admin.BeneathDeny:
		return codes.PermissionDenied
	case admin.Invalid, admin.ScopeUnknown, admin.RoleUnknown, admin.PrincipalUnknown, admin.NotAssignable:
		return codes.InvalidArgument
	case admin.NotFound:
		return codes.NotFound
	case admin.Duplicate:
		return codes.AlreadyExists
	case admin.RequestIDReused:
		return codes.Aborted
	case admin.Compacted:
		return codes.OutOfRange
	case admin.LastAdministrator, admin.PrincipalDisabled, admin.InUse, admin.Immutable, admin.Circle,
		admin.EtagRequired, admin.EtagMismatch, admin.NotEmpty, admin.ReadOnlySource:
		return codes.FailedPrecondition
	case admin.Unavailable:
		return codes.Unavailable
	case admin.Internal:
	}
	return codes.Internal
}

// adminError turns an error into a status: a sentence, the reason, and the field of the
// request that is wrong.
func adminError(in any, err error) error {
	if err == nil {
		return nil
	}
	var e *admin.Error
	if !errors.As(err, &e) {
		switch _, isStatus := status.FromError(err); {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return status.FromContextError(err).Err()
		case isStatus:
			return err
		default:
			return status.Error(codes.Internal, "the call failed; the log says why")
		}
	}
	if e.Kind == admin.Unavailable && errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(context.DeadlineExceeded).Err()
	}
	field := ""
	if message, ok := in.(proto.Message); ok && e.Field != "" {
		field = protoField(message.ProtoReflect().Descriptor(), e.Field)
	}
	text := e.Error()
	if field != "" {
		text = field + ": " + text
	}
	info := &errdetails.ErrorInfo{Reason: e.Kind.String(), Domain: errorDomain, Metadata: map[string]string{}}
	if e.Scope != "" {
		info.Metadata["scope"] = string(e.Scope)
	}
	if len(e.Missing) > 0 {
		info.Metadata["missing_permissions"] = strings.Join(permissionNames(e.Missing), ",")
	}
	details := []protoadapt.MessageV1{info}
	if field != "" {
		details = append(details, violation(field, e.Error()))
	}
	return withDetails(adminCode(e.Kind), text, details...)
}

// invalid is an error about a field of the request.
func invalid(field, text string) error {
	return withDetails(codes.InvalidArgument, field+": "+text,
		&errdetails.ErrorInfo{Reason: admin.Invalid.String(), Domain: errorDomain}, violation(field, text))
}

func violation(field, text string) *errdetails.BadRequest {
	return &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: text}}}
}

func withDetails(code codes.Code, text string, details ...protoadapt.MessageV1) error {
	said := status.New(code, text)
	if detailed, err := said.WithDetails(details...); err == nil {
		said = detailed
	}
	return said.Err()
}

// fieldNames are the fields that requests of admin and of the contract name differently.
var fieldNames = map[string]string{
	"Etag":                  "if_match",
	"Expires":               "expires_time",
	"Role":                  "role",
	"Environment.Group":     "environment.environment_group",
	"Principal.Principal":   "principal.principal",
	"BusinessUnit.ID":       "business_unit.id",
	"Environment.Dataverse": "environment.dataverse",

	"RoleDefinition.Environment":  "role_definition.environment",
	"RoleDefinition.BusinessUnit": "role_definition.business_unit",
	"Item.User.BusinessUnit":      "item.user.business_unit",
	"Item.Team.BusinessUnit":      "item.team.business_unit",
	"Owner":                       "principal",
	"Size":                        "page_size",
	"Token":                       "page_token",
	"Page.Size":                   "page_size",
	"Page.Token":                  "page_token",
	"After":                       "after_revision",
	"RequestID":                   "request_id",
	"RoleDefinition.CopyOf":       "copy_of",
}

// protoField finds the field of a message that a field of a request of admin came from. One
// that the message does not have is returned as it is spelled there.
func protoField(message protoreflect.MessageDescriptor, field string) string {
	name, ok := fieldNames[field]
	if !ok {
		name = snakeCase(field)
	}
	for _, candidate := range []string{name, "context." + name} {
		if hasField(message, candidate) {
			return candidate
		}
	}
	return name
}

func hasField(message protoreflect.MessageDescriptor, path string) bool {
	first, rest, more := strings.Cut(path, ".")
	name, _, _ := strings.Cut(first, "[")
	field := message.Fields().ByName(protoreflect.Name(name))
	if field == nil {
		return false
	}
	return !more || field.Message() != nil && hasField(field.Message(), rest)
}

// snakeCase spells RoleDefinition.Permissions[2] as role_definition.permissions[2].
func snakeCase(text string) string {
	var b strings.Builder
	lower := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= 'a' && text[i] <= 'z' }
	upper := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= 'A' && text[i] <= 'Z' }
	for i := range len(text) {
		if !upper(i) {
			b.WriteByte(text[i])
			continue
		}
		if lower(i-1) || upper(i-1) && lower(i+1) {
			b.WriteByte('_')
		}
		b.WriteByte(text[i] + 'a' - 'A')
	}
	return b.String()
}
