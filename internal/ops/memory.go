package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupShare is how much of a container's memory the Go runtime is told to stay below:
// the rest is for what it does not count, such as pages of the memory-mapped data file.
const cgroupShare = 0.9

// LimitMemory tells the Go runtime how much memory it should stay below, and returns that
// limit and who set it: "GOMEMLIMIT" (the variable, which always wins), "setting" (limit,
// when it is positive) or "cgroup" (nine tenths of the container's limit, when limit is
// zero). It returns 0 and "" when nothing limits it.
func LimitMemory(limit int64) (bytes int64, from string, err error) {
	return limitMemory(limit, os.Getenv("GOMEMLIMIT"), "/", debug.SetMemoryLimit)
}

func limitMemory(limit int64, variable, root string, set func(int64) int64) (int64, string, error) {
	if variable != "" {
		if current := set(-1); current != math.MaxInt64 {
			return current, "GOMEMLIMIT", nil
		}
		return 0, "GOMEMLIMIT", nil // "off"
	}
	if limit > 0 {
		set(limit)
		return limit, "setting", nil
	}
	available, err := cgroupLimit(root)
	if err != nil || available == 0 {
		return 0, "", err
	}
	limit = int64(float64(available) * cgroupShare)
	set(limit)
	return limit, "cgroup", nil
}

// gcPercent is how much is allocated before garbage is collected, in percent of what
// lives. Twice the usual 100: a check leaves little behind, but there are many of them.
// Four times saves no more worth mentioning, and doubles what the process holds.
const gcPercent = 200

// CollectLess tells the Go runtime to collect garbage less often than it would, unless the
// variable GOGC says how often; it returns whether it did. Near the limit of
// [LimitMemory] the runtime collects as often as it must all the same.
func CollectLess() bool { return collectLess(os.Getenv("GOGC"), debug.SetGCPercent) }

func collectLess(variable string, set func(int) int) bool {
	if variable != "" {
		return false
	}
	set(gcPercent)
	return true
}

// cgroupLimit returns the smallest memory limit of the process's control groups (version
// 2), or 0 if there is none.
func cgroupLimit(root string) (int64, error) {
	own, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the container's memory limit: %w", err)
	}
	group := "/"
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			group = filepath.Clean("/" + path)
		}
	}
	smallest := int64(0)
	for {
		n, err := memoryMax(filepath.Join(root, "sys/fs/cgroup", group, "memory.max"))
		if err != nil {
			return 0, fmt.Errorf("find the container's memory limit: %w", err)
		}
		if n > 0 && (smallest == 0 || n < smallest) {
			smallest = n
		}
		if group == "/" {
			return smallest, nil
		}
		group = filepath.Dir(group)
	}
}

func memoryMax(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	value := strings.TrimSpace(string(text))
	if value == "max" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s holds %q: want max or a number of bytes", file, value)
	}
	return n, nil
}
