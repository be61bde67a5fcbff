package relay_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are what people read.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	if found = append(found, more...); len(found) < 5 {
		t.Fatalf("only %q", found)
	}
	return found
}

var link = regexp.MustCompile(`\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)`)

// Every link within the repository leads somewhere; one whose text is the name of
// a test leads to the file that has it.
func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	tests := 0
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			text, target := strings.Trim(match[1], "`"), match[2]
			if strings.Contains(target, "://") {
				continue
			}
			path := filepath.Join(filepath.Dir(page), target)
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if !strings.HasPrefix(text, "Test") && !strings.HasPrefix(text, "Fuzz") {
				continue
			}
			tests++
			name, _, _ := strings.Cut(text, "/")
			if info.IsDir() || !strings.Contains(read(t, path), "\nfunc "+name+"(") {
				t.Errorf("%s: there is no %s in %s", page, name, target)
			}
		}
	}
	if tests == 0 {
		t.Error("no page names a test")
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// caseTests are the names of the tests of a case, by file.
var caseTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)T(\d+)_\w+)\(`)

// The page of cases has every test that is named after one, and every case has a
// test or a reason.
func TestThePageOfCasesIsComplete(t *testing.T) {
	const page = "docs/cases.md"
	text := read(t, page)
	err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		for _, match := range caseTest.FindAllStringSubmatch(read(t, path), -1) {
			if !strings.Contains(text, "[`"+match[1]+"`](../"+path+")") {
				t.Errorf("%s does not have %s of %s", page, match[1], path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| T(\d+) \|[^|]*\|[^|]*\|([^|]*)\|$`).FindAllStringSubmatch(text, -1)
	if len(rows) != 55 {
		t.Fatalf("%d cases", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(row[2], "T"+row[1]+"_") && !strings.Contains(row[2], "No test: ") {
			t.Errorf("T%s has neither a test nor a reason: %s", row[1], row[2])
		}
	}
}
