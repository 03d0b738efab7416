// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAttributesField_Limits(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf(`"key-%02d":%d`, i, i)
	}
	long := strings.Repeat("x", 4096)
	for name, test := range map[string]struct {
		body string
		keys int
		want map[string]any // some of them
	}{
		"types":          {`{"text":"a","flag":true,"number":1.5,"null":null,"list":[1,{"a":2}],"object":{"a":1}}`, 3, map[string]any{"text": "a", "flag": true, "number": 1.5}},
		"long name":      {`{"` + long + `":1}`, 1, map[string]any{long: 1.0}},
		"too long name":  {`{"` + long + `x":1,"a":2}`, 1, map[string]any{"a": 2.0}},
		"long text":      {`{"a":"` + long + `"}`, 1, map[string]any{"a": long}},
		"too long text":  {`{"a":"` + long + `x","b":1}`, 1, map[string]any{"b": 1.0}},
		"64 attributes":  {"{" + strings.Join(many[:64], ",") + "}", 64, map[string]any{"key-63": 63.0}},
		"65 attributes":  {"{" + strings.Join(many, ",") + "}", 64, map[string]any{"key-63": 63.0}},
		"not attributes": {`"text"`, 0, nil},
	} {
		var attributes attributesField
		if err := attributes.read(newScanner(strings.NewReader(test.body), 1000)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(attributes.values) != test.keys {
			t.Errorf("%s: %d attributes, want %d", name, len(attributes.values), test.keys)
		}
		for key, want := range test.want {
			if got := attributes.values[key]; got != want {
				t.Errorf("%s: %.20s is %v, want %v", name, key, got, want)
			}
		}
	}
}

// TestReadPassage_Limits requires that the texts of a result are joined as long as they are shorter than 64 KiB.
func TestReadPassage_Limits(t *testing.T) {
	text := func(length int) string { return strings.Repeat("x", length) }
	for name, test := range map[string]struct {
		texts []string
		want  string
	}{
		"none":         {nil, ""},
		"two":          {[]string{"a", "b"}, "a\nb"},
		"an empty one": {[]string{"", "a", "", "b"}, "a\nb"},
		"the longest":  {[]string{text(40_000), text(25_535)}, text(40_000) + "\n" + text(25_535)},
		"too long":     {[]string{text(40_000), text(25_536), "a"}, text(40_000) + "\na"},
	} {
		var content []map[string]any
		for _, text := range test.texts {
			content = append(content, map[string]any{"type": "text", "text": text})
		}
		body, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := readPassage(newScanner(strings.NewReader(string(body)), 1000), &got); err != nil || got != test.want {
			t.Errorf("%s: %d characters, want %d; error %v", name, len(got), len(test.want), err)
		}
	}
}

func TestDecodeUpload_Limits(t *testing.T) {
	client := testClient()
	for name, test := range map[string]struct {
		fileID, body string
		valid        bool
		size         int64
	}{
		"a new file":      {"", `{"id":"file-1","filename":"a.md","bytes":5}`, true, 5},
		"the file":        {"file-1", `{"id":"file-1","filename":"a.md","bytes":0}`, true, 0},
		"another file":    {"file-2", `{"id":"file-1","filename":"a.md"}`, false, 0},
		"a long name":     {"", `{"id":"file-1","filename":"` + strings.Repeat("x", 4096) + `"}`, true, 0},
		"too long a name": {"", `{"id":"file-1","filename":"` + strings.Repeat("x", 4097) + `"}`, false, 0},
		"a negative size": {"", `{"id":"file-1","bytes":-1}`, true, 0},
		"a huge size":     {"", `{"id":"file-1","bytes":1e300}`, true, 1 << 53},
	} {
		file, err := client.decodeUpload(newScanner(strings.NewReader(test.body), 1000), test.fileID)
		if (err == nil) != test.valid || file.Size != test.size {
			t.Errorf("%s: %d bytes, error %v", name, file.Size, err)
		}
	}
}

// TestStatusMessage_Redirects requires that a status code counts as a redirect from 300 to 399.
func TestStatusMessage_Redirects(t *testing.T) {
	client := testClient()
	for status, want := range map[int]bool{299: false, 300: true, 304: true, 399: true, 400: false} {
		if got := client.statusMessage(&exchange{status: status}); strings.Contains(got, "a redirect") != want {
			t.Errorf("%d: %s", status, got)
		}
	}
}

func TestRedirectTarget(t *testing.T) {
	for location, want := range map[string]string{
		"https://other.example/v1?key=1": " to https://other.example", "//other.example/v1": " to other.example",
		"/v2": "", "": "", "https://[": "", "mailto:a@b.example": "",
	} {
		if got := redirectTarget(http.Header{"Location": {location}}); got != want {
			t.Errorf("%q: %q, want %q", location, got, want)
		}
	}
}

