package systemd

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestNotify(t *testing.T) {
	if err := Notify(Ready, "nobody listens"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	for _, tt := range []struct{ state, status, want string }{
		{Ready, "", "READY=1"},
		{Stopping, "two\nlines", "STOPPING=1\nSTATUS=two lines"},
	} {
		if err := Notify(tt.state, tt.status); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := socket.Read(got)
		if err != nil || string(got[:n]) != tt.want {
			t.Errorf("%q, %v, want %q", got[:n], err, tt.want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", path+"x")
	if err := Notify(Ready, ""); err == nil {
		t.Error("no error for a socket that is not there")
	}
}
