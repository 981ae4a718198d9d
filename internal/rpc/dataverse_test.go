package rpc_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// Every kind of item is put, listed as it was put, and deleted by what identifies it.
func TestItemsComeBackAsTheyWerePut(t *testing.T) {
	o := newOffice(t)
	ctx := as(t.Context(), "user:root")
	if _, err := pathgrantv1.NewDirectoryServiceClient(o).PutEnvironment(ctx, &pathgrantv1.PutEnvironmentRequest{
		Environment: &pathgrantv1.Environment{Id: "db", Dataverse: true},
	}); err != nil {
		t.Fatal(err)
	}
	client := pathgrantv1.NewDataverseServiceClient(o)
	items := []struct {
		kind      pathgrantv1.DataverseKind
		item, key string
	}{
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_TABLE,
			`{"environment":"db","table":{"name":"Order","classes":["custom"],"ownership":"User","entitySet":"orders","securedColumns":["cost","price"]}}`,
			`{"environment":"DB","table":{"name":"ORDER"}}`},
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_USER,
			`{"environment":"db","user":{"principal":{"type":"PRINCIPAL_TYPE_APPLICATION_USER","id":"bot"},"disabled":true,"serviceInstalled":true}}`,
			`{"environment":"db","user":{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"BOT"}}}`},
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_TEAM,
			`{"environment":"db","team":{"id":"team","displayName":"Team","teamType":"OwnerTeam","members":[{"type":"PRINCIPAL_TYPE_USER","id":"ann"},{"type":"PRINCIPAL_TYPE_APPLICATION_USER","id":"bot"}]}}`,
			`{"environment":"db","team":{"id":"team"}}`},
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_COLUMN_PROFILE,
			`{"environment":"db","columnProfile":{"id":"p","displayName":"P","columns":[{"table":"Order","column":"price","rights":["Create","Read","Update"]}],"principals":[{"type":"PRINCIPAL_TYPE_TEAM","id":"team"}]}}`,
			`{"environment":"db","columnProfile":{"id":"p"}}`},
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_SHARE,
			`{"environment":"db","share":{"table":"Order","record":"r1","principal":{"type":"PRINCIPAL_TYPE_USER","id":"ann"},"rights":["Read","Write"]}}`,
			`{"environment":"db","share":{"table":"order","record":"r1","principal":{"type":"PRINCIPAL_TYPE_USER","id":"ann"}}}`},
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_APP,
			`{"environment":"db","app":{"id":"a1","displayName":"A","sharedWith":[{"type":"PRINCIPAL_TYPE_GROUP","id":"g"}],"tables":[{"table":"Order","privileges":["Read"]}]}}`,
			`{"environment":"db","app":{"id":"a1"}}`},
		{pathgrantv1.DataverseKind_DATAVERSE_KIND_FLOW,
			`{"environment":"db","flow":{"id":"f1","displayName":"F","maker":{"type":"PRINCIPAL_TYPE_USER","id":"ann"},"runOnlyUsers":[{"type":"PRINCIPAL_TYPE_USER","id":"bob"}],
			  "connections":[{"name":"c","connector":"dataverse","provider":"Maker","tables":[{"table":"Order"}]},{"name":"m","connector":"mail","provider":"RunOnlyUser"}]}}`,
			`{"environment":"db","flow":{"id":"f1"}}`},
	}
	read := func(text string) *pathgrantv1.DataverseItem {
		t.Helper()
		item := &pathgrantv1.DataverseItem{}
		if err := protojson.Unmarshal([]byte(text), item); err != nil {
			t.Fatal(err)
		}
		return item
	}
	ignore := []cmp.Option{protocmp.Transform(), protocmp.IgnoreFields(&pathgrantv1.DataverseItem{}, "etag")}
	for _, i := range items {
		want := read(i.item)
		put, err := client.PutItem(ctx, &pathgrantv1.PutItemRequest{Item: read(i.item)})
		if err != nil {
			t.Fatalf("%v: %v", i.kind, err)
		}
		if diff := cmp.Diff(want, put.GetItem(), ignore...); diff != "" {
			t.Errorf("%v, as it was put: %s", i.kind, diff)
		}
		listed, err := client.ListItems(ctx, &pathgrantv1.ListItemsRequest{Environment: "db", Kind: i.kind})
		if err != nil || len(listed.GetItems()) != 1 {
			t.Fatalf("%v: %v %v", i.kind, listed, err)
		}
		if diff := cmp.Diff(want, listed.GetItems()[0], ignore...); diff != "" || listed.GetItems()[0].GetEtag() != put.GetItem().GetEtag() {
			t.Errorf("%v, as it is listed: %s", i.kind, diff)
		}
		again, err := client.PutItem(ctx, &pathgrantv1.PutItemRequest{Item: read(i.item), IfMatch: put.GetItem().GetEtag()})
		if err != nil || again.GetRevision().GetNumber() != put.GetRevision().GetNumber() {
			t.Errorf("%v, put again: %v %v", i.kind, again.GetRevision(), err)
		}
		if _, err := client.PutItem(ctx, &pathgrantv1.PutItemRequest{Item: read(i.item), IfMatch: `"other"`}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%v, of another state: %v", i.kind, err)
		}
	}
	// The table is named by what came after it.
	if _, err := client.DeleteItem(ctx, &pathgrantv1.DeleteItemRequest{Item: read(items[0].key), IfMatch: "*"}); status.Code(err) != codes.FailedPrecondition || errorInfo(t, err).GetReason() != "IN_USE" {
		t.Errorf("a table that is named is deleted: %v", err)
	}
	for n := len(items) - 1; n >= 0; n-- {
		i := items[n]
		gone, err := client.DeleteItem(ctx, &pathgrantv1.DeleteItemRequest{Item: read(i.key), IfMatch: "*"})
		if err != nil {
			t.Fatalf("%v: %v", i.kind, err)
		}
		if diff := cmp.Diff(read(i.item), gone.GetItem(), ignore...); diff != "" {
			t.Errorf("%v, as it was: %s", i.kind, diff)
		}
		if _, err := client.DeleteItem(ctx, &pathgrantv1.DeleteItemRequest{Item: read(i.key), IfMatch: "*"}); status.Code(err) != codes.NotFound {
			t.Errorf("%v is deleted twice: %v", i.kind, err)
		}
	}
}

