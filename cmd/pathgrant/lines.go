package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds one line of input; a longer one is answered like any that can't be
// read, and the next line is read as usual.
const maxLine = 1 << 20

// eachLine calls f with every line of r, without its line feed, and lets it write to w. A
// line over maxLine comes as nil. What f writes is passed on as soon as no further line is
// waiting, so that whoever asks line by line gets its answer line by line.
func eachLine(r io.Reader, w io.Writer, f func(line []byte, out io.Writer) error) (err error) {
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriterSize(w, 64<<10)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for {
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		line, tooLong, err := readLine(in)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("read input: %w", err)
		}
		if tooLong {
			line = nil
		}
		if !last || tooLong || len(line) > 0 {
			if err := f(line, out); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	line = []byte{}
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) <= maxLine {
			line = append(line, part...)
		} else {
			tooLong = true
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), tooLong, err
	}
}

// decodeLine reads one JSON object strictly: an unknown key, a key given twice, in whatever
// case, and anything behind the object are errors.
func decodeLine(line []byte, into any) error {
	if err := checkKeys(line); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the line is not a JSON object as expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the JSON object")
	}
	return nil
}

// checkKeys refuses a key that is given twice or not in lower camel case, which
// encoding/json would take for the one that it resembles, the last one winning. It looks at
// the objects within too.
func checkKeys(line []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return errors.New("the line is not a JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		key, isText := token.(string)
		var value json.RawMessage
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil || !isText {
			return fmt.Errorf("the line is not a JSON object as expected: %w", err)
		}
		if seen[strings.ToLower(key)] {
			return fmt.Errorf("the key %q is given twice", key)
		}
		if key != "" && key[:1] != strings.ToLower(key[:1]) {
			return fmt.Errorf("unknown key %q: keys begin in lower case", key)
		}
		seen[strings.ToLower(key)] = true
		if bytes.HasPrefix(value, []byte("{")) {
			if err := checkKeys(value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}
