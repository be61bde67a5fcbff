package ops

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
)

var (
	screenshot = flag.String("screenshot", "", "write a picture of the status page to this `file`")
	lively     = flag.Duration("lively", span*time.Second, "how long the traffic runs before the picture is taken")
)

// TestScreenshot makes the picture in the README, of real traffic:
//
//	go test -run Screenshot -timeout 0 -screenshot ../../../../docs/status.png
func TestScreenshot(t *testing.T) {
	if *screenshot == "" {
		t.Skip("see -screenshot")
	}
	r, h := newRelay(t, Options{Version: "0.4.0"}, server.WithAuthenticator(byHeader{}))
	url, _ := serve(t, h, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	bustle(ctx, t, &traffic, r)
	t.Cleanup(func() { cancel(); traffic.Wait() })

	b := newTab(t)
	<-time.After(*lively)
	b.scheme("light")
	run(b, chromedp.EmulateViewport(1280, 800))
	b.open(url + "/?sort=in")
	b.await(`document.querySelector("tr.alert") !== null`) // somebody does not read
	picture, err := png.Decode(bytes.NewReader(run(b, chromedp.FullScreenshot(100))))
	if err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, reduced(picture)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*screenshot, small.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reduced returns a picture in its 256 most frequent colours, which for text
// and lines are enough.
func reduced(picture image.Image) image.Image {
	pixels := map[color.Color]int{}
	area := picture.Bounds()
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			pixels[picture.At(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(pixels), func(a, b color.Color) int { return pixels[b] - pixels[a] })
	small := image.NewPaletted(area, colors[:min(len(colors), 256)])
	imagedraw.Draw(small, area, picture, area.Min, imagedraw.Src)
	return small
}

// bustle keeps a dozen clients busy until ctx ends: pairs that stream, workers
// that answer, one that goes and comes, one that asks for who is not there.
func bustle(ctx context.Context, t *testing.T, traffic *sync.WaitGroup, r *relaytest.Relay) {
	client := func(name, user string, opts ...relay.Option) *relay.Client {
		return join(t, r, name, append(opts, asUser(user))...)
	}
	users := []string{"ana@lab.example", "bo@lab.example"}
	collector := client("collector", users[0])
	drain := func(c *relay.Client) {
		traffic.Go(func() {
			for {
				if _, err := c.Recv(ctx); err != nil {
					return
				}
			}
		})
	}
	drain(collector)
	for i := range 6 {
		sensor := client(fmt.Sprintf("sensor-%02d", i+1), users[0])
		drain(sensor)
		steadily(ctx, traffic, func(at float64) float64 {
			return 30 + 25*math.Sin(at/(20+5*float64(i))+float64(i)) + 8*rand.Float64()
		}, func(n int) {
			for range n {
				text := strings.Repeat("x", 200+rand.IntN(1200))
				_ = sensor.Send(ctx, relay.Message{PeerUUID: collector.UUID(), Description: text})
			}
		})
	}
	trainer := client("trainer", users[1])
	drain(trainer)
	for i := range 3 {
		worker := client(fmt.Sprintf("worker-%d", i), users[1])
		drain(worker)
		steadily(ctx, traffic, func(at float64) float64 {
			if math.Mod(at, 60) < 35 {
				return 60 + 20*rand.Float64()
			}
			return 4
		}, func(n int) {
			for range n {
				_ = trainer.Send(ctx, relay.Message{PeerUUID: worker.UUID(), Description: strings.Repeat("y", 900)})
				_ = worker.Send(ctx, relay.Message{PeerUUID: trainer.UUID(), Description: "ok"})
			}
		})
	}
	scout := client("scout", users[1])
	drain(scout)
	steadily(ctx, traffic, func(at float64) float64 { return 3 * max(0, math.Sin(at/17)) * rand.Float64() }, func(n int) {
		for range n {
			_ = scout.Send(ctx, relay.Message{PeerUUID: uuid.New(), Description: "anybody there?"})
		}
	})
	archive, camera := client("archive", users[1], relay.WithInbox(relay.InboxPolicy{MaxBytes: 1 << 20})), client("camera", users[1])
	drain(camera)
	traffic.Go(func() { // it writes for a while, now and then, and does not read meanwhile
		for ctx.Err() == nil {
			rest, cancel := context.WithTimeout(ctx, 17*time.Second)
			for {
				if _, err := archive.Recv(rest); err != nil {
					break
				}
			}
			cancel()
			select {
			case <-time.After(9 * time.Second):
			case <-ctx.Done():
			}
		}
	})
	steadily(ctx, traffic, func(float64) float64 { return 25 }, func(n int) {
		for range n {
			_ = camera.Send(ctx, relay.Message{PeerUUID: archive.UUID(), Description: strings.Repeat("z", 100_000)})
		}
	})
	visitor := uuid.New()
	steadily(ctx, traffic, func(at float64) float64 { return 0.1 }, func(n int) {
		c := r.Client("visitor", asUser(users[1]), relay.WithUUID(visitor))
		if c.Connect(ctx) == nil {
			select {
			case <-time.After(7 * time.Second):
			case <-ctx.Done():
			}
		}
		_ = c.Close()
	})
}

// steadily does something at a rate, which depends on the time, in seconds.
func steadily(ctx context.Context, traffic *sync.WaitGroup, rate func(at float64) float64, do func(n int)) {
	traffic.Go(func() {
		const step = 50 * time.Millisecond
		tick := time.NewTicker(step)
		defer tick.Stop()
		start, due := time.Now(), 0.0
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			due += rate(time.Since(start).Seconds()) * step.Seconds()
			if n := int(due); n > 0 {
				do(n)
				due -= float64(n)
			}
		}
	})
}
