// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profileTime is for how long the manager is profiled in the rounds of a race.
const profileTime = 5 * time.Second

// keepProfile begins a profile of the processor's time, where profiles are wanted and to be had.
// The function that it gives waits for its end.
func (s *stand) keepProfile(ctx context.Context, name string, d time.Duration) func() error {
	if !s.profiles || s.manager.profileURL == "" {
		return func() error { return nil }
	}
	kept := make(chan error, 1)
	url := s.manager.profileURL + fmt.Sprintf("profile?seconds=%d", max(1, int(d.Seconds())))
	go func() { kept <- s.keep(ctx, url, name) }()
	return func() error { return <-kept }
}

// keepHeap keeps a profile of what the manager's memory holds after a collection of garbage.
func (s *stand) keepHeap(ctx context.Context, name string) error {
	if !s.profiles || s.manager.profileURL == "" {
		return nil
	}
	return s.keep(ctx, s.manager.profileURL+"heap?gc=1", name)
}

// keep writes a profile into the folder, named after the scenario.
func (s *stand) keep(ctx context.Context, url, name string) error {
	profile, err := fetch(ctx, http.DefaultClient, url)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.folder, s.report.current.name+"-"+name+".pprof"), profile, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping the profile %s: %w", name, errors.Join(err, s.manager.died()))
	}
	return nil
}
