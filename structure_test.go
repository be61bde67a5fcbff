package relay_test

import (
	"bufio"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/seed73300619/relay"

// allowed says which packages of the module a package may import: they point one
// way. Test files are not counted.
var allowed = map[string][]string{
	"":                  {"supervisor", "actor", "transport", "codec"},
	"actor":             {"supervisor"},
	"codec":             {},
	"transport":         {},
	"supervisor":        {},
	"server":            {"codec", "transport", "actor"},
	"server/auth":       {"server"},
	"relaytest":         {"", "server", "transport", "codec"},
	"relaytest/conform": {},
	"interop":           {},
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		paths := strings.Fields(line)
		name := inModule(paths[0])
		may, known := allowed[name]
		if !known {
			t.Errorf("nobody has said what package %q may import", name)
		}
		seen++
		for _, path := range paths[1:] {
			outside := strings.Contains(strings.Split(path, "/")[0], ".")
			switch {
			case path == modulePath || strings.HasPrefix(path, modulePath+"/"):
				if !slices.Contains(may, inModule(path)) {
					t.Errorf("package %q imports %q", name, inModule(path))
				}
			case outside && !slices.Contains(requirements, strings.TrimSuffix(path, "/errgroup")):
				t.Errorf("package %q imports %s", name, path)
			}
		}
	}
	if seen < 7 {
		t.Errorf("only %d packages", seen)
	}
}

func inModule(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, modulePath), "/")
}

var requirements = []string{"github.com/google/uuid", "github.com/gorilla/websocket", "golang.org/x/sync"}

func TestTheModuleHasThreeRequirements(t *testing.T) {
	file, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, match := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+/\S+) v\S+(.*)$`).FindAllStringSubmatch(string(file), -1) {
		got = append(got, match[1])
		if match[2] != "" {
			t.Errorf("%s%s: all three are direct", match[1], match[2])
		}
	}
	slices.Sort(got)
	equal(t, "requirements", got, requirements)
}

// sources are the module's Go files by package directory, those of other modules
// left out.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	dirs := make(map[string][]string)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, other := os.Stat(filepath.Join(path, "go.mod"))
			if path != "." && (other == nil || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
				return fs.SkipDir
			}
		} else if filepath.Ext(path) == ".go" {
			dirs[filepath.Dir(path)] = append(dirs[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil || len(dirs) < 7 {
		t.Fatalf("%d packages, %v", len(dirs), err)
	}
	return dirs
}

func TestEveryExportedNameHasAComment(t *testing.T) {
	for dir, names := range sources(t) {
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range names {
			file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if dir == "." && strings.HasSuffix(name, "_test.go") && file.Name.Name != "relay_test" {
				t.Errorf("%s is not in package relay_test", name)
			}
			files = append(files, file)
		}
		if !slices.ContainsFunc(names, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
			continue
		}
		p, err := doc.NewFromFiles(fset, files, modulePath+"/"+dir)
		if err != nil {
			t.Fatal(err)
		}
		if p.Doc == "" {
			t.Errorf("package %s has no comment", dir)
		}
		for name, comment := range exported(p) {
			first, _, _ := strings.Cut(comment, " ")
			last := name[strings.LastIndex(name, ".")+1:]
			article := regexp.MustCompile(`^(A|An|The) `).ReplaceAllString(comment, "")
			if first != last && !strings.HasPrefix(article, last+" ") {
				t.Errorf("%s: the comment of %s begins with %q", dir, name, first)
			}
		}
		for _, example := range allExamples(p) {
			if example.Output == "" && !example.EmptyOutput {
				t.Errorf("%s: Example%s says nothing about its output, so it never runs", dir, example.Name)
			}
		}
	}
}

// exported returns the comments of functions, types and methods; constants and
// variables may share one, which staticcheck looks at.
func exported(p *doc.Package) map[string]string {
	comments := make(map[string]string)
	functions := func(prefix string, list []*doc.Func) {
		for _, f := range list {
			comments[prefix+f.Name] = f.Doc
		}
	}
	functions("", p.Funcs)
	for _, typ := range p.Types {
		comments[typ.Name] = typ.Doc
		functions("", typ.Funcs)
		for _, method := range typ.Methods {
			switch method.Name {
			case "String", "Error", "Unwrap": // a comment is welcome, and says nothing new
			default:
				comments[typ.Name+"."+method.Name] = method.Doc
			}
		}
	}
	for name := range comments {
		if !ast.IsExported(strings.Split(name, ".")[0]) {
			delete(comments, name)
		}
	}
	return comments
}

func allExamples(p *doc.Package) []*doc.Example {
	all := slices.Clone(p.Examples)
	for _, f := range p.Funcs {
		all = append(all, f.Examples...)
	}
	for _, typ := range p.Types {
		all = append(all, typ.Examples...)
		for _, f := range slices.Concat(typ.Funcs, typ.Methods) {
			all = append(all, f.Examples...)
		}
	}
	return all
}

// A test that sleeps is slow, or flaky, or both: unless time is that of a bubble.
func TestNoTestSleepsOutsideABubble(t *testing.T) {
	for _, names := range sources(t) {
		for _, name := range names {
			if !strings.HasSuffix(name, "_test.go") || name == "structure_test.go" {
				continue
			}
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text := string(file)
			// The root package's helper bubble stands for synctest.Test.
			if strings.Contains(text, "time.Sleep(") && !strings.Contains(text, "synctest.Test(") && !strings.Contains(text, "bubble(t") {
				t.Errorf("%s sleeps", name)
			}
		}
	}
}

// rows are words of every row of what is, or is not, retried.
var rows = []string{
	"refused", "reset", "timeout", "DNS", "408", "425", "429", "5xx", "redirect", "certificate", "4001", "4002", "4004", "registration", "token source", "Retry-After",
}

func TestWhatIsRetriedIsTold(t *testing.T) {
	file, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	before, section, ok := strings.Cut(string(file), "# What is retried")
	if !ok {
		t.Fatal("doc.go does not say what is retried")
	}
	for _, word := range rows {
		if !strings.Contains(section, word) && (word != "Retry-After" || !strings.Contains(before, word)) {
			t.Errorf("doc.go does not mention %q", word)
		}
	}
}

// What is long is told, not forbidden.
func TestSizes(t *testing.T) {
	for _, names := range sources(t) {
		for _, name := range names {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if n := lines(t, name); n > 400 && !strings.HasSuffix(name, "_test.go") {
				t.Logf("%s has %d lines", name, n)
			}
			for _, declaration := range file.Decls {
				f, ok := declaration.(*ast.FuncDecl)
				if !ok || strings.HasSuffix(name, "_test.go") {
					continue
				}
				if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; n > 60 {
					t.Logf("%s: %s has %d lines", name, f.Name.Name, n)
				}
			}
		}
	}
}

func lines(t *testing.T, name string) (n int) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for scanner := bufio.NewScanner(file); scanner.Scan(); n++ {
	}
	return n
}
