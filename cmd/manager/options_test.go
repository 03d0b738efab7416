// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"strings"
	"testing"
)

// parse returns the options of a command line.
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

func TestDefaultOptions(t *testing.T) {
	o := parse(t)
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	if o.limits.CreatesPerWindow != 300 || o.limits.FilesPerWindow != 2000 || o.limits.Window.Minutes() != 1 {
		t.Errorf("limits = %+v, want the documented ones", o.limits)
	}
	if o.pprofAddress != "0" {
		t.Errorf("pprofAddress = %q, want it disabled", o.pprofAddress)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]bool{ // whether it is valid
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
		"--rate-limit-window=3s":              true,
		"--rate-limit-window=0s":              false,
		"--leader-election-id=shard-1.team":   true,
		"--leader-election-id=":               false,
		"--leader-election-id=Shard_1":        false,
		"--concurrency=1":                     true,
		"--concurrency=0":                     false,
	}
	for arg, valid := range tests {
		t.Run(arg, func(t *testing.T) {
			err := parse(t, arg).validate()
			if (err == nil) != valid {
				t.Fatalf("validate() = %v", err)
			}
			name, _, _ := strings.Cut(arg, "=")
			if !valid && !strings.Contains(err.Error(), name) {
				t.Errorf("%v does not name %s", err, name)
			}
		})
	}
}

func TestValidateLogLevel(t *testing.T) {
	for level, valid := range map[string]bool{
		"": true, "info": true, "debug": true, "error": true, "0": true, "1": true, "5": true,
		"6": false, "+6": false, "008": false, "8": false, "9": false, "10": false, "127": false, "264": false,
	} {
		if err := validateLogLevel(level); (err == nil) != valid {
			t.Errorf("--zap-log-level=%s: %v", level, err)
		}
	}
}
