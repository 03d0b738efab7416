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

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestParse_ValidatesFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string // substring of the error; empty if there is none
	}{
		"defaults":             {nil, ""},
		"IPv6 loopback":        {[]string{"--addr", "[::1]:0"}, ""},
		"localhost":            {[]string{"--addr", "localhost:0"}, ""},
		"all interfaces":       {[]string{"--addr", ":8787"}, "other machines can reach --addr"},
		"remote address":       {[]string{"--addr", "192.0.2.1:8787"}, "other machines can reach --addr"},
		"remote name":          {[]string{"--addr", "example.com:8787"}, "other machines can reach --addr"},
		"remote allowed":       {[]string{"--addr", ":8787", "--allow-remote"}, ""},
		"no port":              {[]string{"--addr", "127.0.0.1"}, "parsing --addr"},
		"stores":               {[]string{"--store", "vs_1", "--store", "vs_2"}, ""},
		"store without prefix": {[]string{"--store", "demo"}, "does not begin with vs_"},
		"profile":              {[]string{"--profile", "azure"}, ""},
		"unknown profile":      {[]string{"--profile", "acme"}, "want one of openai, azure, ogx, gateway"},
		"behavior":             {[]string{"--behavior", `headers=["Server: x"]`}, ""},
		"unknown behavior":     {[]string{"--behavior", "kind=true"}, "unknown field"},
		"no value":             {[]string{"--behavior", "strict_path"}, "is not name=value"},
		"wrong type":           {[]string{"--behavior", "strict_path=maybe"}, "--behavior strict_path=maybe"},
		"unknown preset":       {[]string{"--fault", `{"preset":"nice"}`}, "unknown preset"},
		"fault without JSON":   {[]string{"--fault", "create"}, "decoding the fault"},
		"argument":             {[]string{"start"}, "unexpected argument"},
		"unknown flag":         {[]string{"--fast"}, "not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(test.args, io.Discard)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got error %v, want it to contain %q", err, test.want)
			}
		})
	}
}

func TestParse_SetsOptions(t *testing.T) {
	c, err := parse([]string{
		"--store", "vs_1", "--store", "vs_2", "--api-key", "sk-1", "--pace", "2s", "--parallel", "3", "--cancel-delay", "4s",
		"--enforce-limits", "--minute", "5s", "--profile", "ogx", "--strict", "--seed", "s",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o := c.options
	if strings.Join(o.VectorStores, " ") != "vs_1 vs_2" || strings.Join(o.APIKeys, " ") != "sk-1" || o.Pace != 2*time.Second ||
		o.Parallel != 3 || o.CancelDelay != 4*time.Second || !o.EnforceLimits || o.Minute != 5*time.Second ||
		o.Profile != emulator.ProfileOGX || !o.Strict || o.Seed != "s" {
		t.Errorf("unexpected options: %+v", o)
	}
}

func TestNewServer_AppliesBehaviorsAndFaults(t *testing.T) {
	c, err := parse([]string{
		"--profile", "ogx", "--strict", "--behavior", "strict_files=true", "--behavior", "batch_id_prefix=b_", "--enforce-limits",
		"--fault", `{"operation":"create","preset":"gzip_bomb"}`,
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	server, err := c.newServer()
	if err != nil {
		t.Fatal(err)
	}
	if b := server.Settings().Behaviors; !b.StrictFiles || b.BatchIDPrefix != "b_" || !b.MissingFilesFail || !b.EnforceLimits {
		t.Errorf("unexpected behaviors: %+v", b)
	}
	if f := server.Faults(); len(f) != 1 || !f[0].Gzip || f[0].Times != 0 {
		t.Errorf("unexpected faults: %+v", f)
	}
}

func TestParse_PrintsHelp(t *testing.T) {
	var help strings.Builder
	if _, err := parse([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got error %v, want flag.ErrHelp", err)
	}
	for _, want := range []string{"/_emulator/", "file-fail-", "-allow-remote", "-pace", "Profile ogx: OGX 1.5", "files_ignored", "* missing_files_fail"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("the help does not contain %s", want)
		}
	}
}

// start runs the emulator. It returns the URL of the first line of the output, the lines between
// it and the list of stores, and a function that stops the emulator.
func start(t *testing.T, args ...string) (url, usage string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append(args, "--addr", "127.0.0.1:0", "--store", "vs_demo"), w, io.Discard)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	url, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !ok {
		t.Fatalf("the first line is %q", lines.Text())
	}
	var rest strings.Builder
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Vector stores:") {
		rest.WriteString(lines.Text() + "\n")
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return url, rest.String(), func() error {
		cancel()
		return <-done
	}
}

func TestRun_ServesUntilCancelled(t *testing.T) {
	url, usage, stop := start(t)
	var key string
	for line := range strings.Lines(usage) {
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
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("status %d, want %d", response.StatusCode, want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("shutting down: %v", err)
	}
}

func TestRun_ConfiguredKeyIsNotPrinted(t *testing.T) {
	_, usage, stop := start(t, "--api-key", "sk-configured")
	if strings.Contains(usage, "sk-configured") {
		t.Errorf("the output contains the key:\n%s", usage)
	}
	if err := stop(); err != nil {
		t.Errorf("shutting down: %v", err)
	}
}

func TestRun_DelayedCallDoesNotBlockShutdown(t *testing.T) {
	url, _, stop := start(t, "--api-key", "sk-configured")
	post := func(path, body string) (*http.Response, error) {
		return http.Post(url+path, "application/json", strings.NewReader(body))
	}
	response, err := post("/_emulator/faults", `{"delay":"1h"}`)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	delayed := make(chan error, 1)
	go func() {
		response, err := post("/v1/vector_stores", "{}")
		if err == nil {
			response.Body.Close()
		}
		delayed <- err
	}()
	for met := false; !met; {
		response, err := http.Get(url + "/_emulator/faults")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		met = strings.Contains(string(body), `"met":1`)
	}
	if err := stop(); err != nil {
		t.Errorf("shutting down: %v", err)
	}
	if err := <-delayed; err == nil {
		t.Error("the delayed call got a response")
	}
}

func TestRun_IdleConnectionDoesNotBlockShutdown(t *testing.T) {
	url, _, stop := start(t)
	connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := stop(); err != nil {
		t.Errorf("shutting down: %v", err)
	}
}
