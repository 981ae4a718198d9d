package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// recordRequest is what a line of input tells of a Dataverse record.
type recordRequest struct {
	ID           string        `json:"id"`
	Owner        *ownerRequest `json:"owner"`
	BusinessUnit string        `json:"businessUnit"`
}

// ownerRequest is who owns a record, in the field names of a bundle.
type ownerRequest struct {
	PrincipalType     authz.PrincipalType `json:"principalType"`
	PrincipalObjectID string              `json:"principalObjectId"`
}

// relateRequest is what a record is to be attached to.
type relateRequest struct {
	Table      string         `json:"table"`
	Record     *recordRequest `json:"record"`
	ManyToMany bool           `json:"manyToMany"`
}

// recordResult says how a question about a record was decided.
type recordResult struct {
	Permission  string `json:"permission"`
	ActingFor   bool   `json:"actingFor,omitempty"`
	Access      string `json:"access,omitempty"`
	Lack        string `json:"lack,omitempty"`
	Reach       string `json:"reach,omitempty"`
	NeededReach string `json:"neededReach,omitempty"`
	Column      string `json:"column,omitempty"`
}

// recordFlags are the flags that go with a permission of a Dataverse table.
type recordFlags struct {
	record, related   recordFlag
	columns           []string
	allColumns        bool
	onBehalfOf, table string
	manyToMany        bool
}

// recordFlag is a record as flags give it.
type recordFlag struct{ id, owner, businessUnit string }

func (f *recordFlags) flags(cmd *cobra.Command) {
	set := cmd.Flags()
	f.record.flags(cmd, "record", "the record's")
	set.StringSliceVar(&f.columns, "column", nil, "a column that is to be read or set (repeatable)")
	set.BoolVar(&f.allColumns, "all-columns", false, "every column is to be read or set")
	set.StringVar(&f.onBehalfOf, "on-behalf-of", "", "the user that the caller acts for, by object id")
	set.StringVar(&f.table, "relate-to", "", "the table of the record that this one is to be attached to, with the privilege Append")
	f.related.flags(cmd, "relate-record", "that record's")
	set.BoolVar(&f.manyToMany, "many-to-many", false, "each of the two is attached to the other")
}

func (f *recordFlag) flags(cmd *cobra.Command, name, whose string) {
	set := cmd.Flags()
	set.StringVar(&f.id, name, "", whose+" identifier, which finds the shares that are stored")
	set.StringVar(&f.owner, name+"-owner", "", whose+" owner, TYPE:ID, such as User:ada or Team:t7")
	set.StringVar(&f.businessUnit, name+"-business-unit", "", whose+" owning business unit")
}

// into puts what the flags say into the question.
func (f *recordFlags) into(r *checkRequest) (err error) {
	if r.Record, err = f.record.request("record"); err != nil {
		return err
	}
	r.Columns, r.AllColumns = f.columns, f.allColumns
	if f.onBehalfOf != "" {
		r.OnBehalfOf = &checkCaller{User: f.onBehalfOf}
	}
	related, err := f.related.request("relate-record")
	switch {
	case err != nil:
		return err
	case f.table != "":
		r.Relate = &relateRequest{Table: f.table, Record: related, ManyToMany: f.manyToMany}
	case related != nil || f.manyToMany:
		return errors.New("--relate-record, --many-to-many: go with --relate-to")
	}
	return nil
}

func (f recordFlag) request(name string) (*recordRequest, error) {
	if f == (recordFlag{}) {
		return nil, nil
	}
	r := &recordRequest{ID: f.id, BusinessUnit: f.businessUnit}
	if f.owner != "" {
		kind, id, ok := strings.Cut(f.owner, ":")
		r.Owner = &ownerRequest{PrincipalObjectID: id}
		if err := r.Owner.PrincipalType.UnmarshalText([]byte(kind)); err != nil || !ok || id == "" {
			return nil, fmt.Errorf("--%s-owner %q: want TYPE:ID, such as User:ada or Team:t7", name, f.owner)
		}
	}
	return r, nil
}

// validateRecord checks what goes with a permission of a Dataverse table.
func (r checkRequest) validateRecord() error {
	has := r.Record != nil || len(r.Columns) > 0 || r.AllColumns || r.OnBehalfOf != nil || r.Relate != nil
	switch {
	case has && r.Permission == "":
		return errors.New("record, columns, allColumns, onBehalfOf, relate: go with permission only")
	case r.OnBehalfOf != nil && (r.OnBehalfOf.User == "") == (r.OnBehalfOf.App == ""):
		return errors.New("onBehalfOf: user, app: want one of them")
	case r.Relate != nil && r.Relate.Table == "":
		return errors.New("relate: table: missing")
	}
	return nil
}

func (r checkRequest) target(scope string) *pathgrantv1.PermissionTarget {
	target := &pathgrantv1.PermissionTarget{
		Permission: r.Permission, Scope: scope, Record: r.Record.message(), Columns: r.Columns, AllColumns: r.AllColumns,
	}
	if r.OnBehalfOf != nil {
		target.OnBehalfOf = r.OnBehalfOf.subject(r.Tenant)
	}
	if r.Relate != nil {
		target.Relate = &pathgrantv1.RelateTarget{Table: r.Relate.Table, Record: r.Relate.Record.message(), ManyToMany: r.Relate.ManyToMany}
	}
	return target
}

func (r *recordRequest) message() *pathgrantv1.DataverseRecord {
	if r == nil {
		return nil
	}
	record := &pathgrantv1.DataverseRecord{Id: r.ID, BusinessUnit: r.BusinessUnit}
	if r.Owner != nil {
		record.Owner = &pathgrantv1.Principal{Type: principalTypeNamed(r.Owner.PrincipalType), Id: r.Owner.PrincipalObjectID}
	}
	return record
}

func recordResultOf(d *pathgrantv1.DataverseDecision) *recordResult {
	if d == nil {
		return nil
	}
	return &recordResult{
		Permission:  d.GetPermission(),
		ActingFor:   d.GetActingFor(),
		Access:      enumName(d.GetAccess().String(), "DATAVERSE_ACCESS_"),
		Lack:        enumName(d.GetLack().String(), "DATAVERSE_LACK_"),
		Reach:       reachNamed(d.GetReach()),
		NeededReach: reachNamed(d.GetNeededReach()),
		Column:      d.GetColumn(),
	}
}

// enumName is a value's name without its prefix; empty for the one that is not set.
func enumName(name, prefix string) string {
	if name = strings.TrimPrefix(name, prefix); name == "UNSPECIFIED" {
		return ""
	}
	return name
}

// reachNamed is a reach as role definitions spell it.
func reachNamed(r pathgrantv1.DataverseReach) string {
	if r < 0 || r > pathgrantv1.DataverseReach(authz.OrganizationReach) {
		return r.String()
	}
	return authz.Reach(r).String()
}
