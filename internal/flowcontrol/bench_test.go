// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
)

// BenchmarkAcquire measures a call that is admitted immediately, with a number of waiting callers.
func BenchmarkAcquire(b *testing.B) {
	for _, waiting := range []int{0, 1000, 50_000} {
		b.Run(fmt.Sprint(waiting, "-waiting"), func(b *testing.B) {
			limits := flowcontrol.DefaultLimits()
			limits.RequestsPerSecond, limits.Window = 1e6, time.Hour
			limiters := flowcontrol.New(limits, clock.RealClock{}, func(flowcontrol.Caller, flowcontrol.Class) {})
			call := func(who flowcontrol.Caller, request flowcontrol.Request) bool {
				admission, _ := limiters.Acquire(who, connection, request)
				limiters.Report(who, flowcontrol.Outcome{})
				limiters.Release(who)
				return admission == flowcontrol.Admitted
			}
			for key := range waiting + limits.FilesPerWindow {
				call(caller(fmt.Sprint(key)), create(fmt.Sprint("vs_", key%1000), 1))
			}
			who := caller("read")
			b.ReportAllocs()
			for b.Loop() {
				if !call(who, read) {
					b.Fatal("not admitted")
				}
			}
		})
	}
}
