package extauthz

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fullCheck is a check with every kind of field that there is.
func fullCheck(tb testing.TB) []byte {
	tb.Helper()
	claims, err := structpb.NewStruct(map[string]any{"payload": map[string]any{"oid": "ada", "groups": []any{"g1", 2.0, true, nil}}})
	if err != nil {
		tb.Fatal(err)
	}
	address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "10.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 443},
	}}}
	wire, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: address, Principal: "spiffe://mesh/a", Labels: map[string]string{"a": "b"}},
		Destination: &authv3.AttributeContext_Peer{Address: address, Principal: "spiffe://mesh/b", Certificate: "c"},
		Request: &authv3.AttributeContext_Request{
			Time: timestamppb.New(timestamppb.Now().AsTime()),
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "1", Method: "GET", Path: "/powerapps/apps?x=1", Host: "api.example", Scheme: "https", Size: -1, Body: "b", RawBody: []byte{0xff},
				Headers: map[string]string{"authorization": "Bearer x"},
				HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					{Key: "authorization", Value: "Bearer x"}, {Key: "x-raw", RawValue: []byte("r\xff")},
				}},
			},
		},
		ContextExtensions: map[string]string{"catalogue": "second"},
		MetadataContext: &corev3.Metadata{
			FilterMetadata:      map[string]*structpb.Struct{"envoy.filters.http.jwt_authn": claims},
			TypedFilterMetadata: map[string]*anypb.Any{"t": {TypeUrl: "u", Value: []byte{0xff}}},
		},
		RouteMetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"r": claims}},
		TlsSession:           &authv3.AttributeContext_TLSSession{Sni: "api.example"},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

// nested returns a message with so many messages in its field 1, one in the other.
func nested(number protowire.Number, inner []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), inner)
}

// inHTTP returns a CheckRequest whose attributes.request.http is this.
func inHTTP(http ...byte) []byte { return nested(1, nested(4, nested(2, http))) }

func entry(number protowire.Number, key, value string) []byte {
	return nested(number, append(nested(1, []byte(key)), nested(2, []byte(value))...))
}

// deep is a check whose metadata is a list in a list, so many times.
func deep(levels int) []byte {
	value := []byte(nil)
	for range levels {
		value = nested(6, nested(1, value)) // Value.list_value { values }
	}
	metadata := nested(1, append(nested(1, []byte("ns")), nested(2, entry(1, "k", string(value)))...))
	return nested(1, nested(11, metadata))
}

// What proto.Unmarshal makes of bytes is what the scan must make of them.
func FuzzScanIsUnmarshal(f *testing.F) {
	full := fullCheck(f)
	seeds := [][]byte{
		nil, full, full[:len(full)-1], full[:len(full)/2], append(slices.Clone(full), full...),
		inHTTP(), nested(1, nil), {0x0a}, {0x0c}, {0x08, 1}, {0x00}, {0x0b, 0x0c}, {0x0b, 0x14}, {0x0f},
		{0x8a, 0x00, 0x00}, {0x8a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00},
		append(protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3), 1), // a number too great
		// Parts are merged, and of two values the later counts.
		append(inHTTP(nested(2, []byte("GET"))...), inHTTP(append(nested(2, []byte("POST")), nested(4, []byte("/p"))...)...)...),
		inHTTP(append(entry(3, "a", "1"), entry(3, "a", "2")...)...),
		inHTTP(append(nested(13, entry(1, "a", "1")), nested(13, entry(1, "b", "2"))...)...),
		append(nested(1, nested(11, entry(1, "a", ""))), nested(1, nested(11, entry(1, "b", "")))...),
		// In an entry too; and one may lack its key or its value.
		inHTTP(nested(3, append(append(nested(1, []byte("a")), nested(1, []byte("b"))...), nested(2, []byte("c"))...))...),
		inHTTP(nested(3, nested(2, []byte("v")))...), inHTTP(nested(3, nested(1, []byte("k")))...), inHTTP(nested(3, nil)...),
		// Fields of another type than they should be of are not known.
		inHTTP(0x10, 1), inHTTP(0x18, 1), inHTTP(0x6d, 1, 2, 3, 4), {0x09, 1, 2, 3, 4, 5, 6, 7, 8},
		// What is not UTF-8 is refused wherever it is a string, and nowhere else.
		inHTTP(nested(2, []byte{0xff})...), inHTTP(nested(3, nested(2, []byte{0xff}))...), inHTTP(nested(12, []byte{0xff})...),
		nested(1, nested(2, nested(4, []byte{0xff}))), nested(1, nested(13, nested(1, nested(1, []byte{0xff})))),
		deep(1), deep(4990), deep(4996), deep(4997), deep(4998), deep(5001), deep(9000),
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var want authv3.CheckRequest
		refused := proto.Unmarshal(wire, &want)
		var got scanned
		got.joined = append(got.joined, header{"left", "over", ""})
		err := got.scan(slices.Clone(wire))
		if (err == nil) != (refused == nil) {
			t.Fatalf("the scan says %v, proto.Unmarshal %v", err, refused)
		}
		if err != nil {
			return
		}
		attributes := want.GetAttributes()
		http := attributes.GetRequest().GetHttp()
		if got.http != (http != nil) || got.method != http.GetMethod() || got.host != http.GetHost() ||
			got.path != http.GetPath() || got.principal != attributes.GetSource().GetPrincipal() {
			t.Errorf("scanned %+v of %v", got, &want)
		}
		sameMap(t, "headers", got.joined, http.GetHeaders())
		sameMap(t, "context_extensions", got.extensions, attributes.GetContextExtensions())
		var listed []header
		for _, h := range http.GetHeaderMap().GetHeaders() {
			listed = append(listed, header{h.GetKey(), h.GetValue(), string(h.GetRawValue())})
		}
		if !slices.Equal(got.listed, listed) {
			t.Errorf("header_map is %q, want %q", got.listed, listed)
		}
		var metadata corev3.Metadata
		if err := proto.Unmarshal([]byte(got.metadata), &metadata); err != nil {
			t.Errorf("metadata_context: %v", err)
		}
		expected := attributes.GetMetadataContext()
		if expected == nil {
			expected = &corev3.Metadata{}
		}
		if !proto.Equal(&metadata, expected) {
			// Two NaNs are equal to nobody but cmp.
			if diff := cmp.Diff(expected, &metadata, protocmp.Transform()); diff != "" {
				t.Errorf("metadata_context: %s", diff)
			}
		}
		sameRequest(t, wire, &want)
	})
}

