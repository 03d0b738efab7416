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
			limiter := flowcontrol.New(limits, clock.RealClock{}, func(int, flowcontrol.Class) {}).For(connection)
			for key := range waiting + limits.FilesPerWindow {
				if request := create(fmt.Sprint("vs_", key%1000), 1); limiter.Acquire(key, request) == flowcontrol.Admitted {
					limiter.Release(key, flowcontrol.Outcome{})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if limiter.Acquire(-1, read) != flowcontrol.Admitted {
					b.Fatal("not admitted")
				}
				limiter.Release(-1, flowcontrol.Outcome{})
			}
		})
	}
}
