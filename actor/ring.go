package actor

import "unsafe"

const (
	// minSlots is the least memory of a ring.
	minSlots = 8
	// keepBytes is how much memory an empty ring keeps, beside minSlots: one that is
	// emptied again and again would otherwise grow each time from eight slots on.
	keepBytes = 1 << 10
)

// keepSlots is how many slots an empty ring keeps.
func keepSlots[M any]() int {
	var m M
	return max(minSlots, keepBytes/max(int(unsafe.Sizeof(m)), 1))
}

// ring is a queue in a circular buffer. The zero value is empty.
type ring[M any] struct {
	slots []M   // a power of two of them, or none
	sizes []int // of the messages in slots; nil unless they are asked for
	head  int   // the oldest
	n     int   // messages inside
}

func (r *ring[M]) push(m M, size int, sized bool) {
	if r.n == len(r.slots) {
		r.grow(sized)
	}
	i := (r.head + r.n) & (len(r.slots) - 1)
	r.slots[i] = m
	if sized {
		r.sizes[i] = size
	}
	r.n++
}

// unpop puts back what pop returned.
func (r *ring[M]) unpop(m M, size int, sized bool) {
	if r.n == len(r.slots) {
		r.grow(sized)
	}
	r.head = (r.head - 1) & (len(r.slots) - 1)
	r.slots[r.head] = m
	if sized {
		r.sizes[r.head] = size
	}
	r.n++
}

func (r *ring[M]) pop() (m M, size int) {
	var none M
	m, r.slots[r.head] = r.slots[r.head], none
	if r.sizes != nil {
		size = r.sizes[r.head]
	}
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.n--
	return m, size
}

// popAll appends all messages to buf.
func (r *ring[M]) popAll(buf []M) []M { return r.popN(buf, r.n) }

// popN appends the n oldest messages to buf.
func (r *ring[M]) popN(buf []M, n int) []M {
	first := r.slots[r.head:min(r.head+n, len(r.slots))]
	second := r.slots[:n-len(first)]
	buf = append(append(buf, first...), second...)
	clear(first)
	clear(second)
	r.head = (r.head + n) & (len(r.slots) - 1)
	r.n -= n
	return buf
}

func (r *ring[M]) grow(sized bool) {
	slots := make([]M, max(minSlots, 2*len(r.slots)))
	copy(slots[copy(slots, r.slots[r.head:]):], r.slots[:r.head])
	if sized {
		sizes := make([]int, len(slots))
		copy(sizes[copy(sizes, r.sizes[r.head:]):], r.sizes[:r.head])
		r.sizes = sizes
	}
	r.slots, r.head = slots, 0
}

// shrink gives back the memory of an empty ring, if it is much.
func (r *ring[M]) shrink() {
	if len(r.slots) > keepSlots[M]() {
		*r = ring[M]{}
	}
}
