package h2

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A poller waits for connections, for all of them in one goroutine, which takes what comes.
// It is to the kernel what Go's own poller is, without what that does besides for every event.
type poller struct {
	epoll, bell int // descriptors

	mu    sync.Mutex
	conns map[int32]*polled // by descriptor
}

// pollers are those of the process. A poller lasts as long as there is a connection for it.
var pollers pollerSet

type pollerSet struct {
	mu  sync.Mutex
	all []*poller
}

// processors is how many goroutines the Go runtime ran at once when the process began, and
// mostPollers how many at most are pollers.
var (
	processors  = runtime.GOMAXPROCS(0)
	mostPollers = max(processors/2, 1)
)

// besides makes the Go runtime run more goroutines at once: as many as are pollers, for each of
// these keeps its place also while it waits. Without it, what they begin and others go on with
// may wait until the runtime's monitor comes by, some milliseconds. It is done with the first
// poller, because without one it costs: under TLS, with one processor, a third. From then on the
// runtime does not follow a container's limit that is changed while the process runs.
var besides = sync.OnceFunc(func() { runtime.GOMAXPROCS(processors + mostPollers) })

// inclined is how often a poller gives way although nobody has asked. The scheduler's monitor
// takes the place of a goroutine that has not for 10 ms, whenever it is found in a system call,
// and where it finds such a thing it looks again in 20 µs.
const inclined = 4 * time.Millisecond

// take gives the connection to the poller with the fewest.
func (ps *pollerSet) take(s *polled) (*poller, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var p *poller
	fewest := math.MaxInt
	for _, other := range ps.all {
		if n := other.count(); n < fewest {
			p, fewest = other, n
		}
	}
	if p == nil || fewest > 0 && len(ps.all) < mostPollers {
		var err error
		if p, err = newPoller(); err != nil {
			return nil, err
		}
		ps.all = append(ps.all, p)
		besides()
		go p.run()
	}
	if err := p.add(s); err != nil {
		ps.endIdle(p)
		return nil, err
	}
	return p, nil
}

// give takes the connection from its poller.
func (ps *pollerSet) give(s *polled) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	s.poller.remove(s)
	ps.endIdle(s.poller)
}

func (ps *pollerSet) endIdle(p *poller) {
	if p.count() > 0 {
		return
	}
	for i, other := range ps.all {
		if other == p {
			ps.all = append(ps.all[:i], ps.all[i+1:]...)
			break
		}
	}
	one := [8]byte{1}
	_, _ = unix.Write(p.bell, one[:]) // there is room for as many as there are
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &poller{epoll: epoll, bell: bell, conns: map[int32]*polled{}}
	if err := p.control(unix.EPOLL_CTL_ADD, bell, unix.EPOLLIN); err != nil {
		_, _ = unix.Close(epoll), unix.Close(bell)
		return nil, err
	}
	return p, nil
}

func (p *poller) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *poller) control(what, fd int, events uint32) error {
	if err := unix.EpollCtl(p.epoll, what, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// comes is what is always waited for. Each event is told once.
const comes = unix.EPOLLIN | unix.EPOLLRDHUP | 1<<31 // EPOLLET, which unix has as a negative number

func (p *poller) add(s *polled) error {
	p.mu.Lock()
	p.conns[int32(s.fd)] = s
	p.mu.Unlock()
	err := p.control(unix.EPOLL_CTL_ADD, s.fd, comes)
	if err != nil {
		p.mu.Lock()
		delete(p.conns, int32(s.fd))
		p.mu.Unlock()
	}
	return err
}

func (p *poller) remove(s *polled) {
	p.mu.Lock()
	delete(p.conns, int32(s.fd))
	p.mu.Unlock()
	_ = p.control(unix.EPOLL_CTL_DEL, s.fd, 0) // closing it does the same
}

// ask says whether to tell when there is room to write.
func (p *poller) ask(s *polled, room bool) error {
	s.hold.RLock()
	defer s.hold.RUnlock()
	if s.closed {
		return nil // as the next call will find
	}
	if room {
		return p.control(unix.EPOLL_CTL_MOD, s.fd, comes|unix.EPOLLOUT)
	}
	return p.control(unix.EPOLL_CTL_MOD, s.fd, comes)
}

// run waits until there are no connections any more.
func (p *poller) run() {
	defer func() { _, _ = unix.Close(p.epoll), unix.Close(p.bell) }()
	events := make([]unix.EpollEvent, 64)
	gaveWay := time.Now()
	for {
		n, err := unix.EpollWait(p.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("epoll_wait: %v", err)) // which no descriptor of ours allows
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == int32(p.bell) {
				return
			}
			p.mu.Lock()
			s := p.conns[event.Fd]
			p.mu.Unlock()
			if s != nil {
				s.happened(event.Events)
			}
		}
		if now := time.Now(); now.Sub(gaveWay) > inclined {
			gaveWay = now
			runtime.Gosched()
		}
	}
}

// happened tells those who wait for it.
func (s *polled) happened(events uint32) {
	const over = unix.EPOLLHUP | unix.EPOLLERR
	if events&(over|unix.EPOLLRDHUP) != 0 {
		s.ended.Store(true)
	}
	if events&(over|unix.EPOLLOUT) != 0 {
		s.out.tell()
	}
	if events&(over|unix.EPOLLRDHUP|unix.EPOLLIN) != 0 {
		s.come()
	}
}
