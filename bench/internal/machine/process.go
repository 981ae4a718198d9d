package machine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns how much time a process, with all threads that it has or had, has been
// on a CPU: its CPU-time clock, which counts nanoseconds where /proc counts hundredths of
// a second.
func CPUTime(pid int) (time.Duration, error) {
	// How Linux numbers the clock of a process; clock_getcpuclockid(3) does the same.
	const perProcess, scheduled = 0, 2
	return cpuClock(int32(^pid<<3 | perProcess | scheduled))
}

// OwnCPUTime returns that of this process.
func OwnCPUTime() (time.Duration, error) { return cpuClock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func cpuClock(clock int32) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("CPU time: %w", os.NewSyscallError("clock_gettime", err))
	}
	return time.Duration(t.Nano()), nil
}

// Memory is what a process has, in bytes.
type Memory struct {
	Resident  int64 // now
	Anonymous int64 // of it, that which no file stands behind
	Most      int64 // the most it had so far
}

// MemoryOf returns what a process has.
func MemoryOf(pid int) (Memory, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return Memory{}, err
	}
	m, err := parseStatus(string(text))
	if err != nil {
		return Memory{}, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

func parseStatus(text string) (Memory, error) {
	var m Memory
	found := 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &m.Resident, "VmHWM": &m.Most, "RssAnon": &m.Anonymous}[name]
		if to == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return Memory{}, err
		}
		*to = kib << 10
		found++
	}
	if found != 3 {
		return Memory{}, errors.New("it does not say how much memory there is")
	}
	return m, nil
}

// CPUModel names the processor, as far as the machine tells.
func CPUModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// LoadAverage says how much else the machine had to do.
func LoadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
