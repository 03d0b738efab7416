// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// fixture is Limiters, and the callers that they woke, in a synctest bubble.
type fixture struct {
	*testing.T
	*flowcontrol.Limiters

	mu    sync.Mutex
	woken []string
}

// withLimiter runs a test of Limiters with changed default limits.
func withLimiter(t *testing.T, change func(*flowcontrol.Limits), test func(f *fixture)) {
	t.Helper()
	limits := flowcontrol.DefaultLimits()
	change(&limits)
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t}
		f.Limiters = flowcontrol.New(limits, clock.RealClock{}, func(who flowcontrol.Caller, _ flowcontrol.Class) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.woken = append(f.woken, who.Name)
		})
		test(f)
	})
}

var connection = upstream.Connection{APIKey: "key"}

func defaults(*flowcontrol.Limits) {}

var (
	read   = flowcontrol.Request{Class: flowcontrol.Read, Requests: 1}
	detach = flowcontrol.Request{Class: flowcontrol.Detach, Requests: 1}
	urgent = flowcontrol.Request{Class: flowcontrol.Urgent, Requests: 1}
)

func create(store string, files int) flowcontrol.Request {
	return flowcontrol.Request{Class: flowcontrol.Create, Requests: 1, VectorStoreID: store, Files: files}
}

// caller returns the caller of a name, which can have a namespace: "namespace/name".
func caller(key string) flowcontrol.Caller {
	namespace, name, found := strings.Cut(key, "/")
	if !found {
		namespace, name = "default", key
	}
	return flowcontrol.Caller{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// wantWoken checks which callers were woken since the last check, in order.
func (f *fixture) wantWoken(want ...string) {
	f.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(want, slices.Clone(f.woken)); diff != "" {
		f.Errorf("woken (-want +got):\n%s", diff)
	}
	f.woken = nil
}

// wokenCount returns how many callers were woken since the last check.
func (f *fixture) wokenCount() int {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.woken)
}

// acquire asks to admit a call with the default connection.
func (f *fixture) acquire(key string, request flowcontrol.Request) flowcontrol.Admission {
	admission, _ := f.Acquire(caller(key), connection, request)
	return admission
}

// admit acquires a call that must be admitted.
func (f *fixture) admit(key string, request flowcontrol.Request) {
	f.Helper()
	f.want(flowcontrol.Admitted, key, request)
}

// rateLimit acquires a call that must wait for the rate limits.
func (f *fixture) rateLimit(key string, request flowcontrol.Request) {
	f.Helper()
	f.want(flowcontrol.RateLimited, key, request)
}

func (f *fixture) want(want flowcontrol.Admission, key string, request flowcontrol.Request) {
	f.Helper()
	if admission := f.acquire(key, request); admission != want {
		f.Fatalf("admission of %s is %d, want %d", key, admission, want)
	}
}

// end ends a call and its reconciliation.
func (f *fixture) end(key string, outcome flowcontrol.Outcome) {
	f.Report(caller(key), outcome)
	f.Release(caller(key))
	f.Forget(caller(key))
}

// call makes a call that must be admitted.
func (f *fixture) call(key string, request flowcontrol.Request) {
	f.Helper()
	f.admit(key, request)
	f.end(key, flowcontrol.Outcome{})
}

// advance advances the clock of the test.
func advance(d time.Duration) { <-time.After(d) }

func TestLimiter_CreatesPerStore(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 2 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		advance(10 * time.Second)
		f.call("b", create("vs_1", 1))
		f.rateLimit("c", create("vs_1", 1))
		f.rateLimit("d", create("vs_1", 1))
		f.call("e", create("vs_2", 1))
		f.call("f", read)
		advance(49 * time.Second)
		f.wantWoken()
		advance(time.Second)
		f.wantWoken("c")
		f.admit("c", create("vs_1", 1))
		advance(10 * time.Second)
		f.wantWoken("d")
	})
}

func TestLimiter_BacklogOfOneStoreDelaysNoOther(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow, l.CreatesPerWindow = 100, 10 }, func(f *fixture) {
		for i := range 1000 {
			if key := fmt.Sprint(i); f.acquire(key, create("vs_1", 1)) == flowcontrol.Admitted {
				f.end(key, flowcontrol.Outcome{})
			}
		}
		f.call("other", create("vs_2", 50))
	})
}

