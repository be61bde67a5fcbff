package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNewRefusesOptionsThatMakeNoSense(t *testing.T) {
	for name, opt := range map[string]Option{
		"nil Option":           nil,
		"WithLogger":           WithLogger(nil),
		"WithCheckOrigin":      WithCheckOrigin(nil),
		"WithMaxMessageBytes":  WithMaxMessageBytes(-1),
		"WithQueueBytes":       WithQueueBytes(0),
		"WithMaxConnections":   WithMaxConnections(0),
		"WithMaxRegistrations": WithMaxRegistrations(-1),
		"WithRegisterTimeout":  WithRegisterTimeout(0),
		"WithKeepalive":        WithKeepalive(time.Second, 0),
		"WithWriteTimeout":     WithWriteTimeout(-time.Second),
	} {
		s, err := New(WithQueueBytes(1), opt)
		if s != nil || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(WithKeepalive(0, time.Second)); err == nil {
		t.Error("WithKeepalive(0, 1s): no error")
	}
}

func TestNewStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // would not end with a goroutine left
		if _, err := New(); err != nil {
			t.Error(err)
		}
	})
}
