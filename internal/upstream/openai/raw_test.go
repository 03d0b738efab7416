// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// dialRaw returns a client of a server whose base URL has a path.
func dialRaw(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	e := listen(t, handle, (*httptest.Server).Start)
	client, err := Dial(upstream.Connection{BaseURL: e.URL + "/v1", APIKey: testKey}, Options{
		Endpoints: upstream.EndpointPolicy{AllowInsecure: true}, Addresses: upstream.AnyAddress(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestRaw_Requests(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, URI, Authorization, Other, Type, Body string }
	var got seen
	client := dialRaw(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Api-Key"), r.Header.Get("Content-Type"), string(body)}
	})
	for _, test := range []struct {
		name    string
		request RawRequest
		want    seen
	}{
		{
			"below the base URL", RawRequest{Method: http.MethodGet, Path: "files/a%2Fb", Query: url.Values{"limit": {"1"}}},
			seen{Method: http.MethodGet, URI: "/v1/files/a%2Fb?limit=1", Authorization: "Bearer " + testKey},
		},
		{
			"outside the base path", RawRequest{Method: http.MethodDelete, Path: "/files"},
			seen{Method: http.MethodDelete, URI: "/files", Authorization: "Bearer " + testKey},
		},
		{
			"body", RawRequest{Method: http.MethodPost, Path: "files", Body: []byte("{}"), ContentType: "text/plain"},
			seen{Method: http.MethodPost, URI: "/v1/files", Authorization: "Bearer " + testKey, Type: "text/plain", Body: "{}"},
		},
		{
			"key in another header", RawRequest{Method: http.MethodGet, Path: "files", KeyHeader: "Api-Key"},
			seen{Method: http.MethodGet, URI: "/v1/files", Other: testKey},
		},
		{
			"another key", RawRequest{Method: http.MethodGet, Path: "files", Header: http.Header{"Authorization": {"Bearer wrong"}}},
			seen{Method: http.MethodGet, URI: "/v1/files", Authorization: "Bearer wrong"},
		},
	} {
		if _, err := client.Raw(t.Context(), test.request); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestRaw_Responses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body, kind string
		status           int
		want             RawResponse
	}{
		{"object", `{"n":1.0}`, "application/json", 200, RawResponse{StatusCode: 200, Body: map[string]any{"n": json.Number("1.0")}}},
		{"page", "<html>", "text/html", 200, RawResponse{StatusCode: 200, HTML: true}},
		{"nothing", "", "", 204, RawResponse{StatusCode: 204}},
		{
			"error", `{"error":{"message":"the key ` + testKey + ` is wrong","code":"invalid"}}`, "application/json", 401,
			RawResponse{StatusCode: 401, Code: "invalid", Message: "the key [redacted] is wrong"},
		},
		{"detail", `{"detail":"gone"}`, "application/json", 400, RawResponse{StatusCode: 400, Message: "gone", Body: map[string]any{"detail": "gone"}}},
		{"too long", `{"a":"` + strings.Repeat("x", maxRawBytes) + `"}`, "application/json", 200, RawResponse{StatusCode: 200}},
	} {
		client := dialRaw(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", test.kind)
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		got, err := client.Raw(t.Context(), RawRequest{Method: http.MethodGet, Path: "files"})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got.Header = nil
		if test.name == "error" {
			got.Body = nil // the texts in it are not sanitized
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestRaw_CutOff: a response whose body is cut off is none. One whose body cannot be read for another reason is one.
func TestRaw_CutOff(t *testing.T) {
	t.Parallel()
	client := dialRaw(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"id":"file-1"}`)
	})
	if _, err := client.Raw(t.Context(), RawRequest{Method: http.MethodPost, Path: "files"}); !upstream.IsUnknownOutcome(err) {
		t.Errorf("the error of a POST whose response is cut off is %v", err)
	}
	if _, err := client.Raw(t.Context(), RawRequest{Method: http.MethodGet, Path: "files"}); !upstream.IsTransient(err) {
		t.Errorf("the error of a GET whose response is cut off is %v", err)
	}
	client = dialRaw(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(w, "?")
	})
	if response, err := client.Raw(t.Context(), RawRequest{Method: http.MethodGet, Path: "files"}); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a response with an unknown encoding: %+v, %v", response, err)
	}
}

func TestRaw_NoResponse(t *testing.T) {
	t.Parallel()
	client := dialRaw(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := client.Raw(t.Context(), RawRequest{Method: http.MethodPost, Path: "files"})
	if !upstream.IsUnknownOutcome(err) {
		t.Errorf("the error of a POST without a response is %v", err)
	}
	_, err = client.Raw(t.Context(), RawRequest{Method: http.MethodGet, Path: "files"})
	if !upstream.IsTransient(err) {
		t.Errorf("the error of a GET without a response is %v", err)
	}
	_, err = client.Raw(t.Context(), RawRequest{Method: http.MethodGet, Path: "files/%zz"})
	if !upstream.IsRejected(err) {
		t.Errorf("the error of an invalid path is %v", err)
	}
}