func TestLimiter_FilesOfAllStores(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.call("a", create("vs_1", 1500))
		advance(30 * time.Second)
		f.call("b", create("vs_2", 500))
		f.rateLimit("c", create("vs_3", 501))
		f.rateLimit("d", create("vs_4", 1))
		advance(30 * time.Second)
		f.wantWoken("c", "d")
	})
}

func TestLimiter_LargestBatchDoesNotStarve(t *testing.T) {
	for _, files := range []int{2000, 5000} {
		withLimiter(t, defaults, func(f *fixture) {
			f.call("small", create("vs_1", 1))
			f.rateLimit("large", create("vs_1", files))
			advance(time.Second)
			f.rateLimit("late", create("vs_2", 1))
			advance(59 * time.Second)
			f.wantWoken("large")
			f.call("large", create("vs_1", files))
			advance(time.Minute)
			f.wantWoken("late")
		})
	}
}

func TestLimiter_WindowStartsAtResponse(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		f.admit("slow", create("vs_1", 1))
		f.rateLimit("next", create("vs_1", 1))
		advance(90 * time.Second)
		f.end("slow", flowcontrol.Outcome{})
		advance(59 * time.Second)
		f.wantWoken()
		advance(time.Second)
		f.wantWoken("next")
	})
}

func TestLimiter_UnsentRequestIsRefunded(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow, l.FilesPerWindow = 1, 1 }, func(f *fixture) {
		f.admit("a", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		f.end("a", flowcontrol.Outcome{Unsent: true})
		f.wantWoken("b")
		f.Forget(caller("b"))
		f.call("c", create("vs_1", 1))
	})
}

func TestLimiter_ForgottenWaiterBlocksNoOther(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 100 }, func(f *fixture) {
		f.admit("a", create("vs_1", 100))
		f.rateLimit("large", create("vs_1", 100))
		f.rateLimit("b", create("vs_1", 50))
		f.rateLimit("c", create("vs_2", 50))
		f.end("a", flowcontrol.Outcome{})
		f.Forget(caller("large"))
		advance(time.Minute)
		f.wantWoken("b", "c")
	})
}

func TestLimiter_PositionIsKept(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		f.rateLimit("c", create("vs_2", 1))
		for range 5 {
			f.rateLimit("b", create("vs_1", 1))
			f.rateLimit("a", create("vs_1", 1))
		}
		advance(time.Minute)
		f.wantWoken("b")
		f.call("b", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("c")
		f.call("c", create("vs_2", 1))
		advance(time.Minute)
		f.wantWoken("a")
	})
}

func TestLimiter_UnclaimedAdmissionExpires(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		f.rateLimit("absent", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("absent")
		advance(15 * time.Second)
		f.wantWoken("b")
		f.call("b", create("vs_1", 1))
	})
}

func TestLimiter_UnsentRequestKeepsItsPosition(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		f.rateLimit("c", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("b")
		f.admit("b", create("vs_1", 1))
		f.Report(caller("b"), flowcontrol.Outcome{Unsent: true}) // a conflict
		f.wantWoken("c")
		f.Release(caller("b"))
		f.rateLimit("b", create("vs_1", 1))
		f.rateLimit("d", create("vs_1", 1))
		f.call("c", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("b")
	})
}

func TestLimiter_LostWakeUpKeepsThePosition(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		for _, key := range []string{"b", "c", "d"} {
			f.rateLimit(key, create("vs_1", 1))
		}
		advance(75 * time.Second) // b does not claim its admission
		f.wantWoken("b", "c")
		f.rateLimit("b", create("vs_1", 1))
		f.call("c", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("b")
	})
}

// An object whose create was lost verifies it in each reconciliation before it creates again (fault 4).
func TestLimiter_VerificationKeepsThePosition(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		again := func(key string) flowcontrol.Admission {
			f.admit(key, read)
			f.Report(caller(key), flowcontrol.Outcome{})
			admission := f.acquire(key, create("vs_1", 1))
			if admission == flowcontrol.Admitted {
				f.Report(caller(key), flowcontrol.Outcome{})
				f.Forget(caller(key))
			}
			f.Release(caller(key))
			return admission
		}
		f.call("a", create("vs_1", 1))
		again("b")
		for i := range 100 {
			f.rateLimit(fmt.Sprint("other", i), create("vs_1", 1))
		}
		again("b")
		advance(time.Minute)
		f.wantWoken("b")
		if admission := again("b"); admission != flowcontrol.Admitted {
			t.Errorf("the admission that b was woken for is %d, want Admitted", admission)
		}
	})
}

