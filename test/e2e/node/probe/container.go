// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	cgroups = "/sys/fs/cgroup"
	// squeezeInterval is the time between two reductions of the limit.
	squeezeInterval = 20 * time.Millisecond
)

// process is the first process of a container.
type process struct {
	id int
	// cgroup is the content of its file cgroup in /proc.
	cgroup string
}

// find returns the process of a container, whose control group has the name of the container.
func find(container string) (process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return process{}, fmt.Errorf("listing processes: %w", err)
	}
	for _, path := range paths {
		cgroup, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(cgroup), container) {
			continue // it has exited, or belongs to another container
		}
		id, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			return process{}, fmt.Errorf("reading a process ID: %w", err)
		}
		return process{id: id, cgroup: string(cgroup)}, nil
	}
	return process{}, fmt.Errorf("none of %d processes belongs to container %s", len(paths), container)
}

func kill(container string, stdout io.Writer) error {
	p, err := find(container)
	if err != nil {
		return err
	}
	if err := syscall.Kill(p.id, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing process %d: %w", p.id, err)
	}
	_, err = fmt.Fprintln(stdout, "killed", p.id)
	return err
}

// squeeze lowers the memory limit of a container below what it uses, until the kernel kills it.
func squeeze(ctx context.Context, container string, stdout io.Writer) error {
	p, err := find(container)
	if err != nil {
		return err
	}
	limit, usage, err := p.memory()
	if err != nil {
		return err
	}
	ticker := time.NewTicker(squeezeInterval)
	defer ticker.Stop()
	last := ""
	for {
		if err := syscall.Kill(p.id, 0); errors.Is(err, syscall.ESRCH) {
			_, err := fmt.Fprintln(stdout, "killed", p.id, "which used", last)
			return err
		}
		used, err := lower(limit, usage)
		if used > 0 {
			last = strconv.FormatInt(used, 10)
		}
		if err != nil && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("lowering the memory limit: %w", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d still runs, and uses %s bytes", p.id, last)
		}
	}
}

// memory returns the files with the memory limit and the memory usage of a process, in either version of
// control groups.
func (p process) memory() (limit, usage string, err error) {
	for line := range strings.Lines(p.cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) == 3 && parts[1] == "memory":
			folder := filepath.Join(cgroups, "memory", parts[2])
			return filepath.Join(folder, "memory.limit_in_bytes"), filepath.Join(folder, "memory.usage_in_bytes"), nil
		case len(parts) == 3 && parts[0] == "0":
			folder := filepath.Join(cgroups, parts[2])
			return filepath.Join(folder, "memory.max"), filepath.Join(folder, "memory.current"), nil
		}
	}
	return "", "", fmt.Errorf("process %d is in no control group for memory: %s", p.id, p.cgroup)
}

// lower sets the limit as far below the usage as the kernel accepts, and returns the usage. The kernel first
// reclaims pages of files, and kills the process when there are none left.
func lower(limit, usage string) (int64, error) {
	content, err := os.ReadFile(usage)
	if err != nil {
		return 0, err
	}
	used, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return 0, err
	}
	for _, eighths := range []int64{4, 6, 7, 8} {
		err = os.WriteFile(limit, []byte(strconv.FormatInt(used*eighths/8, 10)), 0)
		if !errors.Is(err, syscall.EBUSY) {
			break
		}
	}
	return used, err
}
