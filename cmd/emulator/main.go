// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command emulator serves an emulator of the vector store part of the OpenAI API, for trying the
// operator without an API key, cost, or network access.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	readHeaderTimeout = 10 * time.Second
	shutdownTimeout   = 2 * time.Second
)

const usage = `Usage: emulator [flags]

Serves an emulator of the vector store part of the OpenAI API. It keeps its state in memory and
logs one line per request, without the API key. The admin API below /_emulator/ shows the state
and injects faults:

  curl -s http://127.0.0.1:8787/_emulator/batches
  curl -s http://127.0.0.1:8787/_emulator/faults -d '{"operation":"create","times":1,"status":500}'

A file fails if its ID begins with file-fail-unsupported, file-fail-invalid or file-fail-, and
never finishes if its ID begins with file-stuck-. Every other file completes, except an upload whose
content cannot be read.

A profile selects the server whose behaviors the emulator shows. Behaviors marked with * are shown
with --strict only, because the server shows them rarely or by a single report. --behavior changes
one of them. http://127.0.0.1:8787/_emulator/behaviors lists those that are active.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		os.Exit(1)
	}
}

// config holds the parsed flags.
type config struct {
	addr        string
	allowRemote bool
	// keyGenerated is set if the key has to be printed, because no flag specifies it.
	keyGenerated bool
	options      emulator.Options
	// behaviors are the names and values of --behavior, and faults those of --fault.
	behaviors [][2]string
	faults    []emulator.Fault
}

// list is the value of a repeatable flag.
type list []string

// String returns the values, separated by commas.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set appends a value.
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func parse(args []string, output io.Writer) (config, error) {
	var c config
	var keys, stores, behaviors, faults list
	o := &c.options
	f := flag.NewFlagSet("emulator", flag.ContinueOnError)
	f.SetOutput(output)
	f.Usage = func() {
		// An error on the output has no other place to go.
		_, _ = io.WriteString(output, usage+profilesHelp()+"\nFlags:\n")
		f.PrintDefaults()
	}
	f.StringVar(&c.addr, "addr", "127.0.0.1:8787", "address to listen on; port 0 selects a free port")
	f.BoolVar(&c.allowRemote, "allow-remote", false, "allow an --addr that other machines can reach; the admin API requires no key")
	f.Var(&keys, "api-key", "API `key` to accept; repeatable (default: a generated key, which is printed)")
	f.Var(&stores, "store", "`ID` of a vector store to create at the start, such as vs_demo; repeatable")
	f.DurationVar(&o.Pace, "pace", time.Second, "time to process one file")
	f.IntVar(&o.Parallel, "parallel", 1, "number of files of a batch that are processed at a time")
	f.DurationVar(&o.CancelDelay, "cancel-delay", time.Second, "time until a cancel takes effect")
	f.StringVar(&o.Profile, "profile", emulator.ProfileOpenAI, "profile of the server: "+strings.Join(profileNames(), ", "))
	f.BoolVar(&o.Strict, "strict", false, "show the behaviors of the profile that are marked with *, too")
	f.Var(&behaviors, "behavior", "`name=value` of a behavior, such as max_batch_files=10; the value is JSON or a string; repeatable")
	f.Var(&faults, "fault", "fault in `JSON` to inject from the start, as in the admin API; it applies to every matching call unless it has times; repeatable")
	f.BoolVar(&o.EnforceLimits, "enforce-limits", false, "enforce the rate limits: per minute, 300 attach requests for each vector store and 2000 files across all stores")
	f.DurationVar(&o.Minute, "minute", time.Minute, "window of the rate limits that --enforce-limits enables")
	f.StringVar(&o.Organization, "organization", "", "value of the openai-organization response header")
	f.StringVar(&o.Seed, "seed", "", "seed of the generated IDs; the same seed generates the same IDs in every run (default: random)")
	if err := f.Parse(args); err != nil {
		return config{}, err
	}
	if f.NArg() > 0 {
		return config{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if len(keys) == 0 {
		c.keyGenerated = true
		keys = list{"sk-emulator-" + strings.ToLower(rand.Text())}
	}
	o.APIKeys, o.VectorStores = keys, stores
	if err := c.setBehaviors(behaviors); err != nil {
		return config{}, err
	}
	for _, text := range faults {
		fault, err := emulator.ParseFault(text)
		if err != nil {
			return config{}, fmt.Errorf("--fault %s: %w", text, err)
		}
		c.faults = append(c.faults, fault)
	}
	return c, c.validate()
}

// setBehaviors verifies the profile and the changes to its behaviors.
func (c *config) setBehaviors(changes list) error {
	if _, err := emulator.LookupProfile(c.options.Profile); err != nil {
		return fmt.Errorf("--profile: %w, want one of %s", err, strings.Join(profileNames(), ", "))
	}
	for _, change := range changes {
		name, value, found := strings.Cut(change, "=")
		if !found {
			return fmt.Errorf("--behavior %q is not name=value", change)
		}
		var b emulator.Behaviors
		if err := b.Set(name, value); err != nil {
			return fmt.Errorf("--behavior %s: %w", change, err)
		}
		c.behaviors = append(c.behaviors, [2]string{name, value})
	}
	return nil
}

// newServer returns the emulator with the changes to its profile.
func (c *config) newServer() (*emulator.Server, error) {
	server := emulator.New(c.options)
	var err error
	server.Configure(func(s *emulator.Settings) {
		for _, change := range c.behaviors {
			err = errors.Join(err, s.Set(change[0], change[1]))
		}
	})
	for _, fault := range c.faults {
		server.AddFault(fault)
	}
	return server, err
}

func profileNames() []string {
	var names []string
	for _, p := range emulator.Profiles() {
		names = append(names, p.Name)
	}
	return names
}

// profilesHelp lists what each profile shows.
func profilesHelp() string {
	var help strings.Builder
	for _, p := range emulator.Profiles() {
		fmt.Fprintf(&help, "\nProfile %s: %s\n", p.Name, p.Server)
		for _, line := range p.Behaviors {
			mark := " "
			if line.Strict {
				mark = "*"
			}
			fmt.Fprintf(&help, "%s %-23s %s (%s)\n", mark, line.Name, line.Shows, line.Evidence)
		}
	}
	return help.String()
}

func (c config) validate() error {
	for _, id := range c.options.VectorStores {
		if !strings.HasPrefix(id, "vs_") {
			return fmt.Errorf("--store %q does not begin with vs_", id)
		}
	}
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return fmt.Errorf("parsing --addr: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !c.allowRemote {
		return fmt.Errorf("other machines can reach --addr %s: use a loopback address, or set --allow-remote", c.addr)
	}
	return nil
}

// run serves until the context is cancelled.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	c.options.Log = stdout
	handler, err := c.newServer()
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := c.printUsage(stdout, "http://"+listener.Addr().String(), handler.Settings().BasePath); err != nil {
		return errors.Join(fmt.Errorf("writing to the standard output: %w", err), listener.Close())
	}
	// BaseContext cancels the requests at the shutdown, which a delayed call would block otherwise.
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	return shutDown(context.WithoutCancel(ctx), server)
}

// shutDown finishes the responses in flight, and closes the remaining connections after
// shutdownTimeout: a graceful shutdown waits longer for connections that never sent a request.
func shutDown(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if err != nil {
		return fmt.Errorf("shutting down: %w", err)
	}
	return nil
}

// printUsage prints the URL and examples. Programs parse the URL from the first line.
func (c config) printUsage(w io.Writer, url, basePath string) error {
	store := "vs_demo"
	if len(c.options.VectorStores) > 0 {
		store = c.options.VectorStores[0]
	}
	key := "<the value of --api-key>"
	if c.keyGenerated {
		key = c.options.APIKeys[0]
	}
	_, err := fmt.Fprintf(w, `listening on %[1]s

OpenAI's SDKs read these variables:

  export OPENAI_BASE_URL=%[1]s%[5]s
  export OPENAI_API_KEY=%[2]s

Python:  from openai import OpenAI
         OpenAI().vector_stores.file_batches.create("%[3]s", file_ids=["file-1", "file-2"])
Node:    import OpenAI from "openai";
         await new OpenAI().vectorStores.fileBatches.create("%[3]s", { file_ids: ["file-1", "file-2"] });
Shell:   curl "$OPENAI_BASE_URL/vector_stores/%[3]s/file_batches" -H "Authorization: Bearer $OPENAI_API_KEY" \
           -H "Content-Type: application/json" -d '{"file_ids":["file-1","file-2"]}'
Watch:   curl -s %[1]s/_emulator/batches

Vector stores: %[4]s

`, url, key, store, storesNote(c.options.VectorStores), basePath)
	return err
}

func storesNote(stores []string) string {
	if len(stores) == 0 {
		return `none; create one with POST /v1/vector_stores or --store vs_demo`
	}
	return strings.Join(stores, " ")
}
