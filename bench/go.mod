module github.com/pathgrant/pathgrant/bench

go 1.26.8

require github.com/pathgrant/pathgrant v0.0.0

replace github.com/pathgrant/pathgrant => ../
