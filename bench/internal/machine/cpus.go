package machine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// CPUs keeps the load and the servers apart, so that neither takes time from the other:
// the load has the last CPU, the servers have all others. The zero value keeps nothing
// apart.
type CPUs struct {
	servers, load unix.CPUSet
	apart         bool // false with a single CPU
}

// Share moves this process to the load's share.
func Share() (CPUs, error) {
	var s CPUs
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

// ForServers calls f in a thread on the servers' CPUs; the processes that it starts stay
// there.
func (s CPUs) ForServers(f func() error) (err error) {
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

// Apart tells whether load and servers have CPUs of their own.
func (s CPUs) Apart() bool { return s.apart }

// String describes the shares.
func (s CPUs) String() string {
	if !s.apart {
		return "load and servers share one CPU"
	}
	return fmt.Sprintf("servers on %d CPU, the load on %d other", s.servers.Count(), s.load.Count())
}
