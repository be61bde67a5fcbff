package interop

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// malformedFrames returns n frames that are no messages, or none that a client
// may send, and on the way some that are: the border is what is tested.
func malformedFrames(random *rand.Rand, n int) (frames [][]byte, accepted int) {
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	golden := func() string { return pick(goldenFrames) }
	deep := func(levels int) string {
		if random.IntN(2) == 0 {
			return strings.Repeat("[", levels) + strings.Repeat("]", levels)
		}
		return strings.Repeat(`{"a":`, levels) + "0" + strings.Repeat("}", levels)
	}
	spread := func(members []member) string { // one value is another
		return object(replaced(members, random.IntN(len(members)), pick(oddValues)))
	}
	kinds := []func() string{
		func() string { return pick(oddFrames) },
		func() string { return pick(oddValues) },                                      // list, null, number
		func() string { return "[" + golden() + strings.Repeat("]", random.IntN(3)) }, // a list around it
		func() string { return fmt.Sprint(random.Int64(), strings.Repeat("0", random.IntN(20))) },
		func() string { return deep(1 + random.IntN(2000)) },
		func() string { // deep in the description
			return strings.Replace(goldenFrames[3], `"offer"`, deep(400+random.IntN(700)), 1)
		},
		func() string { return object(rearranged(random, members(golden()))) }, // equal keys, missing and extra ones
		func() string { return spread(members(golden())) },
		func() string { // big integers
			digits := 4290 + random.IntN(20)
			return strings.Replace(goldenFrames[3], `"offer"`, strings.Repeat("7", digits), 1)
		},
		func() string { return "\ufeff" + golden() },
		func() string {
			return golden() + pick([]string{"x", "{}", ",", "\x00", "}", "\ufeff", golden(), "//", "\xff"})
		},
		func() string { return golden()[:random.IntN(20)] + golden()[random.IntN(40):] },
	}
	for rejected := 0; rejected < n; {
		var frame []byte
		if i := random.IntN(2 * len(kinds)); i < len(kinds) {
			frame = []byte(kinds[i]())
		} else {
			frame = []byte(golden())
			for range 1 + random.IntN(4) {
				if len(frame) > 0 {
					frame = mutated(random, frame)
				}
			}
		}
		m, err := codec.Decode(frame)
		if _, registration := m.(codec.Registration); registration && !isNamed(frame) {
			continue
		}
		if _, response := m.(codec.Response); err != nil || response {
			rejected++
		} else if accepted++; accepted > n/5 {
			continue // enough of them
		}
		frames = append(frames, frame)
	}
	return frames, len(frames) - n
}

// isNamed reports whether a registration's name is a string. The real relay takes
// any value, and ends itself once a minute when it sorts its clients by their names
// and two of them cannot be compared.
func isNamed(frame []byte) bool {
	var r struct{ Name *string }
	return json.Unmarshal(frame, &r) == nil && r.Name != nil
}

// The verdict on each of 10,000 malformed frames is that of the real relay, but
// that its crashes, close code 1011, are refusals with 4000. None of them ends a relay.
func TestT37_MalformedFramesEndAsOnTheRealRelay(t *testing.T) {
	t.Parallel()
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	const seed = 37
	frames, accepted := malformedFrames(rand.New(rand.NewPCG(seed, seed)), n)
	ours, real := startRelay(t, ourKind), startRelay(t, realKind)
	start := time.Now()
	verdicts := judge(t, ours.URL(), frames)
	oursTook := time.Since(start)
	start = time.Now()
	want := judge(t, real.URL(), frames)
	t.Logf("seed %d: %d malformed frames and %d others; %v on our relay, %v on the real one", seed, n, accepted, oursTook, time.Since(start))

	counts := map[[2]int]int{}
	tooDeep := 0
	for i, frame := range frames {
		pair := [2]int{want[i], verdicts[i]}
		counts[pair]++
		if pair == [2]int{1011, 4000} || pair[0] == pair[1] && pair[0] != 1011 {
			continue
		}
		// The real decoder takes deeper lists than the real relay can encode again;
		// ours passes on what the real clients take.
		if _, err := codec.Decode(frame); pair[0] == 1011 && err == nil {
			tooDeep++
			continue
		}
		t.Errorf("the real relay: %d, ours: %d, for %.300q", pair[0], pair[1], frame)
	}
	for pair, count := range counts {
		t.Logf("real %4d, ours %4d: %d frames", pair[0], pair[1], count)
	}
	t.Logf("%d frames that only the real relay finds too deep", tooDeep)
	if counts[[2]int{4000, 4000}] < n/2 || counts[[2]int{1011, 4000}] < n/20 || counts[[2]int{1007, 1007}] < n/100 {
		t.Error("too few of one kind")
	}
	for _, r := range []testRelay{ours, real} { // it lives
		a, b := newClient(t, r.URL()), newClient(t, r.URL())
		connect(t, a, b)
		meet(t, a, b)
	}
}

// judge sends each frame on a connection of its own, and returns the codes with
// which these are closed; 0: it was answered, or ignored.
func judge(t *testing.T, url string, frames [][]byte) []int {
	t.Helper()
	codes := make([]int, len(frames))
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make(chan error, 16)
	for range cap(errs) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(frames) {
					return
				}
				code, err := judgeOne(url, frames[i])
				// Two frames at a time may have registered the same UUID; and a reset,
				// for what came behind the frame, may overtake the reason for closing.
				for again := 0; again < 10 && (err == nil && code == 4004 || errors.Is(err, syscall.ECONNRESET)); again++ {
					code, err = judgeOne(url, frames[i])
				}
				if err != nil {
					errs <- fmt.Errorf("frame %d, %.300q: %w", i, frames[i], err)
					return
				}
				codes[i] = code
			}
		})
	}
	workers.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	return codes
}

// judgeOne registers, sends a frame, and registers again, which has an answer if
// the frame was no reason to close.
func judgeOne(url string, frame []byte) (code int, err error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0) // twenty thousand of them would leave no port
	_ = conn.SetDeadline(time.Now().Add(4 * patience))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		return 0, err
	}
	r := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return 0, errors.Join(err, fmt.Errorf("not upgraded: %v", answer))
	}
	registration, err := codec.Registration{Name: "judge", UUID: uuid.New()}.Append(nil)
	if err != nil {
		return 0, err
	}
	if _, err := conn.Write(appendMasked(appendMasked(appendMasked(nil, registration), frame), registration)); err != nil {
		return 0, err
	}
	for answers := 0; ; {
		opcode, payload, err := readShort(r)
		switch {
		case err != nil:
			return 0, err
		case opcode == 1 && answers == 0:
			answers++ // to the first registration
		case opcode == 8 && len(payload) >= 2:
			return int(binary.BigEndian.Uint16(payload)), nil
		case opcode == 8:
			return 1005, nil
		case opcode == 1:
			return 0, nil
		}
	}
}

// appendMasked appends a text frame, with a mask of zeroes.
func appendMasked(b, payload []byte) []byte {
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x81, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x81, 0xfe), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x81, 0xff), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// readShort reads a frame of at most 64 KiB of a relay.
func readShort(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	opcode = head[0] & 0xf
	size := int(head[1])
	if size == 126 {
		_, err = io.ReadFull(r, head[:])
		size = int(binary.BigEndian.Uint16(head[:]))
	}
	if err != nil || size > 0xffff {
		return 0, nil, fmt.Errorf("a frame of %d bytes: %w", size, err)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	return opcode, payload, err
}
