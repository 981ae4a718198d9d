module github.com/pathgrant/pathgrant/bench/peers/cedar

go 1.26.8

require (
	github.com/cedar-policy/cedar-go v1.9.0
	github.com/pathgrant/pathgrant/bench/peers v0.0.0
)

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	github.com/pathgrant/pathgrant v0.0.0 // indirect
	github.com/pathgrant/pathgrant/bench v0.0.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/exp v0.0.0-20220921023135-46d9e7742f1e // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/pathgrant/pathgrant => ../../..
	github.com/pathgrant/pathgrant/bench => ../..
	github.com/pathgrant/pathgrant/bench/peers => ..
)