func TestSucceeded(t *testing.T) {
	for status, want := range map[int]bool{0: false, 199: false, 200: true, 299: true, 300: false} {
		if got := (&exchange{status: status}).succeeded(); got != want {
			t.Errorf("%d: %t", status, got)
		}
	}
}

// TestStatesMissing requires that a 404 means that an object does not exist only if the API's own error states it, and
// not that it has no such path.
func TestStatesMissing(t *testing.T) {
	for name, test := range map[string]struct {
		failure apiError
		want    bool
	}{
		"code":                {apiError{code: "not_found_error", message: "gone", own: true}, true},
		"message with the ID": {apiError{message: "No batch found with id 'vsfb_1'.", own: true}, true},
		"vector store":        {apiError{message: "Vector store not found", own: true}, true},
		"vector_store":        {apiError{message: "no such vector_store", own: true}, true},
		"another error":       {apiError{message: "gone", own: true}, false},
		"not the API's own":   {apiError{code: "not_found", message: "vsfb_1"}, false},
		"a URL in the text":   {apiError{code: "not_found", message: "Invalid URL (GET /files)", own: true}, false},
		"a URL in the code":   {apiError{code: "unknown_url_not_found", message: "gone", own: true}, false},
		"a path":              {apiError{code: "not_found", message: "no route for /v1/vsfb_1", own: true}, false},
		"nothing":             {apiError{own: true}, false},
	} {
		if got := test.failure.statesMissing("vsfb_1"); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestValidateAttribute(t *testing.T) {
	const notFinite, wrongType = "the value must be a finite number", "the value must be a string, a number or a boolean"
	for _, test := range []struct {
		value any
		want  string
	}{
		{"a", ""}, {true, ""}, {1, ""}, {int32(1), ""}, {int64(1), ""}, {float32(1), ""}, {1.5, ""}, {json.Number("1e3"), ""},
		{math.NaN(), notFinite}, {math.Inf(1), notFinite}, {math.Inf(-1), notFinite}, {float32(math.Inf(1)), notFinite}, {json.Number("x"), notFinite},
		{nil, wrongType}, {[]string{"a"}, wrongType}, {map[string]any{}, wrongType},
	} {
		got := ""
		if err := validateAttribute(test.value); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%T %v: %q, want %q", test.value, test.value, got, test.want)
		}
	}
}

// TestRootCAs_KeepsTheSystems requires that the CAs of a Secret and of the operator are trusted in addition to those of
// the system.
func TestRootCAs_KeepsTheSystems(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	want, err := x509.SystemCertPool()
	if err != nil {
		want = x509.NewCertPool()
	}
	want.AddCert(server.Certificate())
	for name, bundles := range map[string][2]string{"Secret": {bundle, ""}, "operator": {"", bundle}, "both": {bundle, bundle}} {
		if got, err := rootCAs(bundles[0], bundles[1]); err != nil || !got.Equal(want) {
			t.Errorf("%s: the CAs are not those of the system and the bundle; error %v", name, err)
		}
	}
	if got, err := rootCAs(" \n", ""); got != nil || err != nil {
		t.Errorf("without a bundle: %v, %v", got, err)
	}
}

// TestNewPool_Timeouts requires that no connection hangs for longer than a request may take, and that one which is idle
// is closed before common load balancers close it after a minute.
func TestNewPool_Timeouts(t *testing.T) {
	pool, dialer := newPool(nil, nil), newDialer(nil)
	for name, test := range map[string]struct{ got, want time.Duration }{
		"dial":             {dialer.Timeout, 10 * time.Second},
		"TCP keep-alive":   {dialer.KeepAlive, 30 * time.Second},
		"TLS handshake":    {pool.TLSHandshakeTimeout, 10 * time.Second},
		"HTTP/2 ping":      {pool.HTTP2.SendPingTimeout, 15 * time.Second},
		"answer to a ping": {pool.HTTP2.PingTimeout, 10 * time.Second},
		"idle connection":  {pool.IdleConnTimeout, 50 * time.Second},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", name, test.got, test.want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"https://a.example/v1", "https://A.example:443/v2", true},
		{"http://a.example/v1", "http://a.example:80/v2", true},
		{"https://a.example:8443", "https://a.example:8443", true},
		{"https://a.example", "http://a.example", false},
		{"https://a.example", "http://a.example:443", false},
		{"https://a.example", "https://b.example", false},
		{"https://a.example", "https://a.example:80", false},
		{"http://a.example", "http://a.example:443", false},
		{"https://a.example:8443", "https://a.example", false},
		{"http://a.example:8080", "http://a.example:8081", false},
	} {
		a, err := url.Parse(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := url.Parse(test.b)
		if err != nil {
			t.Fatal(err)
		}
		if sameOrigin(a, b) != test.want || sameOrigin(b, a) != test.want {
			t.Errorf("%s and %s: want %t", a, b, test.want)
		}
	}
}