func TestLimiter_RefusedCreateIsRefunded(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		for i := range 400 { // more than the limit of creates, each with all files of a window
			f.admit("a", create("vs_1", 2000))
			f.end("a", flowcontrol.Outcome{Refused: true})
			advance(time.Duration(i%2) * 100 * time.Millisecond)
		}
		f.call("good", create("vs_1", 2000))
	})
}

// Creates that wait for the limit of files delay neither detaches nor reads (fault 7).
func TestLimiter_LargeCreatesDelayNoOtherClass(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.call("first", create("vs_1", 2000))
		for i := range 30 {
			f.rateLimit(fmt.Sprint("large", i), create("vs_1", 2000))
		}
		for i := range 10 {
			f.call(fmt.Sprint("detach", i), flowcontrol.Request{Class: flowcontrol.Detach, Requests: 2})
			f.call(fmt.Sprint("read", i), read)
		}
	})
}

// An admission that the caller cannot claim yet is kept while it makes another call, and no longer.
func TestLimiter_AdmissionIsKeptDuringACall(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		f.call("first", create("vs_1", 1))
		f.rateLimit("a", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		advance(55 * time.Second)
		f.admit("a", read)
		advance(25 * time.Second) // admitted after 5 s, and not claimed for 20 s
		f.wantWoken("a")
		f.Report(caller("a"), flowcontrol.Outcome{})
		f.admit("a", create("vs_1", 1))
		f.end("a", flowcontrol.Outcome{})
		advance(time.Minute)
		f.wantWoken("b")
	})
}

// A request replaces what its caller waited for before.
func TestLimiter_RequestIsReplaced(t *testing.T) {
	full := func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }
	for name, test := range map[string]struct {
		connection upstream.Connection
		waiting    flowcontrol.Request
		request    flowcontrol.Request
		woken      []string // once the first one would be admitted
	}{
		"other connection":       {upstream.Connection{APIKey: "other"}, create("vs_1", 1), create("vs_1", 1), nil},
		"other vector store":     {connection, create("vs_1", 1), create("vs_2", 1), nil},
		"cancel":                 {connection, create("vs_1", 1), urgent, nil},
		"detach":                 {connection, create("vs_1", 1), detach, nil},
		"read before the create": {connection, create("vs_1", 1), read, []string{"a"}},
		"read, other connection": {upstream.Connection{APIKey: "other"}, create("vs_1", 1), read, nil},
	} {
		t.Run(name, func(t *testing.T) {
			withLimiter(t, full, func(f *fixture) {
				f.call("first", create("vs_1", 1))
				f.rateLimit("a", test.waiting)
				if a, _ := f.Acquire(caller("a"), test.connection, test.request); a != flowcontrol.Admitted {
					t.Fatalf("admission is %d", a)
				}
				f.Report(caller("a"), flowcontrol.Outcome{})
				f.Release(caller("a"))
				advance(time.Minute)
				f.wantWoken(test.woken...)
			})
		})
	}
}

// A reconciliation keeps its seat for a further call of the same level, and for no other.
func TestLimiter_ContinuesWithItsSeat(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Seats = 1 }, func(f *fixture) {
		f.admit("a", read)
		f.want(flowcontrol.Saturated, "b", read)
		for range 3 {
			f.Report(caller("a"), flowcontrol.Outcome{})
			f.wantWoken()
			f.admit("a", read)
		}
		f.Report(caller("a"), flowcontrol.Outcome{})
		f.want(flowcontrol.Admitted, "a", create("vs_1", 1)) // with a new seat: writes come before reads
		f.want(flowcontrol.Saturated, "c", create("vs_1", 1))
		f.Report(caller("a"), flowcontrol.Outcome{})
		f.want(flowcontrol.Saturated, "a", create("vs_1", 1)) // the seat is for c, which was first
		f.wantWoken("c")
	})
}

func TestLimiter_ContinuesOnItsConnection(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.admit("a", read)
		f.Report(caller("a"), flowcontrol.Outcome{})
		other := upstream.Connection{APIKey: "other"}
		f.Acquire(caller("b"), other, read)
		f.end("b", flowcontrol.Outcome{Refused: true, TooManyRequests: true})
		if a, _ := f.Acquire(caller("a"), other, read); a != flowcontrol.BackedOff {
			t.Errorf("admission is %d, want the back-off of the other connection", a)
		}
	})
}

