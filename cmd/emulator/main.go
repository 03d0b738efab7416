// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command emulator runs a stand-in for the vector store part of the OpenAI API, for trying
// things out without a key, a bill or a network.
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

A stand-in for the vector store part of the OpenAI API. It keeps everything in memory, logs one
line a request, and never logs a key. Below /_emulator/ it can be watched and made to misbehave:

  curl -s http://127.0.0.1:8787/_emulator/batches
  curl -s http://127.0.0.1:8787/_emulator/faults -d '{"operation":"create","times":1,"status":500}'

A file fails where its ID begins with file-fail-unsupported, file-fail-invalid or file-fail-, and
never finishes where it begins with file-stuck-. Any other file ID just works.

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

// config is what the flags say.
type config struct {
	addr        string
	allowRemote bool
	// keyMadeUp says that nobody else knows the key, so it has to be printed.
	keyMadeUp bool
	options   emulator.Options
}

// list is a flag that can be given more than once.
type list []string

// String joins the values.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds a value.
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
		// There is nobody left to tell where this fails.
		_, _ = io.WriteString(output, usage)
		f.PrintDefaults()
	}
	f.StringVar(&c.addr, "addr", "127.0.0.1:8787", "address to listen on; port 0 picks a free one")
	f.BoolVar(&c.allowRemote, "allow-remote", false, "allow an --addr that other machines can reach; the admin side asks for no key")
	f.Var(&keys, "api-key", "API key to demand; repeatable (default: one is made up and printed)")
	f.Var(&stores, "store", "ID of a vector store that exists from the start, such as vs_demo; repeatable")
	f.DurationVar(&o.Pace, "pace", time.Second, "how long the processing of one file takes")
	f.IntVar(&o.Parallel, "parallel", 1, "how many files of a batch are processed at a time")
	f.DurationVar(&o.CancelDelay, "cancel-delay", time.Second, "how long a cancel takes to have its effect")
	f.StringVar(&o.CancellingStatus, "cancelling-status", "in_progress", "status of a batch between a cancel and its effect")
	f.BoolVar(&o.RejectLateCancel, "reject-late-cancel", false, "answer 400 to the cancel of a finished batch, as some compatible servers do")
	f.BoolVar(&o.StrictFiles, "strict-files", false, "answer 404 to attaching a file that was not uploaded")
	f.BoolVar(&o.EnforceLimits, "enforce-limits", false, "enforce the rate limits: 300 attaching requests a store and 2000 files altogether a minute")
	f.DurationVar(&o.Minute, "minute", time.Minute, "length of the minute of --enforce-limits")
	f.StringVar(&o.BatchIDPrefix, "batch-id-prefix", "vsfb_", "what the IDs of batches begin with")
	f.StringVar(&o.BatchObject, "batch-object", "vector_store.file_batch", "object field of a batch")
	f.BoolVar(&o.ExtraFields, "extra-fields", false, "put a field that no client knows into every object")
	f.StringVar(&o.Organization, "organization", "", "value of the openai-organization header")
	f.StringVar(&o.Seed, "seed", "", "make the same IDs in every run (default: different ones)")
	if err := f.Parse(args); err != nil {
		return config{}, err
	}
	if f.NArg() > 0 {
		return config{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if len(keys) == 0 {
		c.keyMadeUp = true
		keys = list{"sk-emulator-" + strings.ToLower(rand.Text())}
	}
	o.APIKeys, o.VectorStores = keys, stores
	return c, c.check()
}

func (c config) check() error {
	for _, id := range c.options.VectorStores {
		if !strings.HasPrefix(id, "vs_") {
			return fmt.Errorf("--store %q does not begin with vs_", id)
		}
	}
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return fmt.Errorf("reading --addr: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !c.allowRemote {
		return fmt.Errorf("--addr %s can be reached by other machines; use a loopback address, or --allow-remote", c.addr)
	}
	return nil
}

// run serves until the context ends.
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
	if err := c.introduce(stdout, "http://"+listener.Addr().String()); err != nil {
		return errors.Join(fmt.Errorf("writing to the standard output: %w", err), listener.Close())
	}
	// Requests end with the process, or a call that is held up would hold up the shutdown.
	server := &http.Server{
		Handler:           emulator.New(c.options),
		ReadHeaderTimeout: readHeaderTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	return shutDown(context.WithoutCancel(ctx), server)
}

// shutDown lets answers under way be sent, and then closes what is left: connections that a
// client opened and never used would hold up a graceful end for longer.
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

// introduce says how to use it. The first line is for programs: they read the URL from it.
func (c config) introduce(w io.Writer, url string) error {
	store := "vs_demo"
	if len(c.options.VectorStores) > 0 {
		store = c.options.VectorStores[0]
	}
	key := "<the one given with --api-key>"
	if c.keyMadeUp {
		key = c.options.APIKeys[0]
	}
	_, err := fmt.Fprintf(w, `listening on %[1]s

Every OpenAI SDK reads these:

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
		return `none yet; POST /v1/vector_stores makes one, and so does --store vs_demo`
	}
	return strings.Join(stores, " ")
}
