// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// get reads something from the upstream, as anybody with the key can.
func (w *world) get(path string) []byte {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.url+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return body
}

// compact removes the white space of JSON, and orders its keys.
func compact(text []byte) string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return string(text)
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		return string(text)
	}
	return out.String()
}