// A call on another connection takes a seat of that one's share, and not the seat of an ended call.
func TestLimiter_OtherConnectionHasItsOwnSeats(t *testing.T) {
	other := upstream.Connection{APIKey: "other"}
	for seats := 8; seats <= 32; seats++ {
		admitted := func(f *fixture) (n int) {
			for {
				if a, _ := f.Acquire(caller(fmt.Sprint("c", n)), other, read); a != flowcontrol.Admitted {
					return n
				}
				n++
			}
		}
		alone := 0
		limits := func(l *flowcontrol.Limits) { l.Seats = seats }
		withLimiter(t, limits, func(f *fixture) { alone = admitted(f) })
		withLimiter(t, limits, func(f *fixture) {
			f.admit("a", read)
			f.Report(caller("a"), flowcontrol.Outcome{})
			if a, _ := f.Acquire(caller("a"), other, read); a != flowcontrol.Admitted {
				t.Fatalf("%d seats: admission is %d", seats, a)
			}
			if n := admitted(f); n != alone-1 {
				t.Errorf("%d seats: %d more calls have a seat, want %d", seats, n, alone-1)
			}
		})
	}
}

func TestLimiter_ContinuedCallIsInFlight(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.admit("a", read)
		f.Report(caller("a"), flowcontrol.Outcome{})
		f.admit("a", read)
		f.admit("b", read)
		f.end("b", flowcontrol.Outcome{Refused: true, TooManyRequests: true})
		advance(time.Second)
		f.want(flowcontrol.BackedOff, "c", read) // the call of a may tell whether the server still refuses
		f.Report(caller("a"), flowcontrol.Outcome{Unanswered: true})
		f.wantWoken("c")
		f.want(flowcontrol.BackedOff, "a", read) // no call continues during a back-off
	})
}

// drain uses up the tokens of all classes.
func (f *fixture) drain() {
	for _, request := range []flowcontrol.Request{read, detach} {
		for f.acquire("drain", request) == flowcontrol.Admitted {
			f.end("drain", flowcontrol.Outcome{})
		}
		f.Forget(caller("drain"))
	}
}

// TestLimiter_RatesAreShared lets all classes wait all the time, and counts what each is admitted.
// TestLimiter_IdlenessEarnsNothing: creates that begin after a long time of detaches alone get their share, and not
// more.
func TestLimiter_IdlenessEarnsNothing(t *testing.T) {
	change := func(l *flowcontrol.Limits) { l.RequestsPerSecond, l.CreatesPerWindow, l.FilesPerWindow = 10, 1e6, 1e6 }
	withLimiter(t, change, func(f *fixture) {
		f.drain()
		run := func(requests ...flowcontrol.Request) []int { // returns the requests of each in 20 s
			got := make([]int, len(requests))
			for range 2000 {
				for i, request := range requests {
					key := fmt.Sprint("waits-", request.Class)
					for f.acquire(key, request) == flowcontrol.Admitted {
						got[i]++
						f.end(key, flowcontrol.Outcome{})
					}
				}
				advance(10 * time.Millisecond)
			}
			return got
		}
		if alone := run(detach); alone[0] < 180 {
			t.Fatalf("%d detaches alone, want about 200", alone[0])
		}
		if both := run(detach, create("vs_1", 1)); both[0] < 80 || both[1] < 80 {
			t.Errorf("%d detaches and %d creates, want about 100 each", both[0], both[1])
		}
	})
}

// TestLimiters_IdleNamespaceEarnsNoFiles: a namespace that begins after another one has attached files for a long time
// gets its share of the limit of files, and not more.
func TestLimiters_IdleNamespaceEarnsNoFiles(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 100 }, func(f *fixture) {
		run := func(namespaces ...string) []int { // returns the creates of each in 10 minutes
			got := make([]int, len(namespaces))
			for range 600 {
				for i, namespace := range namespaces {
					for object := range 20 {
						key := fmt.Sprint(namespace, "/waits-", object)
						if f.acquire(key, create("vs_"+namespace, 10)) == flowcontrol.Admitted {
							got[i]++
							f.end(key, flowcontrol.Outcome{})
						}
					}
				}
				advance(time.Second)
			}
			return got
		}
		if alone := run("a"); alone[0] < 90 {
			t.Fatalf("%d creates alone, want about 100", alone[0])
		}
		if both := run("a", "b"); both[0] < 40 || both[1] < 40 {
			t.Errorf("%d and %d creates, want about 50 each", both[0], both[1])
		}
	})
}

