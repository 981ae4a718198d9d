package main

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

// cpuShares keeps the load and the servers apart, so that neither takes time from the
// other: the load has the last CPU, the servers have all others.
type cpuShares struct {
	servers, load unix.CPUSet
	apart         bool // false with a single CPU
}

// shareCPUs moves this process to its share.
func shareCPUs() (cpuShares, error) {
	var s cpuShares
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return s, fmt.Errorf("which CPUs may be used: %w", err)
	}
	if all.Count() < 2 {
		return s, nil
	}
	s.apart, s.servers = true, all
	for cpu := len(all)*strconv.IntSize - 1; ; cpu-- {
		if all.IsSet(cpu) {
			s.load.Set(cpu)
			s.servers.Clear(cpu)
			break
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return s, err
	}
	for _, thread := range threads { // those that come later inherit it
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return s, err
		}
		if err := unix.SchedSetaffinity(id, &s.load); err != nil && !errors.Is(err, unix.ESRCH) {
			return s, fmt.Errorf("move the load to a CPU of its own: %w", err)
		}
	}
	runtime.GOMAXPROCS(s.load.Count())
	return s, nil
}

// forServers calls f in a thread on the servers' CPUs; the processes that it starts stay
// there.
func (s cpuShares) forServers(f func() error) (err error) {
	if !s.apart {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &s.servers); err != nil {
		return fmt.Errorf("move the servers to CPUs of their own: %w", err)
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &s.load)) }()
	return f()
}

// String describes the shares.
func (s cpuShares) String() string {
	if !s.apart {
		return "load and servers share one CPU"
	}
	return fmt.Sprintf("servers on %d CPU, the load on %d other", s.servers.Count(), s.load.Count())
}

// ticksPerSecond is the unit of times in /proc, the same on every Linux.
const ticksPerSecond = 100

// cpuTime returns how much time a process has had on a CPU.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; utime and stime are the 12th and 13th
	// field behind it.
	_, rest, found := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// ownCPUTime returns that of this process.
func ownCPUTime() (time.Duration, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// memory returns how many bytes of memory a process has, now and at most so far.
func memory(pid int) (now, most int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &now, "VmHWM": &most}[name]
		if to == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/status: %w", pid, err)
		}
		*to = kib << 10
	}
	return now, most, nil
}

// cpuModel names the processor, as far as the machine tells.
func cpuModel() string {
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

// loadAverage says how much else the machine had to do.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
