// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package budget_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/budget"
)

// BenchmarkTurn is a call that need not wait, beside so many that do.
func BenchmarkTurn(b *testing.B) {
	for _, waiting := range []int{0, 1000, 50_000} {
		b.Run(fmt.Sprint(waiting, "-waiting"), func(b *testing.B) {
			limits := budget.DefaultLimits()
			limits.RequestsPerSecond, limits.Window = 1e6, time.Hour
			pace := budget.New(limits, clock.RealClock{}, func(int, budget.Class) {}).Of(connection)
			for who := range waiting + limits.FilesPerWindow {
				if call := create(fmt.Sprint("vs_", who%1000), 1); pace.Ask(who, call) == budget.Granted {
					pace.Done(who, budget.Outcome{})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if pace.Ask(-1, look) != budget.Granted {
					b.Fatal("it has to wait")
				}
				pace.Done(-1, budget.Outcome{})
			}
		})
	}
}
