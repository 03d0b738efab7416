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

// usage is what a process has used so far.
type usage struct {
	// processor is its time in user and system mode, counted in hundredths of a second.
	processor time.Duration
	// resident is its memory, peak the most that it ever was, and file the part of resident that
	// is pages of the program's file, which the system can take away again; all in bytes.
	resident, peak, file int64
}

// tick is the unit of /proc/PID/stat, the same on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// usage reads what the process has used.
func (p *process) usage() (usage, error) {
	folder := filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid))
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("reading the processor time, which takes a Linux: %w", err)
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
	// The second field is the program's name in parentheses, and may hold anything.
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
		u.processor += time.Duration(ticks) * tick
	}
	for name, into := range map[string]*int64{"VmRSS": &u.resident, "VmHWM": &u.peak, "RssFile": &u.file} {
		if *into, err = statusBytes(status, name); err != nil {
			return u, err
		}
	}
	return u, nil
}

// statusBytes reads a line such as "VmRSS:     1234 kB".
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
