// Package conform tells whether a relay behaves as ProxyStore's does, frame by
// frame.
//
// [Table] is a list of cases. Each is a short play: connections that are
// opened, frames that are sent, and what must come back. [Case.Run] plays it on
// any relay that can be reached. Most cases have one right end. Where
// package server differs from ProxyStore 1.1.0, and is meant to, the case has
// two ends and says why; [Markdown] lists these. Anything else is a failure.
//
// Running the table disturbs nobody on a relay in use: connections are the
// case's own, UUIDs random, messages for itself. A relay of ProxyStore's keeps
// a dozen of those UUIDs until it is restarted, which is one of the faults that
// are looked for, and logs a traceback for every message that it stumbles over.
// Cases that move many megabytes are marked Heavy, those that take 10 seconds
// and more Slow; who runs them decides about both.
//
// The package imports no other of this module: a fault that the judge shared
// with the judged would not be seen.
package conform
