package deploy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	networkingv1 "istio.io/api/networking/v1"
	securityv1 "istio.io/api/security/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// deployDir is where the manifests are, seen from here.
const deployDir = "../../deploy"

// istioObject is a custom resource of Istio's around its specification.
type istioObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	RawSpec json.RawMessage `json:"spec"`
	Spec    proto.Message   `json:"-"`
}

// A manifest is one object and the file that it is from.
type manifest struct {
	file   string
	object any // *appsv1.Deployment, *istioObject, …
}

// kinds are the types of the objects that a manifest may hold.
var kinds = map[metav1.TypeMeta]func() any{
	{APIVersion: "v1", Kind: "ConfigMap"}:       func() any { return new(corev1.ConfigMap) },
	{APIVersion: "v1", Kind: "Service"}:         func() any { return new(corev1.Service) },
	{APIVersion: "apps/v1", Kind: "Deployment"}: func() any { return new(appsv1.Deployment) },
	{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry"}: func() any {
		return &istioObject{Spec: new(networkingv1.ServiceEntry)}
	},
	{APIVersion: "security.istio.io/v1", Kind: "AuthorizationPolicy"}: func() any {
		return &istioObject{Spec: new(securityv1.AuthorizationPolicy)}
	},
}

// parse reads the objects of a file. What their types do not know, it refuses.
func parse(file string, src []byte) ([]manifest, error) {
	var all []manifest
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(src)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, n, err)
		}
		var of metav1.TypeMeta
		if err := yaml.Unmarshal(document, &of); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, n, err)
		}
		newObject, known := kinds[of]
		if !known {
			return nil, fmt.Errorf("%s: document %d: unknown kind %s %s", file, n, of.APIVersion, of.Kind)
		}
		object := newObject()
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, n, err)
		}
		if o, ok := object.(*istioObject); ok {
			if err := protojson.Unmarshal(o.RawSpec, o.Spec); err != nil {
				return nil, fmt.Errorf("%s: document %d: spec: %w", file, n, err)
			}
		}
		all = append(all, manifest{file, object})
	}
}

// parseMeshConfig reads a chart's values that hold nothing but a mesh configuration.
func parseMeshConfig(src []byte) (*meshv1alpha1.MeshConfig, error) {
	var values struct {
		MeshConfig json.RawMessage `json:"meshConfig"`
	}
	if err := yaml.UnmarshalStrict(src, &values); err != nil {
		return nil, err
	}
	config := new(meshv1alpha1.MeshConfig)
	return config, protojson.Unmarshal(values.MeshConfig, config)
}

func readFile(t *testing.T, elem ...string) []byte {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// manifests returns the objects of a file below deploy.
func manifests(t *testing.T, file string) []manifest {
	t.Helper()
	all, err := parse(file, readFile(t, deployDir, file))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// only returns the one object of type T in a file below deploy.
func only[T any](t *testing.T, file string) T {
	t.Helper()
	var found []T
	for _, m := range manifests(t, file) {
		if object, ok := m.object.(T); ok {
			found = append(found, object)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d objects of type %T, want one", file, len(found), *new(T))
	}
	return found[0]
}

func meshConfig(t *testing.T) *meshv1alpha1.MeshConfig {
	t.Helper()
	config, err := parseMeshConfig(readFile(t, deployDir, "istio/mesh-config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// spec returns the specification of the one object of a file of Istio's.
func spec[T proto.Message](t *testing.T, file string) T {
	t.Helper()
	object := only[*istioObject](t, file)
	s, ok := object.Spec.(T)
	if !ok {
		t.Fatalf("%s is a %s, want a %T", file, object.Kind, *new(T))
	}
	return s
}

func TestEveryManifestIsReadStrictly(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deployDir, "[ik]*", "*.yaml"))
	if err != nil || len(files) < 7 {
		t.Fatalf("found %d manifests (%v), want 7 at least", len(files), err)
	}
	for _, file := range files {
		name, err := filepath.Rel(deployDir, file)
		if err != nil {
			t.Fatal(err)
		}
		if name == "istio/mesh-config.yaml" {
			meshConfig(t)
			continue
		}
		if len(manifests(t, name)) == 0 {
			t.Errorf("%s holds no object", name)
		}
	}
}

func TestAnUnknownFieldIsAnError(t *testing.T) {
	for name, src := range map[string]string{
		"of Kubernetes": "apiVersion: v1\nkind: Service\nspec: {portz: []}\n",
		"of a container": "apiVersion: apps/v1\nkind: Deployment\n" +
			"spec: {template: {spec: {containers: [{name: a, readinessProb: {}}]}}}\n",
		"given twice":        "apiVersion: v1\nkind: ConfigMap\ndata: {}\ndata: {}\n",
		"of Istio":           "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec: {actions: CUSTOM}\n",
		"beside Istio's":     "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspecs: {}\nspec: {}\n",
		"a value of Istio's": "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec: {action: CUSTOMS}\n",
		"an unknown kind":    "apiVersion: v1\nkind: Pods\n",
	} {
		if _, err := parse(name, []byte(src)); err == nil {
			t.Errorf("a field %s is accepted", name)
		}
	}
	for _, src := range []string{
		"meshConfig: {extensionProviders: [{name: a, envoyExtAuthzGrpc: {statusOnErr: '503'}}]}",
		"meshConfig: {}\nmesh: {}",
	} {
		if _, err := parseMeshConfig([]byte(src)); err == nil {
			t.Errorf("the mesh configuration %s is accepted", src)
		}
	}
	if all, err := parse("good", []byte("apiVersion: v1\nkind: Service\nspec: {ports: []}\n")); err != nil || len(all) != 1 {
		t.Errorf("a good Service is refused: %v", err)
	}
}

// values returns every value of a key in a YAML document, wherever it stands.
func values(t *testing.T, src []byte, key string) []any {
	t.Helper()
	var document any
	if err := yaml.Unmarshal(src, &document); err != nil {
		t.Fatal(err)
	}
	var found []any
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				if k == key {
					found = append(found, inner)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(document)
	return found
}
