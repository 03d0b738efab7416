// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Ports for metrics are taken from below those that the system gives to connections, each once:
// a connection of another run must not take one between the search for it and its use.
const firstPort, ports = 10000, 20000

// nextPort begins elsewhere in each process, as several may run at a time.
var nextPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(int64(os.Getpid()) * 101)
	return &n
}()

// freeAddress is an address on loopback that nobody listens on.
func freeAddress() (string, error) {
	var errs []error
	for range 100 {
		address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(firstPort + nextPort.Add(1)%ports)}
		listener, err := net.ListenTCP("tcp", address)
		if err == nil {
			return address.String(), listener.Close()
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("looking for a free port: %w", errors.Join(errs...))
}

// scrape reads the metrics of the managers that are at work.
func (m *managers) scrape(ctx context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all strings.Builder
	for _, p := range m.running {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/metrics", nil)
		if err != nil {
			return "", fmt.Errorf("making a request: %w", err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", fmt.Errorf("reading the metrics: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return "", fmt.Errorf("reading the metrics: %w", err)
		}
		all.Write(text)
	}
	return all.String(), nil
}

// outcomeUnknown is the metric that counts batches which were created again.
const outcomeUnknown = "vectorstorefilebatch_create_outcome_unknown_total"

// counted is the sum of a counter in metrics.
func counted(metrics, name string) (sum float64, err error) {
	lines := bufio.NewScanner(strings.NewReader(metrics))
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if found, _, _ := strings.Cut(series, "{"); found != name {
			continue
		}
		number, err := strconv.ParseFloat(value[strings.LastIndex(value, " ")+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
		sum += number
	}
	return sum, lines.Err()
}

// checkTold demands that the managers that are at work have counted each create that they sent
// after they looked whether an earlier one took effect. What others counted ended with them.
func checkTold(e evidence, _ outcome) error {
	want, probed := 0, false
	for _, one := range e.lastLife {
		switch one.Op {
		case "up.probe":
			probed = true
		case "up.create":
			if probed {
				want++
			}
			probed = false
		}
	}
	got, err := counted(e.texts["the metrics"], outcomeUnknown)
	if err != nil {
		return err
	}
	again := want > 0 || probed // the last one may not have come through an outage
	if got < float64(want) || got > 0 && !again {
		return fmt.Errorf("%s is %v, and %d creates were sent after a look at the files", outcomeUnknown, got, want)
	}
	return nil
}
