package inprocess

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/bench/peers/world"
	"github.com/pathgrant/pathgrant/bench/peers/worldtest"
)

func TestEveryAnswerOfARowIsCompared(t *testing.T) {
	w := worldtest.World()
	right := func(i int) (string, error) { return w.Requests[i].Reason, nil }
	onlyDenies := func(i int) (string, error) {
		if w.Requests[i].Reason == world.Granted {
			return world.Granted, nil
		}
		return Denied, nil
	}
	wrongAt := func(n int, answer string, err error) func(int) (string, error) {
		return func(i int) (string, error) {
			if i == n {
				return answer, err
			}
			return right(i)
		}
	}
	for name, test := range map[string]struct {
		ask  func(int) (string, error)
		want string // part of the error
	}{
		"right":              {right, ""},
		"denies, not why":    {onlyDenies, ""},
		"wrongly granted":    {wrongAt(8, world.Granted, nil), "request 8"},
		"wrongly denied":     {wrongAt(0, Denied, nil), "request 0"},
		"for another reason": {wrongAt(2, world.NoAssignment, nil), "request 2"},
		"fails":              {wrongAt(3, world.Granted, errors.New("out of order")), "out of order"},
	} {
		err := Verify(w, Row{Name: name, Ask: test.ask})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestARoundIsMeasuredForEveryLine(t *testing.T) {
	asked := map[int]int{}
	rows := []Row{
		{Name: "one", Ask: func(int) (string, error) { t.Error("nobody asked for row 0"); return "", nil }},
		{Name: "two", Ask: func(i int) (string, error) { asked[i]++; return world.Granted, nil }},
	}
	var out bytes.Buffer
	if err := serve(strings.NewReader("1 1\n1 1\n"), json.NewEncoder(&out), rows, 3); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&out)
	total := 0
	for range 2 {
		var r Round
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Row != 1 || r.Decisions < 256 || r.Nanoseconds <= 0 || r.CPU <= 0 {
			t.Errorf("%+v", r)
		}
		total += r.Decisions
	}
	if len(asked) != 3 || asked[0]+asked[1]+asked[2] != total || asked[0]-asked[2] > 1 {
		t.Errorf("%v for %d decisions: want all three requests in turn", asked, total)
	}
}

func TestALineThatMakesNoSenseIsRefused(t *testing.T) {
	for _, line := range []string{"0", "1 100", "-1 100", "x 100", "0 x"} {
		if err := serve(strings.NewReader(line), json.NewEncoder(&bytes.Buffer{}), make([]Row, 1), 1); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}