func TestLimiter_RatesAreShared(t *testing.T) {
	for name, test := range map[string]struct {
		requests []flowcontrol.Request
		want     []int // requests in 100 s, of 1000
	}{
		"reads alone":                  {[]flowcontrol.Request{read}, []int{1000}},
		"detaches alone":               {[]flowcontrol.Request{detach}, []int{1000}},
		"reads and detaches":           {[]flowcontrol.Request{read, detach}, []int{200, 800}},
		"reads, creates, and detaches": {[]flowcontrol.Request{read, detach, create("vs_1", 1)}, []int{200, 400, 400}},
		"25 requests in each detach":   {[]flowcontrol.Request{read, {Class: flowcontrol.Detach, Requests: 25}, create("vs_1", 1)}, []int{200, 400, 400}},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(l *flowcontrol.Limits) { l.RequestsPerSecond, l.CreatesPerWindow, l.FilesPerWindow = 10, 1e6, 1e6 }
			withLimiter(t, change, func(f *fixture) {
				f.drain()
				got := make([]int, len(test.requests))
				for range 10_000 {
					for i, request := range test.requests {
						key := fmt.Sprint("waits-", request.Class)
						for f.acquire(key, request) == flowcontrol.Admitted {
							got[i] += request.Requests
							f.end(key, flowcontrol.Outcome{})
						}
					}
					advance(10 * time.Millisecond)
				}
				for i, want := range test.want {
					if got[i] < want*9/10 || got[i] > want*11/10+25 {
						t.Errorf("class %d made %d requests in 100 s, want about %d", test.requests[i].Class, got[i], want)
					}
				}
			})
		})
	}
}

func TestLimits_WithWorkers(t *testing.T) {
	for workers, want := range map[int]int{1: 1, 2: 1, 4: 3, 8: 7, 16: 14, 32: 28, 64: 56} {
		if got := (flowcontrol.Limits{}).WithWorkers(workers).Seats; got != want {
			t.Errorf("%d workers have %d seats, want %d", workers, got, want)
		}
	}
}

// After a pause, a level can send its own burst, and half of that of the other one.
func TestLimiter_Bursts(t *testing.T) {
	for name, test := range map[string]struct {
		request flowcontrol.Request
		want    int
	}{"reads": {read, 4 + 8}, "detaches": {detach, 16 + 2}} {
		t.Run(name, func(t *testing.T) {
			withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(f *fixture) {
				n := 0
				for f.acquire("a", test.request) == flowcontrol.Admitted {
					f.end("a", flowcontrol.Outcome{})
					n++
				}
				if n != test.want {
					t.Errorf("%d calls are admitted at once, want %d", n, test.want)
				}
			})
		})
	}
}

// However many urgent calls there are, writes keep two fifths of the rate.
func TestLimiter_UrgentCallsLeaveWritesTheirShare(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(f *fixture) {
		f.drain()
		detaches := 0
		for range 10_000 {
			f.call("cancel", urgent)
			for f.acquire("detach", detach) == flowcontrol.Admitted {
				f.end("detach", flowcontrol.Outcome{})
				detaches++
			}
			advance(10 * time.Millisecond)
		}
		if detaches < 550 || detaches > 650 { // 400, and 200 that no read uses
			t.Errorf("%d detaches in 100 s beside 10,000 cancels, want about 600", detaches)
		}
	})
}

// Urgent calls take no token that they would have to wait for, and leave the others theirs.
func TestLimiter_UrgentCallsDoNotWait(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(f *fixture) {
		f.drain()
		for i := range 10_000 {
			f.call(fmt.Sprint("cancel", i), urgent)
		}
		f.rateLimit("read", read)
		f.rateLimit("detach", detach)
		advance(500 * time.Millisecond)
		f.wantWoken("read")
		advance(time.Second)
		f.wantWoken("detach")
	})
}

