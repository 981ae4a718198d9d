module github.com/pathgrant/pathgrant/bench/peers/casbin

go 1.26.8

require (
	github.com/casbin/casbin/v3 v3.10.0
	github.com/pathgrant/pathgrant/bench/peers v0.0.0
)

require (
	github.com/bmatcuk/doublestar/v4 v4.6.1 // indirect
	github.com/casbin/govaluate v1.3.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/pathgrant/pathgrant v0.0.0 // indirect
	github.com/pathgrant/pathgrant/bench v0.0.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/pathgrant/pathgrant => ../../..
	github.com/pathgrant/pathgrant/bench => ../..
	github.com/pathgrant/pathgrant/bench/peers => ..
)