func TestItemsThatAreNotRightNameTheField(t *testing.T) {
	o := newOffice(t)
	ctx := as(t.Context(), "user:root")
	if _, err := pathgrantv1.NewDirectoryServiceClient(o).PutEnvironment(ctx, &pathgrantv1.PutEnvironmentRequest{
		Environment: &pathgrantv1.Environment{Id: "db", Dataverse: true},
	}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"environment":"db"}`: "item",
		`{"environment":"db","table":{"name":"X","classes":["best"],"ownership":"User"}}`:                                  "item.table.classes[0]",
		`{"environment":"db","table":{"name":"X","ownership":"Mine"}}`:                                                     "item.table.ownership",
		`{"environment":"db","user":{"principal":{"type":"PRINCIPAL_TYPE_GROUP","id":"g"}}}`:                               "item.user.principal",
		`{"environment":"db","team":{"id":"t","teamType":"Crew"}}`:                                                         "item.team.team_type",
		`{"environment":"db","columnProfile":{"id":"p","columns":[{"table":"Account","column":"c","rights":["Delete"]}]}}`: "item.column_profile.columns[0].rights[0]",
		`{"environment":"db","share":{"table":"Account","record":"r","everyone":true,"rights":["Create"]}}`:                "item.share.rights",
		`{"environment":"db","share":{"table":"Account","record":"r","rights":["Read"]}}`:                                  "item.share.principal",
		`{"environment":"db","flow":{"id":"f","connections":[{"name":"c","connector":"x","provider":"Nobody"}]}}`:          "item.flow.connections[0].provider",
		`{"environment":"nowhere","app":{"id":"a"}}`:                                                                       "item.environment",
	} {
		item := &pathgrantv1.DataverseItem{}
		if err := protojson.Unmarshal([]byte(text), item); err != nil {
			t.Fatal(err)
		}
		_, err := pathgrantv1.NewDataverseServiceClient(o).PutItem(ctx, &pathgrantv1.PutItemRequest{Item: item})
		if status.Code(err) != codes.InvalidArgument || len(status.Convert(err).Message()) <= len(want) || status.Convert(err).Message()[:len(want)+1] != want+":" {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
