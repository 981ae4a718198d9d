package naming

import (
	"slices"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// readComposite reads one entry of the composites section.
func (l *loader) readComposite(name string, at, value strictyaml.Value) {
	if !isWord(name) {
		at.Problemf("%q is not a composite's name: want letters, digits, _ and -", name)
		return
	}
	c := &Composite{Name: name}
	var target, layers section
	value.Fields(map[string]func(strictyaml.Value){
		"target":      hold(&target),
		"layers":      hold(&layers),
		"displayName": func(v strictyaml.Value) { c.DisplayName = v.OptionalText() },
		"description": func(v strictyaml.Value) { c.Description = v.OptionalText() },
	})
	if target == nil {
		at.Problemf("the composite %s has no target: want target: flow or target: app", name)
	} else if text := target.Text(); text != "" {
		if err := c.Target.UnmarshalText([]byte(text)); err != nil {
			target.Problemf("%v", err)
		}
	}
	if layers != nil {
		layers.List(func(item strictyaml.Value) { l.readLayer(c, item) })
	}
	if layers == nil || layers.IsNull() || layers.IsList() && len(c.Layers) == 0 {
		at.Problemf("the composite %s has no layers: nobody could pass it", name)
	}
	l.c.composites[name] = c
	l.compositeAt[name] = at
}

// readLayer reads one layer. Its place in the composite is fixed before its permissions
// have numbers, so that they are given to the right one.
func (l *loader) readLayer(c *Composite, item strictyaml.Value) {
	layer := CompositeLayer{}
	kinds := 0
	var permissions section
	is := func(kind CompositeKind, read func(strictyaml.Value)) func(strictyaml.Value) {
		return func(v strictyaml.Value) {
			kinds++
			layer.Kind = kind
			read(v)
		}
	}
	isTrue := func(v strictyaml.Value) {
		if !v.IsScalar() || v.IsNull() || !v.Bool() {
			v.Problemf("want true, or leave it out")
		}
	}
	item.Fields(map[string]func(strictyaml.Value){
		"name":        func(v strictyaml.Value) { layer.Name = readName(v, isWord) },
		"description": func(v strictyaml.Value) { layer.Description = v.OptionalText() },
		"mend":        func(v strictyaml.Value) { layer.Mend = v.OptionalText() },
		"permissions": is(PermissionsLayer, func(v strictyaml.Value) { permissions = &v }),
		"privileges":  is(PrivilegesLayer, func(v strictyaml.Value) { layer.Privileges = readPatterns(v) }),
		"shared":      is(SharedLayer, isTrue),
		"connections": is(ConnectionsLayer, isTrue),
		"data":        is(DataLayer, func(v strictyaml.Value) { layer.TablePrivileges = readPrivileges(v) }),
		"fact":        is(FactLayer, func(v strictyaml.Value) { layer.Fact = readName(v, isWord) }),
	})
	switch {
	case layer.Name == "":
		item.Problemf("the layer has no name")
	case slices.ContainsFunc(c.Layers, func(other CompositeLayer) bool { return other.Name == layer.Name }):
		item.Problemf("the layer %q is there twice", layer.Name)
	}
	switch {
	case kinds != 1:
		item.Problemf("a layer has exactly one of permissions, privileges, shared, connections, data and fact")
	case layer.Kind == ConnectionsLayer && c.Target == AppTarget:
		item.Problemf("an app's connections are not known: connections goes with target: flow")
	case layer.Fact != "" && slices.ContainsFunc(c.Layers, func(other CompositeLayer) bool { return other.Fact == layer.Fact }):
		item.Problemf("the fact %q is asked for twice", layer.Fact)
	}
	place := len(c.Layers)
	c.Layers = append(c.Layers, layer)
	if permissions == nil {
		return
	}
	seen := map[string]bool{}
	permissions.List(func(v strictyaml.Value) {
		permission := v.Text()
		if permission == "" {
			return
		}
		if seen[lowerASCII(permission)] {
			v.Problemf("the permission %q is listed twice", permission)
			return
		}
		seen[lowerASCII(permission)] = true
		at := len(c.Layers[place].Permissions)
		c.Layers[place].Permissions = append(c.Layers[place].Permissions, 0)
		l.use(v, permission, false, func(id authz.PermissionID) { c.Layers[place].Permissions[at] = id })
	})
	emptyList(*permissions, len(seen))
}

// readPatterns reads privileges with the least reach at which each must be held.
func readPatterns(v strictyaml.Value) []authz.PrivilegePattern {
	var patterns []authz.PrivilegePattern
	listed := 0
	v.List(func(item strictyaml.Value) {
		listed++
		text := item.Text()
		if text == "" {
			return
		}
		pattern, err := authz.ParsePrivilegePattern(text)
		switch {
		case err != nil:
			item.Problemf("%v", err)
		case pattern.Reach == authz.NoReach:
			item.Problemf("%q has no table and no reach: a layer asks for privileges on tables", text)
		default:
			patterns = append(patterns, pattern)
		}
	})
	emptyList(v, listed)
	return patterns
}

// readPrivileges reads a list of the eight privileges that tables have.
func readPrivileges(v strictyaml.Value) authz.PrivilegeSet {
	var set authz.PrivilegeSet
	listed := 0
	v.List(func(item strictyaml.Value) {
		listed++
		text := item.Text()
		if text == "" {
			return
		}
		var p authz.Privilege
		switch err := p.UnmarshalText([]byte(text)); {
		case err != nil:
			item.Problemf("%v", err)
		case !slices.Contains(authz.TablePrivileges(), p):
			item.Problemf("%v is no privilege on a table", p)
		case set.Has(p):
			item.Problemf("the privilege %v is listed twice", p)
		default:
			set |= authz.Privileges(p)
		}
	})
	emptyList(v, listed)
	return set
}

func emptyList(v strictyaml.Value, listed int) {
	if v.IsNull() || v.IsList() && listed == 0 {
		v.Problemf("an empty list: nothing would be asked for")
	}
}
