package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A model is what data is read with: the catalogues, and the roles that nobody can change,
// which come with the product or are of a role pack.
type model struct {
	*naming.Catalogues
	roles []authz.RoleDefinition
}

// modelFiles are the files that a model is made of, besides what comes with the product.
type modelFiles struct{ catalogues, rolePacks []string }

// flags adds the flags that name them. The text says when they count; it may be empty.
func (m *modelFiles) flags(cmd *cobra.Command, when string) {
	f := cmd.Flags()
	f.StringArrayVar(&m.catalogues, "catalogue", nil, "a catalogue `file` in place of the shipped one"+when)
	f.StringArrayVar(&m.rolePacks, "role-pack", nil, "a `file` with further predefined roles (repeatable)"+when)
}

// given returns the first of the flags that was given; empty: none.
func (m *modelFiles) given() string {
	switch {
	case len(m.catalogues) > 0:
		return "--catalogue"
	case len(m.rolePacks) > 0:
		return "--role-pack"
	}
	return ""
}

func (m *modelFiles) load() (*model, error) {
	catalogues, err := loadCatalogues(m.catalogues)
	if err != nil {
		return nil, err
	}
	packs := make([]roles.PackFile, 0, len(m.rolePacks))
	for _, file := range m.rolePacks {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the role pack: %w", err)
		}
		packs = append(packs, roles.PackFile{File: file, Text: text})
	}
	all, err := roles.WithPacks(roles.PackOptions{Vocabulary: catalogues.Vocabulary(), FoldCase: catalogues.FoldCase()}, packs...)
	if err != nil {
		return nil, err
	}
	return &model{catalogues, all}, nil
}
