// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

// seats bounds the calls in flight. Each level has reserved seats, which no other level can take. The
// other seats are lent to any level.
//
// A namespace can take a seat only if it holds fewer seats of that level than remain available to
// it, and a connection of a namespace only if it holds fewer than three quarters of that. So one namespace whose
// calls hang holds half of the seats at most, and leaves as many as it holds; k of them hold k/(k+1) if they take
// turns. Buffers in switches are shared by the same rule: Choudhury and Hahne, "Dynamic queue length thresholds
// for shared-memory packet switches", 1998.
//
// What the namespaces of a level leave of its reserved seats, half each, stays reserved, however many seats of
// others they hold. As long as that is one seat, a namespace that holds none finds one, whatever the other levels
// do.
type seats struct {
	total    int
	reserved int
	used     [levels]int
	// holders is the number of namespaces that hold seats of a level.
	holders [levels]int
}

func newSeats(total int) seats {
	s := seats{total: total}
	if total >= int(levels) {
		s.reserved = max(1, total/8)
	}
	return s
}

// available returns how many seats a level can still take.
func (s *seats) available(l level) int {
	free := s.total
	for other, used := range s.used {
		free -= used
		if level(other) != l {
			free -= max(0, s.reserved-used, s.reserved>>s.holders[other])
		}
	}
	return free
}

// permits reports whether a flow of a namespace can take a seat of a level.
func (s *seats) permits(f *flow, l level) bool {
	available := s.available(l)
	return f.namespace.used[l] < available && 4*f.used[l] < 3*available
}

func (s *seats) take(f *flow, l level) {
	if f.namespace.used[l] == 0 {
		s.holders[l]++
	}
	s.used[l]++
	f.namespace.used[l]++
	f.used[l]++
}

func (s *seats) put(f *flow, l level) {
	s.used[l]--
	f.namespace.used[l]--
	f.used[l]--
	if f.namespace.used[l] == 0 {
		s.holders[l]--
	}
}

// namespace is the seats that a namespace holds, over all its connections.
type namespace struct {
	used [levels]int
	// served is when it last took a seat of each level, as a sequence number.
	served [levels]uint64
	// flows is the number of its flows.
	flows int
}