func sameMap(t *testing.T, name string, got []header, want map[string]string) {
	t.Helper()
	all := map[string]string{}
	for _, h := range got {
		all[h.name], _ = last(got, h.name)
	}
	if !maps.Equal(all, want) {
		t.Errorf("%s is %q, want %q", name, all, want)
	}
}

// sameRequest holds what the decider is asked equal to what it was asked with the
// generated message.
func sameRequest(t *testing.T, wire []byte, in *authv3.CheckRequest) {
	t.Helper()
	want, headers, refused := requestFrom(in)
	var got scanned
	err := got.read(wire)
	if (err == nil) != (refused == nil) || err != nil && err.Error() != refused.Error() {
		t.Fatalf("read says %v, want %v", err, refused)
	}
	if err != nil {
		return
	}
	names := []string{"authorization", "content-type", "", "catalogue", "permission"}
	headers.each(func(name string) { names = append(names, name) })
	for _, h := range got.headers() {
		names = append(names, h.name)
	}
	for _, name := range names {
		if values := got.headerValues(name); !slices.Equal(values, headers.values(name)) {
			t.Errorf("header %q is %q, want %q", name, values, headers.values(name))
		}
		if value := got.headerValue(name); value != want.Header(name) {
			t.Errorf("header %q is %q, want %q", name, value, want.Header(name))
		}
		if value := got.contextExtension(name); value != want.ContextExtension(name) {
			t.Errorf("extension %q is %q, want %q", name, value, want.ContextExtension(name))
		}
	}
}

func TestMetadataIsReadWhenASourceAsks(t *testing.T) {
	var s scanned
	if err := s.read(fullCheck(t)); err == nil {
		t.Fatal("headers and header_map that disagree are read")
	}
	payload, _ := s.metadataValue("envoy.filters.http.jwt_authn", "payload").(map[string]any)
	if payload["oid"] != "ada" {
		t.Errorf("payload %v, want ada's", payload)
	}
	for _, missing := range [][2]string{{"envoy.filters.http.jwt_authn", "other"}, {"r", "payload"}, {"", ""}} {
		if value := s.metadataValue(missing[0], missing[1]); value != nil {
			t.Errorf("%q has the value %v", missing, value)
		}
	}
}

// What the memory held before does not show through.
func TestAScanForgetsTheOneBefore(t *testing.T) {
	var s scanned
	full := inHTTP(slices.Concat(
		nested(2, []byte("GET")), nested(4, []byte("/powerapps/apps")), entry(3, "a", "1"), entry(3, "B", "2"),
	)...)
	if err := s.read(full); err == nil {
		t.Fatal("a header's name in upper case is read")
	}
	if err := s.read(inHTTP(append(nested(4, []byte("/other")), entry(3, "c", "3")...)...)); err != nil {
		t.Fatal(err)
	}
	if s.method != "" || s.path != "/other" || !slices.Equal(s.joined, []header{{name: "c", value: "3"}}) || s.unsure {
		t.Errorf("scanned %+v", s)
	}
}

// A header is read alike in the form that proxies send and in any other; and whatever it
// holds, it is what proto.Unmarshal makes of it.
func TestPairsAreReadAsTheWalkReadsThem(t *testing.T) {
	long := strings.Repeat("v", 300)
	texts := []string{"", "a", "eight.by", "nine.byte", "Upper", "eight.bytE", "é", "eight.by\xff", long, strings.Repeat("v", 1<<14)}
	for _, name := range texts {
		for _, value := range texts {
			usual, turned := entry(3, name, value), nested(3, append(nested(2, []byte(value)), nested(1, []byte(name))...))
			twice := nested(3, slices.Concat(nested(1, []byte("first")), nested(1, []byte(name)), nested(2, []byte(value))))
			for _, http := range [][]byte{usual, turned, twice, usual[:len(usual)-1]} {
				wire := inHTTP(http...)
				var want authv3.CheckRequest
				refused := proto.Unmarshal(wire, &want)
				var got scanned
				if err := got.scan(wire); (err == nil) != (refused == nil) {
					t.Fatalf("%.40q: the scan says %v, proto.Unmarshal %v", wire, err, refused)
				}
				if refused == nil {
					sameMap(t, "headers", got.joined, want.GetAttributes().GetRequest().GetHttp().GetHeaders())
					sameRequest(t, wire, &want)
				}
			}
		}
	}
}
