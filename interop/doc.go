// Package interop tests this module against the real ProxyStore, version
// 1.1.0: its decoder, its RelayClient, its PeerManager, its endpoints and its
// proxystore-relay, each in a process of its own. It holds tests only. WebRTC
// included, nothing leaves the loopback interface: python/loopback.py ends a
// process that tries.
//
// The tests need the Python environment that "make venv" makes. Without it they
// are skipped, and say so; with CI=true or RELAY_REQUIRE_PYTHON=1 in the
// environment they fail instead.
//
// The relays under test are the real one and ours, the clients under test the
// real one and ours, and most tests run over all combinations: where a Python
// client on a Python relay passes, nothing else may fail.
package interop
