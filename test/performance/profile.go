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

// profileTime is the duration of a profile in a round of a comparison.
const profileTime = 5 * time.Second

// keepProfile starts a CPU profile, if profiles are wanted and available. The function that it returns
// waits for its end.
func (s *fixture) keepProfile(ctx context.Context, name string, d time.Duration) func() error {
	if !s.profiles || s.manager.profileURL == "" {
		return func() error { return nil }
	}
	kept := make(chan error, 1)
	url := s.manager.profileURL + fmt.Sprintf("profile?seconds=%d", max(1, int(d.Seconds())))
	go func() { kept <- s.keep(ctx, url, name) }()
	return func() error { return <-kept }
}

// keepHeap stores a heap profile after a garbage collection.
func (s *fixture) keepHeap(ctx context.Context, name string) error {
	if !s.profiles || s.manager.profileURL == "" {
		return nil
	}
	return s.keep(ctx, s.manager.profileURL+"heap?gc=1", name)
}

// keep writes a profile into the folder, named after the scenario.
func (s *fixture) keep(ctx context.Context, url, name string) error {
	profile, err := fetch(ctx, http.DefaultClient, url)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.folder, s.report.current.name+"-"+name+".pprof"), profile, 0o600)
	}
	if err != nil {
		return fmt.Errorf("storing the profile %s: %w", name, errors.Join(err, s.manager.Err()))
	}
	return nil
}
