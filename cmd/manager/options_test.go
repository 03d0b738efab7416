// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"strings"
	"testing"
)

// parse gives the options of a command line.
func parse(t *testing.T, args ...string) *options {
	t.Helper()
	o := defaultOptions()
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	o.bind(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestDefaultsAreTheDocumentedLimits(t *testing.T) {
	o := parse(t)
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	if o.limits.CreatesPerWindow != 300 || o.limits.FilesPerWindow != 2000 || o.limits.Window.Minutes() != 1 {
		t.Errorf("the limits are %+v", o.limits)
	}
	if o.pprofAddress != "0" {
		t.Errorf("profiles are served at %s by default", o.pprofAddress)
	}
}

func TestFlagsThatCannotWorkAreRefusedByName(t *testing.T) {
	tests := map[string]bool{ // whether it is taken
		"--pprof-bind-address=127.0.0.1:6060": true,
		"--pprof-bind-address=[::1]:6060":     true,
		"--pprof-bind-address=localhost:6060": true,
		"--pprof-bind-address=0":              true,
		"--pprof-bind-address=:6060":          false,
		"--pprof-bind-address=0.0.0.0:6060":   false,
		"--pprof-bind-address=10.0.0.1:6060":  false,
		"--pprof-bind-address=127.0.0.1":      false,
		"--pprof-bind-address=":               false,
		"--requests-per-second=0.5":           true,
		"--requests-per-second=0":             false,
		"--requests-per-second=-1":            false,
		"--requests-per-second=NaN":           false,
		"--requests-per-second=Inf":           false,
		"--creates-per-minute=1":              true,
		"--creates-per-minute=0":              false,
		"--files-per-minute=0":                false,
		"--limits-minute=3s":                  true,
		"--limits-minute=0s":                  false,
		"--concurrency=1":                     true,
		"--concurrency=0":                     false,
	}
	for arg, taken := range tests {
		t.Run(arg, func(t *testing.T) {
			err := parse(t, arg).validate()
			if (err == nil) != taken {
				t.Fatalf("got %v", err)
			}
			name, _, _ := strings.Cut(arg, "=")
			if !taken && !strings.Contains(err.Error(), name) {
				t.Errorf("%v does not name %s", err, name)
			}
		})
	}
}
