package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

const (
	// progressAfter is how long something takes before anything is said about it.
	progressAfter = 500 * time.Millisecond
	// progressEvery is how often a bar is drawn, and progressLine how often a line is
	// written where there is no terminal.
	progressEvery = 100 * time.Millisecond
	progressLine  = 5 * time.Second
	progressWidth = 30
)

// progress shows how far something long has come: a bar on a terminal, elsewhere a line
// now and then.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	began, last time.Time
	step        string
	drawn       bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, now: time.Now}
	if file, ok := w.(*os.File); ok {
		info, err := file.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	p.began = p.now()
	if !p.terminal {
		p.last = p.began // the first line is not due before
	}
	return p
}

// show shows how far it has come.
func (p *progress) show(at snapshot.Progress) {
	now := p.now()
	every := progressLine
	if p.terminal {
		every = progressEvery
	}
	if now.Sub(p.began) < progressAfter || now.Sub(p.last) < every && (at.Step == p.step || !p.terminal) {
		return
	}
	p.last, p.step = now, at.Step
	percent := uint64(100)
	if at.Total > 0 {
		percent = min(100*at.Done/at.Total, 100)
	}
	seconds := now.Sub(p.began).Truncate(time.Second)
	if !p.terminal {
		fmt.Fprintf(p.w, "%s: %d%% after %v\n", at.Step, percent, seconds)
		return
	}
	done := int(percent) * progressWidth / 100
	fmt.Fprintf(p.w, "\r%-10s [%s%s] %3d%% %v ", at.Step, strings.Repeat("=", done), strings.Repeat(" ", progressWidth-done), percent, seconds)
	p.drawn = true
}

// end removes the bar.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", progressWidth+30))
		p.drawn = false
	}
}
