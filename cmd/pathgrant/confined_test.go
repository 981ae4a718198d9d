package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// What confined takes away, by environment variable.
const (
	maxFileSizeVariable = "PATHGRANT_TEST_MAX_FILE_SIZE" // bytes that a file may grow to
	noOverrideVariable  = "PATHGRANT_TEST_NO_OVERRIDE"   // file modes hold for root too
)

const (
	prctlDropBoundingSet  = 24
	capabilityDACOverride = 1
	sigBlock              = 0
)

// confined runs pathgrant as on a disk that is full, or as somebody for whom the modes of
// files hold. Limits and signal mask are those of the thread that becomes the command.
func confined() {
	runtime.LockOSThread()
	fail := func(what string, err error) {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(1)
	}
	if text := os.Getenv(maxFileSizeVariable); text != "" {
		size, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			fail(maxFileSizeVariable, err)
		}
		// The kernel would kill the process that writes too much. With the signal blocked,
		// the write fails instead, as it does on a disk that is full.
		blocked := uint64(1) << (uint(syscall.SIGXFSZ) - 1)
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigBlock, uintptr(unsafe.Pointer(&blocked)), 0, unsafe.Sizeof(blocked), 0, 0); errno != 0 {
			fail("block SIGXFSZ:", errno)
		}
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			fail("read the limit:", err)
		}
		limit.Cur = size
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			fail("set the limit:", err)
		}
	}
	if os.Getenv(noOverrideVariable) != "" && os.Geteuid() == 0 {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prctlDropBoundingSet, capabilityDACOverride, 0); errno != 0 {
			fail("drop the capability:", errno)
		}
	}
	program, err := exec.LookPath("pathgrant")
	if err != nil {
		fail("find pathgrant:", err)
	}
	fail("run pathgrant:", syscall.Exec(program, append([]string{"pathgrant"}, os.Args[1:]...), os.Environ()))
}

// setMaxFileSize changes how large a file a running process may write.
func setMaxFileSize(pid int, size uint64) error {
	var limit syscall.Rlimit
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, 0, uintptr(unsafe.Pointer(&limit)), 0, 0); errno != 0 {
		return errno
	}
	limit.Cur = min(size, limit.Max)
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
