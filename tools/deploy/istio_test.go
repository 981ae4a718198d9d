package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	networkingv1 "istio.io/api/networking/v1"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	securityv1 "istio.io/api/security/v1"
	securityv1beta1 "istio.io/api/security/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
)

func provider(t *testing.T) *meshv1alpha1.MeshConfig_ExtensionProvider {
	t.Helper()
	all := meshConfig(t).GetExtensionProviders()
	if len(all) != 1 {
		t.Fatalf("there are %d extension providers, want one", len(all))
	}
	return all[0]
}

func TestTheProviderFailsClosedAndSoon(t *testing.T) {
	authz := provider(t).GetEnvoyExtAuthzGrpc()
	if authz == nil {
		t.Fatal("the provider is not of the kind envoyExtAuthzGrpc")
	}
	if authz.GetFailOpen() || authz.GetStatusOnError() != "503" || authz.GetClearRouteCache() {
		t.Errorf("fail open %t, status on error %q, clear route cache %t; want false, 503, false",
			authz.GetFailOpen(), authz.GetStatusOnError(), authz.GetClearRouteCache())
	}
	if got := authz.GetTimeout().AsDuration(); got != 250*time.Millisecond {
		t.Errorf("a check may take %s, want 250ms as in envoy.yaml", got)
	}
	if authz.GetIncludeRequestBodyInCheck() != nil {
		t.Error("bodies are sent with the check; no decision reads them")
	}
	if got := meshConfig(t).GetPathNormalization().GetNormalization(); got != meshv1alpha1.MeshConfig_ProxyPathNormalization_MERGE_SLASHES {
		t.Errorf("paths are normalized by %s", got)
	}
}

func TestTheProviderLeadsToThePathgrantInThePod(t *testing.T) {
	authz := provider(t).GetEnvoyExtAuthzGrpc()
	entry := spec[*networkingv1.ServiceEntry](t, "istio/service-entry.yaml")
	if !slices.Equal(entry.GetHosts(), []string{authz.GetService()}) {
		t.Errorf("the provider asks %s, and the entry has %v", authz.GetService(), entry.GetHosts())
	}
	if entry.GetResolution() != networkingv1alpha3.ServiceEntry_STATIC ||
		len(entry.GetEndpoints()) != 1 || entry.GetEndpoints()[0].GetAddress() != "127.0.0.1" {
		t.Errorf("the entry leads to %v, want 127.0.0.1", entry.GetEndpoints())
	}
	if len(entry.GetPorts()) != 1 || entry.GetPorts()[0].GetNumber() != authz.GetPort() || entry.GetPorts()[0].GetProtocol() != "GRPC" {
		t.Errorf("the provider asks port %d, and the entry has %v", authz.GetPort(), entry.GetPorts())
	}
	listen := oneFlag(t, sidecar(t, pod(t, "kubernetes/istio.yaml"), "pathgrant"), "listen")
	if want := fmt.Sprintf("tcp://127.0.0.1:%d", authz.GetPort()); listen != want {
		t.Errorf("Pathgrant listens on %s, and the provider leads to %s", listen, want)
	}
	// The bootstrap that imitates Istio's must imitate this provider.
	bootstrap := string(readFile(t, deployDir, "envoy/istio.yaml"))
	if cluster := fmt.Sprintf("cluster_name: outbound|%d||%s\n", authz.GetPort(), authz.GetService()); !strings.Contains(bootstrap, cluster) {
		t.Errorf("deploy/envoy/istio.yaml has no %q", cluster)
	}
}

func TestPoliciesAskAboutEveryPathButHealth(t *testing.T) {
	for _, file := range []string{"istio/authorization-policy.yaml", "istio/authorization-policy-waypoint.yaml"} {
		policy := spec[*securityv1.AuthorizationPolicy](t, file)
		if policy.GetAction() != securityv1beta1.AuthorizationPolicy_CUSTOM || policy.GetProvider().GetName() != provider(t).GetName() {
			t.Errorf("%s: %s by %q, want CUSTOM by %q", file, policy.GetAction(), policy.GetProvider().GetName(), provider(t).GetName())
		}
		rules := policy.GetRules()
		if len(rules) != 1 || len(rules[0].GetFrom()) > 0 || len(rules[0].GetWhen()) > 0 || len(rules[0].GetTo()) != 1 {
			t.Fatalf("%s: a rule leaves out more than paths: %v", file, rules)
		}
		operation := rules[0].GetTo()[0].GetOperation()
		if !slices.Equal(operation.GetNotPaths(), []string{"/healthz"}) ||
			len(operation.GetPaths()) > 0 || len(operation.GetMethods()) > 0 || len(operation.GetNotMethods()) > 0 ||
			len(operation.GetHosts()) > 0 || len(operation.GetNotHosts()) > 0 || len(operation.GetPorts()) > 0 || len(operation.GetNotPorts()) > 0 {
			t.Errorf("%s: the rule leaves out other than /healthz: %v", file, operation)
		}
	}
}

func TestPoliciesFindWhatTheyAreFor(t *testing.T) {
	template := only[*appsv1.Deployment](t, "kubernetes/istio.yaml").Spec.Template
	policy := spec[*securityv1.AuthorizationPolicy](t, "istio/authorization-policy.yaml")
	if len(policy.GetSelector().GetMatchLabels()) == 0 || len(policy.GetTargetRefs()) > 0 {
		t.Error("the policy for sidecars has no selector, or has targetRefs")
	}
	for key, value := range policy.GetSelector().GetMatchLabels() {
		if template.Labels[key] != value {
			t.Errorf("the policy selects %s: %s, which the pods don't have", key, value)
		}
	}
	if template.Labels["sidecar.istio.io/inject"] != "true" {
		t.Error("the pods get no proxy")
	}
	// The kubelet speaks no mutual TLS.
	if got := template.Annotations["traffic.sidecar.istio.io/excludeInboundPorts"]; got != "9192" {
		t.Errorf("the proxy leaves out the ports %q, want 9192", got)
	}
	waypoint := spec[*securityv1.AuthorizationPolicy](t, "istio/authorization-policy-waypoint.yaml")
	refs := waypoint.GetTargetRefs()
	if len(refs) != 1 || refs[0].GetKind() != "Gateway" || refs[0].GetGroup() != "gateway.networking.k8s.io" || waypoint.GetSelector() != nil {
		t.Errorf("the policy for waypoints is attached to %v, want a Gateway", refs)
	}
}
