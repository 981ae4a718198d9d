package machine

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCPUTimeGrowsByWhatIsUsed(t *testing.T) {
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own, err := OwnCPUTime()
	if err != nil || own < before {
		t.Errorf("%v, then %v: %v", before, own, err)
	}
	// A quarter of what /proc could tell apart.
	for after := before; after < before+2500*time.Microsecond; {
		if after, err = CPUTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CPUTime(1 << 22); err == nil {
		t.Error("a process that does not exist has CPU time")
	}
}

func TestMemoryIsRead(t *testing.T) {
	m, err := parseStatus("Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\nRssAnon:\t    4096 kB\nRssFile:\t 6144 kB\n")
	if err != nil || m != (Memory{Resident: 10 << 20, Anonymous: 4 << 20, Most: 20 << 20}) {
		t.Errorf("%+v: %v", m, err)
	}
	for _, text := range []string{"", "VmHWM:\t1 kB\nVmRSS:\t1 kB\n", "VmHWM:\t1 kB\nVmRSS:\tx kB\nRssAnon:\t1 kB\n"} {
		if _, err := parseStatus(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	if m, err := MemoryOf(os.Getpid()); err != nil || m.Anonymous <= 0 || m.Resident < m.Anonymous || m.Most < m.Resident {
		t.Errorf("%+v: %v", m, err)
	}
}

func TestServersRunOnOtherCPUs(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	s, err := Share()
	if err != nil {
		t.Fatal(err)
	}
	if s.Apart() != (all.Count() > 1) {
		t.Errorf("%v with %d CPUs", s, all.Count())
	}
	var load, servers unix.CPUSet
	if err := unix.SchedGetaffinity(0, &load); err != nil {
		t.Fatal(err)
	}
	if err := s.ForServers(func() error { return unix.SchedGetaffinity(0, &servers) }); err != nil {
		t.Fatal(err)
	}
	if s.Apart() && (load.Count() != 1 || servers.Count() != all.Count()-1) {
		t.Errorf("%d CPUs for the load, %d for servers, of %d", load.Count(), servers.Count(), all.Count())
	}
	for word := range all {
		if s.Apart() && load[word]&servers[word] != 0 {
			t.Errorf("CPUs are shared: %x and %x", load[word], servers[word])
		}
	}
}
