// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is the resource usage of a process so far.
type usage struct {
	// cpu is its CPU time in user and system mode, with a resolution of 10 ms.
	cpu time.Duration
	// resident is its memory, peak its maximum, and file the part of resident that is backed by the
	// program's file and that the system can reclaim; all in bytes.
	resident, peak, file int64
}

// tick is the unit of /proc/PID/stat, the same on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// usage returns the resource usage of the manager.
func (m *manager) usage() (usage, error) {
	folder := filepath.Join("/proc", strconv.Itoa(m.ID()))
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("reading the CPU time, which requires Linux: %w", err)
	}
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		return usage{}, fmt.Errorf("reading the memory: %w", err)
	}
	u, err := parseUsage(string(stat), string(status))
	if err != nil {
		return usage{}, fmt.Errorf("reading %s: %w", folder, err)
	}
	return u, nil
}

func parseUsage(stat, status string) (u usage, err error) {
	// The second field is the program's name in parentheses, which may contain any character.
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	const user, system = 11, 12
	if len(fields) <= system {
		return u, fmt.Errorf("stat has %d fields after the name", len(fields))
	}
	for _, i := range []int{user, system} {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return u, fmt.Errorf("reading stat: %w", err)
		}
		u.cpu += time.Duration(ticks) * tick
	}
	for name, into := range map[string]*int64{"VmRSS": &u.resident, "VmHWM": &u.peak, "RssFile": &u.file} {
		if *into, err = statusBytes(status, name); err != nil {
			return u, err
		}
	}
	return u, nil
}

// statusBytes parses a line such as "VmRSS:     1234 kB".
func statusBytes(status, name string) (int64, error) {
	_, rest, found := strings.Cut(status, name+":")
	if !found {
		return 0, fmt.Errorf("status has no %s", name)
	}
	line, _, _ := strings.Cut(rest, "\n")
	kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", name, err)
	}
	return kib << 10, nil
}
