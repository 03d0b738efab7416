// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// startTimeout bounds the start and the setup of a suite.
const startTimeout = 3 * time.Minute

// Suite describes the TestMain of a package that runs its tests against one Env.
type Suite struct {
	Options
	// Setup prepares more, if it is set.
	Setup func(context.Context, *Env) error
	// Teardown undoes Setup, even if that failed, and may check what the tests left. It runs before
	// the Env stops.
	Teardown func(context.Context) error
	// Parallel is the number of tests that run at a time unless -parallel is set. Tests mostly wait.
	Parallel int
	// SkipShort skips the package under -short.
	SkipShort bool
}

// Run starts the Env and stores it in env, runs the tests, and stops the Env. It returns the exit
// code.
func (s Suite) Run(m *testing.M, env **Env) int {
	flag.Parse()
	if s.SkipShort && testing.Short() {
		fmt.Fprintln(os.Stderr, "skipped because of -short")
		return 0
	}
	s.setParallel()
	log.SetLogger(logr.Discard())
	code := 1
	err := s.start(env)
	if err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, s.stop(*env)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func (s Suite) setParallel() {
	isSet := s.Parallel == 0
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if isSet {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(s.Parallel)); err != nil {
		panic(err)
	}
}

func (s Suite) start(env **Env) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var err error
	if *env, err = Start(ctx, s.Options); err != nil || s.Setup == nil {
		return err
	}
	return s.Setup(ctx, *env)
}

func (s Suite) stop(env *Env) error {
	if env == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	var err error
	if s.Teardown != nil {
		err = s.Teardown(ctx)
	}
	return errors.Join(err, env.Stop())
}