func TestLimiter_BackoffHoldsOneClass(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.admit("a", create("vs_1", 1))
		f.admit("b", create("vs_1", 1))
		f.end("a", flowcontrol.Outcome{Refused: true, TooManyRequests: true, RetryAfter: 20 * time.Second})
		f.end("b", flowcontrol.Outcome{}) // was sent before the back-off
		f.want(flowcontrol.BackedOff, "c", create("vs_1", 1))
		f.want(flowcontrol.BackedOff, "d", create("vs_2", 1))
		for _, request := range []flowcontrol.Request{read, detach, urgent} {
			f.call("e", request)
		}
		advance(20*time.Second - 1)
		f.wantWoken()
		advance(1)
		f.wantWoken("c") // one call finds out
		f.admit("c", create("vs_1", 1))
		f.want(flowcontrol.BackedOff, "d", create("vs_2", 1))
		f.end("c", flowcontrol.Outcome{})
		f.wantWoken("d")
	})
}

// TestLimiter_ForgottenCallerIsDropped: nothing is kept of a caller without a call, and that of one with a call is.
func TestLimiter_ForgottenCallerIsDropped(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		f.Forget(caller("a"))
		if n := f.Callers(); n != 0 {
			t.Errorf("%d callers after the only one was forgotten", n)
		}
		f.want(flowcontrol.RateLimited, "b", create("vs_1", 1))
		f.Release(caller("b"))
		if n := f.Callers(); n != 1 {
			t.Errorf("%d callers while one waits", n)
		}
		f.Forget(caller("b"))
		if n := f.Callers(); n != 0 {
			t.Errorf("%d callers after both were forgotten", n)
		}
	})
}

func TestLimiter_BackoffDoubles(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		refused := flowcontrol.Outcome{Refused: true, TooManyRequests: true, RetryAfter: time.Second}
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			f.admit("a", create("vs_1", 1))
			f.end("a", refused)
			f.call("b", read) // the success of another class changes nothing
			f.want(flowcontrol.BackedOff, "a", create("vs_1", 1))
			advance(time.Duration(seconds)*time.Second - 1)
			f.wantWoken()
			advance(1)
			f.wantWoken("a")
		}
		f.call("a", create("vs_1", 1))
		f.admit("a", create("vs_1", 1))
		f.end("a", refused)
		f.want(flowcontrol.BackedOff, "a", create("vs_1", 1))
		advance(time.Second)
		f.wantWoken("a")
	})
}

// Some servers send a Retry-After of a day because of a limit per minute (fault 9).
func TestLimiter_LongRetryAfterIsProbed(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.admit("a", read)
		f.end("a", flowcontrol.Outcome{Refused: true, TooManyRequests: true, RetryAfter: 24 * time.Hour})
		admission, until := f.Acquire(caller("a"), connection, read)
		if want := time.Now().Add(24 * time.Hour); admission != flowcontrol.BackedOff || !until.Equal(want) {
			t.Errorf("%d until %s, want %d until %s", admission, until, flowcontrol.BackedOff, want)
		}
		f.want(flowcontrol.BackedOff, "b", read)
		advance(5 * time.Minute)
		f.wantWoken("a")
		f.call("a", read)
		f.wantWoken("b")
	})
}

func TestLimiter_AdmissionEndsWithARefusal(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Seats = 1 }, func(f *fixture) {
		f.admit("a", read)
		f.want(flowcontrol.Saturated, "b", read)
		f.end("a", flowcontrol.Outcome{})
		f.wantWoken("b")
		f.Release(caller("a"))
	})
	withLimiter(t, defaults, func(f *fixture) {
		f.drain()
		f.admit("in flight", urgent)
		f.rateLimit("b", read)
		advance(time.Second)
		f.wantWoken("b")
		f.admit("c", read)
		f.end("c", flowcontrol.Outcome{Refused: true, TooManyRequests: true})
		f.want(flowcontrol.BackedOff, "b", read)
	})
}

// hang makes as many calls as are admitted, which do not end.
func (f *fixture) hang(namespace string, request flowcontrol.Request, connections int) (admitted int) {
	for i := range 700 {
		c := upstream.Connection{APIKey: fmt.Sprint(namespace, i%connections)}
		if a, _ := f.Acquire(caller(fmt.Sprint(namespace, "/", i)), c, request); a == flowcontrol.Admitted {
			admitted++
		}
	}
	return admitted
}

