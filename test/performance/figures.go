// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// quantile returns the smallest value that is at least as large as a fraction q of all values.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// slope returns the exponent with which y grows with x, by least squares of the logarithms: 0 if y is
// constant, 1 if it is proportional to x.
func slope(x, y []float64) float64 {
	n := float64(len(x))
	var sumX, sumY, sumXX, sumXY float64
	for i := range x {
		lx, ly := math.Log10(x[i]), math.Log10(y[i])
		sumX, sumY, sumXX, sumXY = sumX+lx, sumY+ly, sumXX+lx*lx, sumXY+lx*ly
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}

// thousands formats a number with thousands separators.
func thousands(n int) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	digits := fmt.Sprint(n)
	var parts []string
	for len(digits) > 3 {
		parts = append(parts, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	parts = append(parts, digits)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func kibibytes(bytes float64) string { return fmt.Sprintf("%.2f KiB", bytes/(1<<10)) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// microseconds returns the average duration of n operations.
func microseconds(all time.Duration, n int) float64 {
	return float64(all) / float64(max(n, 1)) / float64(time.Microsecond)
}
