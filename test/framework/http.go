// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

// The ports are below those that systems use for outgoing connections, and FreeAddress returns each once, so
// that no other process takes one before its use.
const firstPort, ports = 10_000, 20_000

// nextPort starts at another port in each process, because several may run at a time.
var nextPort atomic.Int64

// FreeAddress returns an address on the loopback interface on which no program listens.
func FreeAddress() (string, error) {
	nextPort.CompareAndSwap(0, int64(os.Getpid())*101)
	var errs []error
	for range 100 {
		address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(firstPort + nextPort.Add(1)%ports)}
		listener, err := net.ListenTCP("tcp", address)
		if err == nil {
			return address.String(), listener.Close()
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("finding a free port: %w", errors.Join(errs...))
}

// Fetch sends a GET request, with a bearer token unless that is empty. It returns the HTTP status and
// the body.
func Fetch(ctx context.Context, client *http.Client, url, token string) (int, string, error) {
	return Send(ctx, client, http.MethodGet, url, token, "")
}

// Send sends a request with a body in JSON, and with a bearer token unless that is empty. It returns
// the HTTP status and the body.
func Send(ctx context.Context, client *http.Client, method, url, token, body string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("creating a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}
