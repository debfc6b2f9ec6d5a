package lmcache_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxLines is the length of a source file above which it has to be split.
const maxLines = 500

// Tests wait for what they wait for. A file that calls time.Sleep runs it in a
// bubble of package synctest, where it costs no time; only benchmarks pace
// themselves in real time.
func TestSleepOnlyInSynctest(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || path == "pkgdoc_test.go" || strings.HasSuffix(path, "bench_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("time.Sleep(")) && !bytes.Contains(text, []byte(`"testing/synctest"`)) {
			t.Errorf("%s calls time.Sleep and does not use testing/synctest", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// source is one file of shipped code.
type source struct {
	path string
	file *ast.File
}

// sources parses all files of the module that are not tests, by folder.
func sources(t *testing.T, fset *token.FileSet) map[string][]source {
	t.Helper()
	all := map[string][]source{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines; at %d it should be two files", path, n, maxLines)
		}
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		all[dir] = append(all[dir], source{path, file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every package has one comment that introduces it, and every exported name a
// comment of its own.
func TestDocumentation(t *testing.T) {
	fset := token.NewFileSet()
	for dir, files := range sources(t, fset) {
		var comments []string
		for _, s := range files {
			if s.file.Doc != nil {
				comments = append(comments, s.path)
			}
			for _, name := range undocumented(s.file) {
				t.Errorf("%s: %s has no comment", fset.Position(name.Pos()), name.Name)
			}
		}
		switch len(comments) {
		case 1:
		case 0:
			t.Errorf("%s: the package has no comment; write one in doc.go", dir)
		default:
			t.Errorf("%s: the package has comments in %s; one is enough", dir, strings.Join(comments, ", "))
		}
	}
}

// undocumented lists the exported names of a file that have no comment.
func undocumented(file *ast.File) []*ast.Ident {
	var missing []*ast.Ident
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil {
				missing = append(missing, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				missing = append(missing, undocumentedSpec(d, spec)...)
			}
		}
	}
	return missing
}

// undocumentedSpec judges one type, or one line of constants or variables. A
// comment on a group of constants or variables is one for all of it.
func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []*ast.Ident {
	var missing []*ast.Ident
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
			missing = append(missing, s.Name)
		}
	case *ast.ValueSpec:
		if d.Doc != nil || s.Doc != nil || s.Comment != nil {
			return nil
		}
		for _, name := range s.Names {
			if name.IsExported() {
				missing = append(missing, name)
			}
		}
	}
	return missing
}

// exportedReceiver is true for functions and for methods of exported types.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	for expr := d.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return true
		}
	}
}

// The judge of comments finds what is missing and accepts what is there.
func TestUndocumented(t *testing.T) {
	const text = `package p

// A is documented.
type A struct{}

type B struct{}

// (the group's comment says nothing about its types)
type (
	// C is documented.
	C int
	D int
)

// These are documented as a group.
const (
	E = 1
	F = 2
)

var (
	G = 1 // documented at its end
	// H is documented.
	H, I int
	J    int
)

func (A) K()       {}
func (b *B) L()    {}
func (m *m[T]) M() {}
func N()           {}

// O is documented.
func O() {}

type m[T any] struct{}
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range undocumented(file) {
		got = append(got, name.Name)
	}
	if want := "B D J K L N"; strings.Join(got, " ") != want {
		t.Errorf("undocumented: %v, want %s", got, want)
	}
}
