package ops

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		name     string
		setting  int64
		variable string
		files    map[string]string
		want     int64
		from     string
		set      int64 // what the runtime was told; 0: nothing
	}{
		{name: "nothing known"},
		{name: "no limit anywhere", files: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}},
		{
			name:  "a container's limit at the root of its own tree",
			files: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000000\n"},
			want:  900000, from: "cgroup", set: 900000,
		},
		{
			name: "the smallest of those above counts",
			files: map[string]string{
				"proc/self/cgroup":                    "12:cpu:/x\n0::/a/b\n",
				"sys/fs/cgroup/a/b/memory.max":        "max\n",
				"sys/fs/cgroup/a/memory.max":          "2000000\n",
				"sys/fs/cgroup/memory.max":            "3000000\n",
				"sys/fs/cgroup/a/b/unused/memory.max": "10\n",
			},
			want: 1800000, from: "cgroup", set: 1800000,
		},
		{
			name: "a setting beats the container", setting: 5000,
			files: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000000\n"},
			want:  5000, from: "setting", set: 5000,
		},
		{name: "the variable beats all", setting: 5000, variable: "1GiB", want: 1 << 30, from: "GOMEMLIMIT"},
		{name: "the variable may say off", variable: "off", from: "GOMEMLIMIT"},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		told := int64(0)
		got, from, err := limitMemory(c.setting, c.variable, root, func(n int64) int64 {
			if n >= 0 {
				told = n
			}
			if c.variable == "1GiB" {
				return 1 << 30
			}
			return math.MaxInt64
		})
		if err != nil || got != c.want || from != c.from || told != c.set {
			t.Errorf("%s: %d from %q, told %d, %v; want %d from %q, told %d", c.name, got, from, told, err, c.want, c.from, c.set)
		}
	}
}

func TestMemoryLimitThatCannotBeRead(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "lots\n"} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told := false
	if _, _, err := limitMemory(0, "", root, func(int64) int64 { told = true; return 0 }); err == nil || told {
		t.Errorf("error %v, told %v; want an error and nothing told", err, told)
	}
}

func TestGarbageIsCollectedLessUnlessTheVariableSaysHowOften(t *testing.T) {
	for variable, want := range map[string]int{"": 200, "100": 0, "50": 0, "off": 0} {
		told := 0
		did := collectLess(variable, func(percent int) int { told = percent; return 100 })
		if told != want || did != (want != 0) {
			t.Errorf("GOGC=%q: told %d, said %v; want %d", variable, told, did, want)
		}
	}
}
