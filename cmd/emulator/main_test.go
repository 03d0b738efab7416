// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFlagsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string // part of the error; empty: none
	}{
		"nothing":            {nil, ""},
		"IPv6 loopback":      {[]string{"--addr", "[::1]:0"}, ""},
		"localhost":          {[]string{"--addr", "localhost:0"}, ""},
		"every interface":    {[]string{"--addr", ":8787"}, "can be reached by other machines"},
		"other address":      {[]string{"--addr", "192.0.2.1:8787"}, "can be reached by other machines"},
		"other name":         {[]string{"--addr", "example.com:8787"}, "can be reached by other machines"},
		"remote, as allowed": {[]string{"--addr", ":8787", "--allow-remote"}, ""},
		"no port":            {[]string{"--addr", "127.0.0.1"}, "reading --addr"},
		"store":              {[]string{"--store", "vs_1", "--store", "vs_2"}, ""},
		"store of no prefix": {[]string{"--store", "demo"}, "does not begin with vs_"},
		"argument":           {[]string{"start"}, "unexpected argument"},
		"unknown flag":       {[]string{"--fast"}, "not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(test.args, io.Discard)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("error %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

func TestFlagsReachTheEmulator(t *testing.T) {
	c, err := parse([]string{
		"--store", "vs_1", "--store", "vs_2", "--api-key", "sk-1", "--pace", "2s", "--parallel", "3", "--cancel-delay", "4s",
		"--enforce-limits", "--minute", "5s", "--strict-files", "--batch-id-prefix", "batch_", "--seed", "s",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o := c.options
	if strings.Join(o.VectorStores, " ") != "vs_1 vs_2" || strings.Join(o.APIKeys, " ") != "sk-1" || o.Pace != 2*time.Second ||
		o.Parallel != 3 || o.CancelDelay != 4*time.Second || !o.EnforceLimits || o.Minute != 5*time.Second ||
		!o.StrictFiles || o.BatchIDPrefix != "batch_" || o.Seed != "s" {
		t.Errorf("the options are %+v", o)
	}
}

func TestHelpExplainsItself(t *testing.T) {
	var help strings.Builder
	if _, err := parse([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"/_emulator/", "file-fail-", "-allow-remote", "-pace"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("the help does not mention %s", want)
		}
	}
}

// start runs the program and returns the first line it prints, what it prints next up to the
// empty line after the list of stores, and a function that ends it.
func start(t *testing.T, args ...string) (url, introduction string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reading, writing := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append(args, "--addr", "127.0.0.1:0", "--store", "vs_demo"), writing, io.Discard)
		_ = writing.Close()
	}()
	lines := bufio.NewScanner(reading)
	lines.Scan()
	url, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !ok {
		t.Fatalf("the first line is %q", lines.Text())
	}
	var rest strings.Builder
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Vector stores:") {
		rest.WriteString(lines.Text() + "\n")
	}
	go func() { _, _ = io.Copy(io.Discard, reading) }()
	return url, rest.String(), func() error {
		cancel()
		return <-ended
	}
}

func TestProgramServesUntilItIsEnded(t *testing.T) {
	url, introduction, end := start(t)
	var key string
	for line := range strings.Lines(introduction) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "export OPENAI_API_KEY="); ok {
			key = value
		}
	}
	for authorization, want := range map[string]int{"Bearer " + key: http.StatusOK, "Bearer other": http.StatusUnauthorized} {
		request, err := http.NewRequest(http.MethodGet, url+"/v1/vector_stores/vs_demo", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", authorization)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("status %d, want %d", answer.StatusCode, want)
		}
	}
	if err := end(); err != nil {
		t.Errorf("it did not end cleanly: %v", err)
	}
}

func TestGivenKeyIsNotPrinted(t *testing.T) {
	_, introduction, end := start(t, "--api-key", "sk-given")
	if strings.Contains(introduction, "sk-given") {
		t.Errorf("the key is in:\n%s", introduction)
	}
	if err := end(); err != nil {
		t.Errorf("it did not end cleanly: %v", err)
	}
}

func TestHeldUpCallDoesNotHoldUpTheEnd(t *testing.T) {
	url, _, end := start(t, "--api-key", "sk-given")
	post := func(path, body string) (*http.Response, error) {
		return http.Post(url+path, "application/json", strings.NewReader(body))
	}
	answer, err := post("/_emulator/faults", `{"delay":"1h"}`)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	held := make(chan error, 1)
	go func() {
		answer, err := post("/v1/vector_stores", "{}")
		if err == nil {
			answer.Body.Close()
		}
		held <- err
	}()
	for met := false; !met; {
		answer, err := http.Get(url + "/_emulator/faults")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		met = strings.Contains(string(body), `"met":1`)
	}
	if err := end(); err != nil {
		t.Errorf("it did not end cleanly: %v", err)
	}
	if err := <-held; err == nil {
		t.Error("the call was answered")
	}
}

func TestUnusedConnectionDoesNotFailTheEnd(t *testing.T) {
	url, _, end := start(t)
	connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := end(); err != nil {
		t.Errorf("it did not end cleanly: %v", err)
	}
}
