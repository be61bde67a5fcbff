//go:build linux

package main

import (
	"debug/elf"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/config"
)

// packaged returns a file of the folder packaging, with a part of it replaced
// for each pair of old and new. The old must be there.
func packaged(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("no %q in %s", pairs[i], name)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// program finds one that is not ours. In CI it has to be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("no %s here", name)
	}
	return path
}

func TestTheUnitIsSoundAndHardened(t *testing.T) {
	analyze := program(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "relay.service")
	if err := os.WriteFile(unit, []byte(packaged(t, "relay.service", "/usr/local/bin/relay", binary)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	// In tenths: 12 with systemd 252. A web server as distributions install it has 92.
	if out, err := exec.Command(analyze, "security", "--no-pager", "--offline=true", "--threshold=15", unit).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheExampleConfigurationIsSound(t *testing.T) {
	path := filepath.Join("..", "..", "packaging", "relay.toml")
	if code, _, stderr := execute(t, "", "serve", "--config", path, "--check"); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	// What is commented out is read, too; only the files are not there.
	all := regexp.MustCompile(`(?m)^#(\[|[a-z_]+ = )`).ReplaceAllString(packaged(t, "relay.toml"), "$1")
	_, stdout, stderr := execute(t, "", "serve", "--config", file(t, "relay.toml", all), "--check")
	for line := range strings.Lines(stderr) {
		if !strings.Contains(line, "no such file") && !strings.Contains(line, "problems found") {
			t.Errorf("%s", line)
		}
	}
	if strings.Count(all, " = ") < 25 || strings.Count(stdout, "relay.toml:") < 25 {
		t.Errorf("of %d settings in the example:\n%s", strings.Count(all, " = "), stdout)
	}
}

// TestTheImage builds what is in the image with the command that is in the
// Dockerfile, and runs it as the container would: nothing else is there.
func TestTheImage(t *testing.T) {
	dockerfile := packaged(t, "Dockerfile")
	build := regexp.MustCompile(`(?m)^RUN (.* -o) /relay (\S+)$`).FindStringSubmatch(dockerfile)
	final := dockerfile[strings.LastIndex(dockerfile, "\nFROM "):]
	if build == nil || !strings.HasPrefix(final, "\nFROM scratch\n") || !strings.Contains(final, "\nUSER 65532:65532\n") || strings.Contains(final, "\nRUN ") {
		t.Fatalf("the image is no longer one file, run by nobody:\n%s", dockerfile)
	}
	root := t.TempDir()
	relayFile := filepath.Join(root, "relay")
	cmd := exec.Command("sh", "-c", build[1]+" "+relayFile+" "+build[2])
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	binary, err := elf.Open(relayFile)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if libraries, err := binary.ImportedLibraries(); len(libraries) > 0 || (err != nil && !errors.Is(err, elf.ErrNoSymbols)) {
		t.Errorf("not static: %v, %v", libraries, err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may make a container's view of the files")
	}
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/relay", args...)
		cmd.Path, cmd.Dir, cmd.Env = "/relay", "/", []string{"RELAY_ADDR=127.0.0.1:0"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	if out, err := inside("demo").CombinedOutput(); err != nil {
		t.Errorf("demo: %v: %s", err, out)
	}
	serve := inside("serve")
	stdout := newOutput()
	serve.Stdout = stdout
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Wait()
	defer serve.Process.Kill()
	address := stdout.await(t, "listening on ")
	if out, err := inside("ping", "--relay", address, "--count", "1").CombinedOutput(); err != nil {
		t.Errorf("ping: %v: %s", err, out)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func TestTheManualHasEverySettingAndMetric(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "operators.md"))
	if err != nil {
		t.Fatal(err)
	}
	manual := string(content)
	for _, row := range config.Defaults().Rows()[1:] { // all but --config
		cell := ""
		if row.Value != "" {
			cell = "`" + row.Value + "`"
		}
		if want := row.Name + "` | " + cell + " |"; !strings.Contains(manual, want) {
			t.Errorf("no row … %s", want)
		}
	}
	dagger := regexp.MustCompile("(?m)^\\| `--([a-z-]+)` .* † \\|$")
	var marked []string
	for _, match := range dagger.FindAllStringSubmatch(manual, -1) {
		marked = append(marked, match[1])
	}
	slices.Sort(marked)
	if want := slices.Sorted(slices.Values(fixed)); !slices.Equal(marked, want) {
		t.Errorf("† at %v, want %v", marked, want)
	}

	_, cert, key := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	ops := freePort(t)
	relay := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--ops-addr", ops, "--tls-cert", cert, "--tls-key", key)
	relay.stdout.await(t, "listening on ")
	answer, err := http.Get("http://" + ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("(?m)^# TYPE (relay_[a-z_]+) ").FindAllStringSubmatch(string(metrics), -1)
	if len(names) < 20 {
		t.Errorf("only %d metrics", len(names))
	}
	exported := make(map[string]bool)
	for _, name := range names {
		exported[name[1]] = true
		if !regexp.MustCompile("`" + name[1] + "[`{]").MatchString(manual) {
			t.Errorf("no %s", name[1])
		}
	}
	for _, name := range regexp.MustCompile("relay_[a-z_]+").FindAllString(manual, -1) {
		if base := strings.TrimSuffix(name, "_bucket"); !exported[base] && base != "relay_closes_total" { // that one comes with the first close
			t.Errorf("%s is no metric", name)
		}
	}
}
