// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// FreeAddress returns an address on the loopback interface on which no program listens.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
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
