package naming

import (
	_ "embed" // the shipped catalogue
	"errors"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

//go:embed powerplatform.yaml
var shipped []byte

//go:embed dataverse.yaml
var shippedDataverse []byte

const dataverseFile = "dataverse.yaml"

// A Source is a catalogue's text and the name of the file it is from, for messages.
type Source struct {
	File string
	Text []byte
}

// Shipped returns the catalogue that comes with the product: the Power Platform API.
func Shipped() Source {
	return Source{File: "powerplatform.yaml", Text: slices.Clone(shipped)}
}

// ShippedDataverse returns the other catalogue that comes with the product: the Dataverse
// Web API. It is called dataverse, and maps requests where the proxy's configuration names
// it.
func ShippedDataverse() Source {
	return Source{File: dataverseFile, Text: slices.Clone(shippedDataverse)}
}

// Load reads catalogues. They get one vocabulary: the permissions and implications of
// all of them. The first is the default one.
//
// It is strict: unknown keys, routes that overlap without a winner, implications that
// name no permission and the like are errors. All of them, in all files, are reported at
// once, each with file, line and column.
func Load(sources ...Source) (*Catalogues, error) {
	if len(sources) == 0 {
		return nil, errors.New("no catalogue to load")
	}
	var errs []error
	var loaders []*loader
	for _, source := range sources {
		root, reader, err := strictyaml.Parse(source.File, source.Text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l := newLoader(source, reader)
		l.read(root)
		loaders = append(loaders, l)
	}
	agree(loaders)
	vocabulary := buildVocabulary(loaders)
	for _, l := range loaders {
		if err := l.reader.Err(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	all := &Catalogues{vocabulary: vocabulary}
	tenantTypes := map[string]bool{}
	for _, l := range loaders {
		for name, t := range l.c.types {
			tenantTypes[name] = tenantTypes[name] || t.tenantLevel
		}
	}
	for _, l := range loaders {
		l.c.tenantTypes = tenantTypes
		for _, s := range l.c.services {
			s.tenantLevel = tenantTypes[s.typeName]
		}
		l.bind(vocabulary)
		all.all = append(all.all, l.c)
	}
	return all, nil
}

// agree checks what catalogues that are used together must not differ in, or share.
func agree(loaders []*loader) {
	first := follow(loaders)
	for i, l := range loaders {
		for _, earlier := range loaders[:i] {
			if l.c.name != "" && l.c.name == earlier.c.name {
				l.nameAt.Problemf("%s is the catalogue %q too: give each a name of its own", earlier.c.file, l.c.name)
			}
			for name, at := range l.compositeAt {
				if earlier.c.composites[name] != nil {
					at.Problemf("%s has a composite %s too: give each a name of its own", earlier.c.file, name)
				}
			}
		}
		if l.c.fold != first.c.fold {
			at := l.root
			if l.foldAt != nil {
				at = *l.foldAt
			}
			at.Problemf("caseInsensitivePaths must be the same in all catalogues: %s has %t", first.c.file, first.c.fold)
		}
	}
}

// follow gives catalogues with a profile that do not say how identifiers are compared what
// the others say, and returns the catalogue that all must agree with. The environments that
// hosts name get their one spelling then.
func follow(loaders []*loader) *loader {
	if len(loaders) == 0 {
		return nil
	}
	silent := func(l *loader) bool { return l.c.web != nil && l.foldAt == nil }
	first := loaders[0]
	if at := slices.IndexFunc(loaders, func(l *loader) bool { return !silent(l) }); at >= 0 {
		first = loaders[at]
	}
	for _, l := range loaders {
		if silent(l) {
			l.c.fold = first.c.fold
		}
		if l.c.web != nil {
			for host, id := range l.c.web.environments {
				if spelled, err := authz.CanonicalPathID(id, l.c.fold); err == nil {
					l.c.web.environments[host] = spelled
				}
			}
		}
	}
	return first
}

// A permissionUse is a place where a catalogue names a permission.
type permissionUse struct {
	name string
	at   strictyaml.Value
	// declares says that this is where the permission is declared: its spelling counts.
	// Elsewhere names are compared without case.
	declares bool
	set      func(authz.PermissionID) // nil if nobody needs its number
}

// An implication is one entry of the implications section.
type implication struct {
	from string
	to   []string
	at   strictyaml.Value
}

// buildVocabulary numbers the permissions that the catalogues name. It returns nil, and
// leaves problems, if that cannot be done.
func buildVocabulary(loaders []*loader) *authz.Vocabulary {
	type spelling struct {
		name string
		file string
	}
	spellings := map[string]spelling{}
	var names []authz.Permission
	bad := false
	add := func(l *loader, use permissionUse) {
		folded := lowerASCII(use.name)
		first, known := spellings[folded]
		if known {
			if use.declares && first.name != use.name {
				use.at.Problemf("permission %q is declared as %q in %s: names are compared without case, so give it one spelling", use.name, first.name, first.file)
				bad = true
			}
			return
		}
		spellings[folded] = spelling{use.name, l.c.file}
		name := authz.Permission(use.name)
		if _, err := authz.NewVocabulary([]authz.Permission{name}, nil); err != nil {
			report(use.at, err)
			bad = true
			return
		}
		names = append(names, name)
	}
	// Declarations first: they decide how a name is spelled.
	for _, declares := range []bool{true, false} {
		for _, l := range loaders {
			for _, use := range l.uses {
				if use.declares == declares {
					add(l, use)
				}
			}
		}
	}
	if bad {
		return nil
	}
	var implications []implication
	for _, l := range loaders {
		implications = append(implications, l.implications...)
	}
	vocabulary, err := authz.NewVocabulary(names, unite(implications))
	if err != nil {
		blame(names, implications, err)
		return nil
	}
	return vocabulary
}

func unite(implications []implication) authz.Implications {
	union := authz.Implications{}
	for _, i := range implications {
		union[i.from] = append(union[i.from], i.to...)
	}
	return union
}

// blame finds the implications that the vocabulary does not accept: those that are wrong
// on their own, or else the first that makes all before it wrong.
func blame(names []authz.Permission, implications []implication, err error) {
	blamed := false
	var good []implication
	for _, i := range implications {
		if _, err := authz.NewVocabulary(names, unite([]implication{i})); err != nil {
			report(i.at, err)
			blamed = true
			continue
		}
		good = append(good, i)
	}
	for n := range good {
		if _, err := authz.NewVocabulary(names, unite(good[:n+1])); err != nil {
			report(good[n].at, err)
			return
		}
	}
	if !blamed && len(implications) > 0 {
		report(implications[0].at, err)
	}
}

// report records each of the errors that are joined in err as a problem of its own.
func report(at strictyaml.Value, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			report(at, one)
		}
		return
	}
	at.Problemf("%v", err)
}

// A loader reads one catalogue's document.
type loader struct {
	c      *Catalogue
	reader *strictyaml.Reader
	root   strictyaml.Value
	nameAt strictyaml.Value
	foldAt *strictyaml.Value

	uses         []permissionUse
	implications []implication
	typeScopes   map[string]scopeType // what types declare as scope, by the word
	compositeAt  map[string]strictyaml.Value
}

func newLoader(source Source, reader *strictyaml.Reader) *loader {
	return &loader{
		reader:      reader,
		typeScopes:  map[string]scopeType{},
		compositeAt: map[string]strictyaml.Value{},
		c: &Catalogue{
			file:        source.File,
			source:      slices.Clone(source.Text),
			namespaces:  map[string]*namespace{},
			services:    map[string]*service{},
			types:       map[string]*resourceType{},
			texts:       map[string]describedBy{},
			permissions: map[authz.PermissionID]int{},
			composites:  map[string]*Composite{},
		},
	}
}

// use notes that the document names a permission.
func (l *loader) use(at strictyaml.Value, name string, declares bool, set func(authz.PermissionID)) {
	l.uses = append(l.uses, permissionUse{name: name, at: at, declares: declares, set: set})
}

// bind gives everything the numbers of its permissions.
func (l *loader) bind(v *authz.Vocabulary) {
	l.c.vocabulary = v
	for _, use := range l.uses {
		id, ok := v.ID(use.name)
		if !ok {
			panic(fmt.Sprintf("naming: permission %q is used and not known", use.name))
		}
		if _, seen := l.c.permissions[id]; !seen {
			l.c.permissions[id] = use.at.Line()
		}
		if use.set != nil {
			use.set(id)
		}
	}
}
