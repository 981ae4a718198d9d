package bundle

import (
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
)

// ParseWhole reads a bundle in JSON from a tree of all its values, and not item by item.
func ParseWhole(file string, src []byte, o Options) (*snapshot.Data, error) {
	root, reader, err := strictyaml.ParseJSON(file, src)
	if err != nil {
		return nil, err
	}
	data := newParser(o).read(root)
	if err := reader.Err(); err != nil {
		return nil, err
	}
	return data, nil
}
