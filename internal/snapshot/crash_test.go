package snapshot_test

const childVariable = "PATHGRANT_SNAPSHOT_CHILD"

var children = map[string]func() int{}
