// Package config holds the settings of `pathgrant serve`: their defaults, how they are
// read from flags and from a YAML file, and whether they make sense.
//
// A flag beats the file, and the file beats the default. What it does not understand it
// refuses: unknown keys, values that do not parse and settings that contradict each other
// are errors, all reported at once, each by the name that the operator typed and, where
// it stands in the file, with its line. No setting turns a check off.
package config
