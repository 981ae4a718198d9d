// Package deploy holds the tests of the manifests under deploy/kubernetes and deploy/istio:
// each is read into the types of Kubernetes' and Istio's own APIs, where an unknown field
// is an error, and compared with what it must agree with: the image that `make image`
// writes, the Envoy bootstraps, and the command's flags.
package deploy
