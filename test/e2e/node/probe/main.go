// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command probe runs in a Pod on the node:
//
//	probe fetch [-token TOKEN] [-token-file FILE] URL    print the HTTP status and the number of metrics
//	probe kill CONTAINER                                 kill the process of a container
//	probe squeeze CONTAINER                              lower the memory limit of a container until the kernel kills it
//
// CONTAINER is the ID in the container runtime. kill and squeeze need the processes of the host; squeeze
// needs write access to its control groups.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// timeout bounds a command.
const timeout = 30 * time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	err := run(ctx, os.Args[1:], os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) < 2 {
		return fmt.Errorf("got %q, want a command and its argument", args)
	}
	switch args[0] {
	case "fetch":
		return fetch(ctx, args[1:], stdout)
	case "kill":
		return kill(args[1], stdout)
	case "squeeze":
		return squeeze(ctx, args[1], stdout)
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}

// fetch requests metrics, and prints the HTTP status and their number.
func fetch(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("fetch", flag.ContinueOnError)
	token := flags.String("token", "", "the bearer `token`")
	file := flags.String("token-file", "", "a `file` with the token")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file != "" {
		content, err := os.ReadFile(*file)
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		*token = string(content)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, flags.Arg(0), http.NoBody)
	if err != nil {
		return fmt.Errorf("creating the request: %w", err)
	}
	if *token != "" {
		request.Header.Set("Authorization", "Bearer "+*token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the manager creates its certificate at its start
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("requesting metrics: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	_, err = fmt.Fprintln(stdout, response.StatusCode, strings.Count("\n"+string(body), "\ncontroller_runtime_"))
	return err
}