// No number of calls of one namespace that hang delays a call of another one, at any level (faults 1
// and 3).
func TestLimiters_HangingNamespaceDelaysNoOther(t *testing.T) {
	for name, request := range map[string]flowcontrol.Request{"cancels": urgent, "creates": create("vs_1", 1), "detaches": detach, "reads": read} {
		for _, connections := range []int{1, 500} {
			t.Run(fmt.Sprint(name, " on ", connections), func(t *testing.T) {
				withLimiter(t, defaults, func(f *fixture) {
					// 42 of the 56 seats are not reserved for other levels. A namespace leaves as many as it
					// takes, and a connection a third more.
					if n, want := f.hang("hangs", request, connections), map[int]int{1: 18, 500: 21}[connections]; n != want {
						t.Errorf("%d calls are in flight, want %d", n, want)
					}
					for i := range 3 {
						f.hang(fmt.Sprint("hangs", i), request, connections)
					}
					for _, other := range []flowcontrol.Request{urgent, create("vs_2", 1), detach, read} {
						f.call("other/object", other)
					}
				})
			})
		}
	}
}

func TestLimiters_ConnectionLeavesSeatsToItsNamespace(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.hang("default", read, 1)
		f.call("other", read)
	})
}

func TestLimiters_LevelsLeaveSeatsToEachOther(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { *l = l.WithWorkers(32) }, func(f *fixture) {
		for i := range 100 {
			f.hang(fmt.Sprint("hangs", i), urgent, 1)
		}
		f.call("other", read)
		f.call("other", detach)
		f.want(flowcontrol.Saturated, "other", urgent)
	})
}

// TestLimiters_FewSeats: each level has a seat of its own as soon as there are as many.
func TestLimiters_FewSeats(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Seats = 3 }, func(f *fixture) {
		f.admit("a/1", read)
		f.want(flowcontrol.Saturated, "b/1", read)
		f.admit("c/1", urgent)
		f.admit("d/1", detach)
	})
	withLimiter(t, func(l *flowcontrol.Limits) { l.Seats = 2 }, func(f *fixture) {
		f.admit("a/1", read)
		f.admit("b/1", read)
		f.want(flowcontrol.Saturated, "c/1", urgent)
	})
}

// What one namespace leaves of the reserved seats of a level stays reserved, however many seats of the other levels it
// holds: a call of another namespace finds one when the other levels are full.
func TestLimiters_OtherLevelsLeaveReservedSeats(t *testing.T) {
	all := []flowcontrol.Request{urgent, detach, read}
	for level, request := range all {
		withLimiter(t, defaults, func(f *fixture) {
			for i := range 10 { // calls that have ended do not count
				f.call(fmt.Sprint("ended-", i, "/1"), request)
			}
			f.hang("hangs", request, 500)
			for i := range 100 {
				for other := range all {
					if other != level {
						f.hang(fmt.Sprint("others-", other, "-", i), all[other], 1)
					}
				}
			}
			for other := range all {
				if other != level {
					f.want(flowcontrol.Saturated, fmt.Sprint("full-", other), all[other])
				}
			}
			// Of the 7 seats of the level, the first namespace leaves 3, the second 1, and the third none.
			// The last of these seats is for the other levels, at once.
			before := f.wokenCount()
			f.admit("second/1", request)
			if got := f.wokenCount() - before; got != 1 {
				t.Errorf("level %d: %d calls of other levels were woken, want 1", level, got)
			}
			f.admit("third/1", request)
			f.want(flowcontrol.Saturated, "fourth/1", request)
		})
	}
}

// The next seat is for the namespace with the fewest.
func TestLimiters_SeatsAreSharedFairly(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Seats = 2 }, func(f *fixture) {
		f.admit("a/1", read)
		for _, key := range []string{"a/2", "a/3", "a/4"} {
			f.want(flowcontrol.Saturated, key, read)
		}
		f.admit("b/1", read)
		f.want(flowcontrol.Saturated, "c/1", read)
		f.end("a/1", flowcontrol.Outcome{})
		f.wantWoken("1") // of namespace c
		f.end("b/1", flowcontrol.Outcome{})
		f.wantWoken("2")
	})
}

func TestLimiter_NamespacesShareAConnectionFairly(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.call("a/0", create("vs_1", 2000))
		for i := range 5 {
			f.rateLimit(fmt.Sprint("a/a", i), create("vs_1", 2000))
		}
		f.rateLimit("b/b", create("vs_2", 1000))
		f.rateLimit("b/c", create("vs_2", 1000))
		advance(time.Minute)
		f.wantWoken("b", "c")
		f.call("b/b", create("vs_2", 1000))
		f.call("b/c", create("vs_2", 1000))
		advance(time.Minute)
		f.wantWoken("a0")
	})
}

