package relay

import "sync"

// snapshot is what the supervisor goroutine tells everybody else.
type snapshot struct {
	state    State
	err      error  // of the last attempt or connection that failed
	started  uint64 // attempts to connect, counted
	finished uint64 // likewise
	changes  uint64 // up to this one, counted
}

// status holds the snapshot, and what others ask of the supervisor goroutine:
// the mutex guards a few words and is never held over a wait.
type status struct {
	mu      sync.Mutex
	now     snapshot
	changed chan struct{} // closed at the next change; nil: nobody waits for one
	keep    bool          // connect, and try again until it succeeds
	tries   uint64        // connect once, up to the attempt of this number
	wake    chan struct{} // one slot: the supervisor goroutine is to look around; never closed
}

func newStatus() *status {
	return &status{wake: make(chan struct{}, 1)}
}

// look returns the snapshot.
func (s *status) look() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// after returns a channel that is closed once something has changed since seen.
func (s *status) after(seen snapshot) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.changes != seen.changes {
		now := make(chan struct{})
		close(now)
		return now
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// update changes the snapshot and returns what it was.
func (s *status) update(change func(*snapshot)) (was snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = s.now
	change(&s.now)
	s.now.changes++
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return was
}

// want asks for a connection.
func (s *status) want() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep {
		return
	}
	s.keep = true
	s.rouse()
}

// try asks for one attempt and returns its number.
func (s *status) try() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.now.state == Connected:
		return s.now.finished // nothing to try
	case s.now.started > s.now.finished:
		return s.now.started // it is under way
	}
	s.tries = s.now.started + 1
	s.rouse()
	return s.tries
}

// rouse has the supervisor goroutine look around, whatever it waits for but a
// pause between two attempts.
func (s *status) rouse() { notify(s.wake) }

// notify puts a signal into a channel of one slot, unless one waits there already.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wanted reports whether an attempt is to be made, and whether others are to
// follow if it fails.
func (s *status) wanted() (now, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep || s.tries > s.now.started, s.keep
}

// keepTrying says whether a connection is wanted from now on.
func (s *status) keepTrying(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = keep
}
