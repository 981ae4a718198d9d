package main

import (
	"testing"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/worldtest"
)

func TestEveryRowAnswersAsItMust(t *testing.T) {
	w := worldtest.World()
	rows, err := build(w)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := inprocess.Verify(w, row); err != nil {
			t.Error(err)
		}
	}
}