// The limit of files is one of the organization, if the server reports it (fault 10).
func TestLimiters_OrganizationSharesFiles(t *testing.T) {
	team := func(key string) upstream.Connection { return upstream.Connection{APIKey: key} }
	reported := flowcontrol.Outcome{Organization: "org"}
	withLimiter(t, defaults, func(f *fixture) {
		for _, key := range []string{"key-1", "key-2"} {
			if a, _ := f.Acquire(caller(key), team(key), create("vs_1", 900)); a != flowcontrol.Admitted {
				t.Fatal("not admitted")
			}
			f.end(key, reported)
		}
		a, _ := f.Acquire(caller("a"), team("key-1"), create("vs_1", 201))
		b, _ := f.Acquire(caller("b"), team("key-2"), create("vs_1", 100))
		if a != flowcontrol.RateLimited || b != flowcontrol.RateLimited {
			t.Errorf("admissions are %d and %d, and the organization has 200 files left", a, b)
		}
		// Another server can claim the name, and another organization has its own limit.
		other := upstream.Connection{APIKey: "key-1", BaseURL: "https://other"}
		for range 2 {
			if a, _ := f.Acquire(caller("c"), other, create("vs_1", 900)); a != flowcontrol.Admitted {
				t.Error("the server's name is not part of the organization")
			}
			f.end("c", reported)
		}
		advance(time.Minute)
		f.wantWoken("a", "b")
	})
}

// The server counts what was attached with the key that was replaced (fault 10).
func TestLimiters_RotatedKeySharesFiles(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		rotated := upstream.Connection{APIKey: "rotated"}
		f.call("a", create("vs_1", 1900))
		f.Rotate(connection, rotated)
		if a, _ := f.Acquire(caller("b"), rotated, create("vs_1", 101)); a != flowcontrol.RateLimited {
			t.Errorf("admission is %d, and 100 files are left", a)
		}
		// What is known of a key stays.
		other := upstream.Connection{APIKey: "other"}
		f.Acquire(caller("c"), other, read)
		f.Rotate(connection, other)
		if a, _ := f.Acquire(caller("d"), other, create("vs_1", 2000)); a != flowcontrol.Admitted {
			t.Errorf("admission is %d, and the other key has attached nothing", a)
		}
		advance(time.Minute)
		f.wantWoken("b")
	})
}

func TestLimiters_OnePerConnection(t *testing.T) {
	first := upstream.Connection{APIKey: "key", BaseURL: "https://example.com/v1"}
	for name, test := range map[string]struct {
		connection upstream.Connection
		same       bool
	}{
		"slash":        {upstream.Connection{APIKey: "key", BaseURL: "https://example.com/v1/"}, true},
		"capitals":     {upstream.Connection{APIKey: "key", BaseURL: "HTTPS://EXAMPLE.com./v1"}, true},
		"port":         {upstream.Connection{APIKey: "key", BaseURL: "https://example.com:443/v1"}, true},
		"spaces":       {upstream.Connection{APIKey: "key\n", BaseURL: " https://example.com/v1"}, true},
		"CA":           {upstream.Connection{APIKey: "key", BaseURL: "https://example.com/v1", CABundle: "-"}, true},
		"key":          {upstream.Connection{APIKey: "key2", BaseURL: "https://example.com/v1"}, false},
		"organization": {upstream.Connection{APIKey: "key", BaseURL: "https://example.com/v1", Organization: "o"}, false},
		"project":      {upstream.Connection{APIKey: "key", BaseURL: "https://example.com/v1", Project: "p"}, false},
		"host":         {upstream.Connection{APIKey: "key", BaseURL: "https://www.example.com/v1"}, false},
		"other port":   {upstream.Connection{APIKey: "key", BaseURL: "https://example.com:444/v1"}, false},
		"path":         {upstream.Connection{APIKey: "key", BaseURL: "https://example.com/v2"}, false},
		"case of path": {upstream.Connection{APIKey: "key", BaseURL: "https://example.com/V1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			withLimiter(t, defaults, func(f *fixture) {
				f.Acquire(caller("a"), first, create("vs_1", 2000))
				admission, _ := f.Acquire(caller("b"), test.connection, create("vs_1", 1))
				if same := admission == flowcontrol.RateLimited; same != test.same {
					t.Errorf("admission is %d, want the same limits: %t", admission, test.same)
				}
			})
		})
	}
}
