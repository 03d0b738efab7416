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

// BenchmarkTurn is a call that need not wait, beside so many that do.
func BenchmarkTurn(b *testing.B) {
	for _, waiting := range []int{0, 1000, 50_000} {
		b.Run(fmt.Sprint(waiting, "-waiting"), func(b *testing.B) {
			limits := flowcontrol.DefaultLimits()
			limits.RequestsPerSecond, limits.Window = 1e6, time.Hour
			pace := flowcontrol.New(limits, clock.RealClock{}, func(int, flowcontrol.Class) {}).For(connection)
			for key := range waiting + limits.FilesPerWindow {
				if call := create(fmt.Sprint("vs_", key%1000), 1); pace.Acquire(key, call) == flowcontrol.Admitted {
					pace.Release(key, flowcontrol.Outcome{})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if pace.Acquire(-1, read) != flowcontrol.Admitted {
					b.Fatal("it has to wait")
				}
				pace.Release(-1, flowcontrol.Outcome{})
			}
		})
	}
}
