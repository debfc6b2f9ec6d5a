package lmcache_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// environment is what of the standard library reads the environment, by import path.
var environment = map[string][]string{
	"os":      {"Getenv", "LookupEnv", "Environ", "ExpandEnv"},
	"syscall": {"Getenv", "Environ"},

	"golang.org/x/sys/unix": {"Getenv", "Environ"},
}

// TestREQ_O56_LibraryReadsNoEnvironment: what a host links takes its settings from
// Options and nothing from the environment. Only the command line reads that, through
// one function; the SDK of OTel reads what begins with OTEL_.
func TestREQ_O56_LibraryReadsNoEnvironment(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{.Dir}} {{.GoFiles}} {{.IgnoredGoFiles}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	programs := []string{"cmd", "internal/cli", "examples"}
	files, reads := 0, 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(line))
		pkg, dir := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/"), fields[1]
		program := slices.ContainsFunc(programs, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") })
		for _, name := range fields[2:] {
			files++
			for _, use := range environmentReads(t, filepath.Join(dir, name)) {
				reads++
				if !program {
					t.Errorf("%s/%s reads the environment: %s", pkg, name, use)
				}
			}
		}
	}
	if files < 200 || reads == 0 { // the one of internal/cli
		t.Errorf("%d reads were found in %d files", reads, files)
	}
}

// environmentReads are the uses of those functions in one file, called or not.
func environmentReads(t *testing.T, path string) (uses []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{} // name in this file → functions
	for _, imp := range f.Imports {
		pkg := strings.Trim(imp.Path.Value, `"`)
		name := pkg[strings.LastIndex(pkg, "/")+1:]
		if imp.Name != nil {
			name = imp.Name.Name
		}
		names[name] = environment[pkg]
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(names[x.Name], sel.Sel.Name) {
				uses = append(uses, x.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return uses
}

// The rule finds what it is for.
func TestEnvironmentReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	const src = "package x\n\nimport (\n\tgo_os \"os\"\n\t\"syscall\"\n)\n\nvar f = go_os.LookupEnv\n\nfunc g() { syscall.Getenv(\"A\"); go_os.Exit(1) }\n"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := environmentReads(t, path); !slices.Equal(got, []string{"go_os.LookupEnv", "syscall.Getenv"}) {
		t.Errorf("found %q", got)
	}
}
