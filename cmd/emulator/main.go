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
never finishes if its ID begins with file-stuck-. Every other file completes, except an upload that
is empty or has an extension that vector stores do not support.

Flags:
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
	var keys, stores list
	o := &c.options
	f := flag.NewFlagSet("emulator", flag.ContinueOnError)
	f.SetOutput(output)
	f.Usage = func() {
		// An error on the output has no other place to go.
		_, _ = io.WriteString(output, usage)
		f.PrintDefaults()
	}
	f.StringVar(&c.addr, "addr", "127.0.0.1:8787", "address to listen on; port 0 selects a free port")
	f.BoolVar(&c.allowRemote, "allow-remote", false, "allow an --addr that other machines can reach; the admin API requires no key")
	f.Var(&keys, "api-key", "API `key` to accept; repeatable (default: a generated key, which is printed)")
	f.Var(&stores, "store", "`ID` of a vector store to create at the start, such as vs_demo; repeatable")
	f.DurationVar(&o.Pace, "pace", time.Second, "time to process one file")
	f.IntVar(&o.Parallel, "parallel", 1, "number of files of a batch that are processed at a time")
	f.DurationVar(&o.CancelDelay, "cancel-delay", time.Second, "time until a cancel takes effect")
	f.StringVar(&o.CancellingStatus, "cancelling-status", "in_progress", "status of a batch until its cancel takes effect")
	f.BoolVar(&o.RejectLateCancel, "reject-late-cancel", false, "respond with 400 to the cancel of a finished batch, as some compatible servers do")
	f.BoolVar(&o.StrictFiles, "strict-files", false, "respond with 404 if a file to attach was never uploaded; otherwise attaching creates it")
	f.BoolVar(&o.EnforceLimits, "enforce-limits", false, "enforce the rate limits: per minute, 300 attach requests for each vector store and 2000 files across all stores")
	f.DurationVar(&o.Minute, "minute", time.Minute, "window of the rate limits that --enforce-limits enables")
	f.StringVar(&o.BatchIDPrefix, "batch-id-prefix", "vsfb_", "prefix of the IDs of batches")
	f.StringVar(&o.BatchObject, "batch-object", "vector_store.file_batch", "value of the object field of a batch")
	f.BoolVar(&o.ExtraFields, "extra-fields", false, "add an undocumented field to every object")
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
	return c, c.validate()
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
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := c.printUsage(stdout, "http://"+listener.Addr().String()); err != nil {
		return errors.Join(fmt.Errorf("writing to the standard output: %w", err), listener.Close())
	}
	// BaseContext cancels the requests at the shutdown, which a delayed call would block otherwise.
	server := &http.Server{
		Handler:           emulator.New(c.options),
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
func (c config) printUsage(w io.Writer, url string) error {
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

  export OPENAI_BASE_URL=%[1]s/v1
  export OPENAI_API_KEY=%[2]s

Python:  from openai import OpenAI
         OpenAI().vector_stores.file_batches.create("%[3]s", file_ids=["file-1", "file-2"])
Node:    import OpenAI from "openai";
         await new OpenAI().vectorStores.fileBatches.create("%[3]s", { file_ids: ["file-1", "file-2"] });
Shell:   curl "$OPENAI_BASE_URL/vector_stores/%[3]s/file_batches" -H "Authorization: Bearer $OPENAI_API_KEY" \
           -H "Content-Type: application/json" -d '{"file_ids":["file-1","file-2"]}'
Watch:   curl -s %[1]s/_emulator/batches

Vector stores: %[4]s

`, url, key, store, storesNote(c.options.VectorStores))
	return err
}

func storesNote(stores []string) string {
	if len(stores) == 0 {
		return `none; create one with POST /v1/vector_stores or --store vs_demo`
	}
	return strings.Join(stores, " ")
}
