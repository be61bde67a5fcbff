package report

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// A Run is one call of the command.
type Run struct {
	Command string
	Quick   bool `json:",omitempty"` // no figure means anything
	Turns   int
	Date    string // when it began
	Load    string // of the machine then, over 1, 5 and 15 minutes
	Commit  string // of relay
	Machine Machine
}

// A Machine is what a run ran on, and with.
type Machine struct {
	CPU      string
	Cores    int
	Memory   string
	Kernel   string
	Go       string
	Versions string // of all competitors
}

// NewRun returns the run that begins now, with these arguments. goMod names the
// competitors, whose versions the program knows.
func NewRun(args []string, quick bool, turns int, goMod string) Run {
	command := "go run ."
	for _, arg := range args {
		if strings.ContainsAny(arg, " '|&;()[]{}*?$^\"\\") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		command += " " + arg
	}
	load := strings.Fields(content("/proc/loadavg"))
	return Run{
		Command: command, Quick: quick, Turns: turns,
		Date:    time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		Load:    strings.Join(load[:min(3, len(load))], " "),
		Commit:  commit(),
		Machine: here(goMod),
	}
}

// commit names what is measured, and says if it is no longer that: results that
// are written do not count.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", ":(top)*.go", ":(top)*.mod").Run() != nil {
		name += ", changed"
	}
	return name
}

func here(goMod string) Machine {
	m := Machine{
		CPU:      field("/proc/cpuinfo", "model name"),
		Cores:    runtime.NumCPU(),
		Memory:   field("/proc/meminfo", "MemTotal"),
		Kernel:   strings.TrimSpace(runtime.GOOS + " " + content("/proc/sys/kernel/osrelease")),
		Go:       runtime.Version() + " " + runtime.GOARCH,
		Versions: strings.Join(append(modules(goMod), python()...), ", "),
	}
	var kilobytes float64
	if n, _ := fmt.Sscanf(m.Memory, "%f kB", &kilobytes); n == 1 {
		m.Memory = fmt.Sprintf("%.1f GiB", kilobytes/(1<<20))
	}
	return m
}

var requirement = regexp.MustCompile(`(?m)^\s+(\S+) v\S+$`)

// modules returns what goMod requires directly, with the versions that the
// program was built with.
func modules(goMod string) []string {
	built, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var found []string
	for _, match := range requirement.FindAllStringSubmatch(goMod, -1) {
		for _, d := range built.Deps {
			if d.Path == match[1] && strings.HasPrefix(d.Version, "v") {
				if d.Replace != nil {
					d = d.Replace
				}
				found = append(found, strings.TrimPrefix(d.Path, "github.com/")+" "+d.Version)
			}
		}
	}
	return found
}

// python returns the versions of what `make venv` has installed, if it has.
func python() []string {
	venv := filepath.Join("..", ".venv")
	version := field(filepath.Join(venv, "pyvenv.cfg"), "version")
	infos, _ := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages", "proxystore-*.dist-info"))
	if version == "" || len(infos) == 0 {
		return nil
	}
	name := strings.TrimSuffix(filepath.Base(infos[0]), ".dist-info")
	return []string{"Python " + version, strings.Replace(name, "-", " ", 1)}
}

// field returns the value of a "name: value" or "name = value" line of a file.
func field(file, name string) string {
	lines := bufio.NewScanner(strings.NewReader(content(file)))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, " \t:="))
		}
	}
	return ""
}

func content(file string) string {
	data, _ := os.ReadFile(file)
	return strings.TrimSpace(string(data))
}
