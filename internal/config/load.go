package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// maxFile bounds the file of settings.
const maxFile = 4 << 20

// Load parses flags, without a command in front of them, reads the file that --config
// names, and validates. On an error the Config is not to be used.
func Load(args []string) (*Config, error) {
	c := Default()
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: settings are given as flags", fs.Arg(0))
	}
	if err := c.Load(fs); err != nil {
		return nil, err
	}
	return &c, nil
}

// Load reads the file that --config names, if it was given, lets the flags that were given
// beat it, and validates. The flags must have been defined by [Config.Flags] of this
// Config, and parsed. All problems come back at once; then the Config is not to be used.
func (c *Config) Load(fs *pflag.FlagSet) error {
	given := changed(fs)
	file := c.File
	*c = Default()
	c.origins = make(map[string]origin)
	var errs []error
	if file != "" {
		src, err := readFile(file)
		if err != nil {
			return fmt.Errorf("--config: %w", err)
		}
		errs = append(errs, decode(file, src, c, c.origins))
	}
	for _, flag := range given {
		if err := flag.apply(fs); err != nil {
			errs = append(errs, err)
		}
		c.giveByFlag(key(flag.name), flag.name)
	}
	c.File = file
	// What could not be read has kept its default, so the rest can be judged with it.
	return errors.Join(append(errs, c.Validate())...)
}

// giveByFlag notes that a flag has replaced a setting, and so its items.
func (c *Config) giveByFlag(key, flag string) {
	for other := range c.origins {
		if strings.HasPrefix(other, key+"[") {
			delete(c.origins, other)
		}
	}
	c.origins[key] = origin{flag: flag}
}

// A setFlag is a flag that was given, with its value.
type setFlag struct {
	name  string
	text  string
	items []string // of a repeatable flag
	many  bool
}

// changed returns the flags of a Config that were given.
func changed(fs *pflag.FlagSet) []setFlag {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	defaults := Default()
	defaults.Flags(own)

	var all []setFlag
	fs.Visit(func(f *pflag.Flag) {
		if f.Name == "config" || own.Lookup(f.Name) == nil {
			return // others may stand in the same set
		}
		s := setFlag{name: f.Name}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			s.items, s.many = list.GetSlice(), true
		} else {
			s.text = f.Value.String()
		}
		all = append(all, s)
	})
	return all
}

// apply sets the flag's setting again.
func (s setFlag) apply(fs *pflag.FlagSet) error {
	value := fs.Lookup(s.name).Value
	var err error
	if list, ok := value.(pflag.SliceValue); ok && s.many {
		err = list.Replace(s.items)
	} else {
		err = value.Set(s.text)
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", s.name, err)
	}
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(src) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	return src, nil
}
