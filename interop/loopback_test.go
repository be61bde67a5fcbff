package interop

import (
	"os/exec"
	"testing"
)

// violation is the exit code of a Python process that python/loopback.py has
// ended, because it was about to reach beyond the loopback interface.
const violation = 77

// confined fails the test when the process was ended for reaching too far. The
// process is one that calls loopback.confine.
func confined(t testing.TB, p *process) {
	t.Cleanup(func() {
		p.kill()
		if p.cmd.ProcessState.ExitCode() == violation {
			t.Errorf("%s wanted to reach beyond the loopback interface", p.name)
		}
	})
}

// None of the forbidden ones would send a packet beyond the machine if nobody
// stopped it: the address is numeric, UDP's connect and bind say nothing, and
// localhost is a file's business.
func TestLoopback_a_process_that_reaches_further_is_ended(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	const (
		udp   = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
		uvRun = "asyncio.Runner(loop_factory=uvloop.new_event_loop).run(f())"
		await = "async def f():\n loop = asyncio.get_running_loop()\n await loop."
	)
	for _, test := range []struct {
		name, code string
		exit       int
	}{
		{"connect", udp + ".connect(('198.51.100.1', 9))", violation},
		{"connect, and its exception is ignored", "try: " + udp + ".connect(('198.51.100.1', 9))\nexcept BaseException: pass", violation},
		{"bind to all interfaces", udp + ".bind(('', 0))", violation},
		{"look up an address", "socket.getaddrinfo('198.51.100.1', 9)", violation},
		{"look up a name", "socket.gethostbyname('localhost')", violation},
		{"asyncio: bind to all interfaces", await + "create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=('0.0.0.0', 0))\nasyncio.run(f())", violation},
		{"uvloop: bind to all interfaces", await + "create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=('0.0.0.0', 0))\n" + uvRun, violation},
		{"uvloop: unbound", await + "create_datagram_endpoint(asyncio.DatagramProtocol, family=socket.AF_INET)\n" + uvRun, violation},
		{"uvloop: look up an address", await + "getaddrinfo('198.51.100.1', 9)\n" + uvRun, violation},
		{"uvloop: connect by name", await + "create_connection(asyncio.Protocol, 'localhost', 9)\n" + uvRun, violation},
		{"uvloop: listen on all interfaces", await + "create_server(asyncio.Protocol, port=0)\n" + uvRun, violation},
		{"asyncio: stay on loopback", await + "create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=('127.0.0.1', 0))\nasyncio.run(f())", 0},
		{"uvloop: stay on loopback", await + "create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=('127.0.0.1', 0))\n" + uvRun, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(interpreter, "-c", "import asyncio, socket, uvloop, loopback\nloopback.confine()\n"+test.code)
			cmd.Dir = "python"
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != test.exit {
				t.Errorf("ended with %d, want %d: %s", code, test.exit, out)
			}
		})
	}
}
