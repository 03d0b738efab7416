// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// maxDecodeGarbage is the maximum number of bytes that a call allocates, whatever the body of the
// response. Most of it is garbage at once.
const maxDecodeGarbage = 64 << 20

// maxDecodeMemory is the maximum number of bytes that a call has allocated at any time.
const maxDecodeMemory = 1 << 20

// hostile is a body that expands to much more memory than bytes if it is decoded as a whole. It consists
// of a beginning, and of a part that is repeated.
type hostile struct{ begin, part, end string }

var hostileBodies = map[string]hostile{
	"a list of objects":        {`{"data":[{}`, `,{}`, `]}`},
	"a list of numbers":        {`{"data":[0`, `,0`, `]}`},
	"a list of files":          {`{"data":[{"id":"a"}`, `,{"id":"a"}`, `]}`},
	"a million fields":         {`{"id":"` + testBatch + `"`, `,"a":0`, `}`},
	"a field a million times":  {`{"id":"` + testBatch + `"`, `,"id":"` + testBatch + `"`, `}`},
	"counts":                   {`{"id":"` + testBatch + `","file_counts":{"total":1`, `,"total":1`, `}}`},
	"arrays in arrays":         {`{"a":`, `[`, ``},
	"objects in objects":       {`{"a":`, `{"a":`, ``},
	"a list without an object": {``, `[`, ``},
	"a long ID":                {`{"id":"`, `a`, `"}`},
	"a long name":              {`{"`, `a`, `":0}`},
	"a long message":           {`{"error":{"message":"`, `\u00e4`, `"}}`},
	"messages":                 {`{"error":{"message":"m"`, `,"message":"m"`, `}}`},
	"details":                  {`{"detail":[{"msg":"m"}`, `,{"msg":"m"}`, `]}`},
	"a list of errors":         {`{"error":[0`, `,0`, `]}`},
	"a long number":            {`{"created_at":`, `9`, `}`},
	"a long exponent":          {`{"created_at":1e`, `9`, `}`},
	"space":                    {`{`, ` `, `}`},
	"space after it":           {batchJSON, ` `, ``},
	"a second object":          {batchJSON, `{}`, ``},
	"short strings":            {`{"a":["a"`, `,"a"`, `]}`},
	"strings of 60 KB":         {`{"data":[""`, `,"` + strings.Repeat("a", 60_000) + `"`, `]}`},
	"IDs of 60 KB":             {`{"data":[{"id":"a"}`, `,{"id":"` + strings.Repeat("a", 60_000) + `"}`, `]}`},
	"messages of 60 KB": {
		`{"data":[{"id":"a"}`, `,{"id":"a","status":"failed","last_error":{"code":"c","message":"` + strings.Repeat("a ", 30_000) + `"}}`, `]}`,
	},
	"text":  {``, `a`, ``},
	"HTML":  {`<`, `<`, ``},
	"bytes": {``, "\xff", ``},
}

func (h hostile) writeTo(w io.Writer, length int) error {
	if _, err := io.WriteString(w, h.begin); err != nil {
		return err
	}
	chunk := []byte(strings.Repeat(h.part, 1+(1<<14)/len(h.part)))
	for total := 0; total < length; total += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, h.end)
	return err
}

func (h hostile) compressed(t testing.TB, length int) []byte {
	t.Helper()
	var wire bytes.Buffer
	w, _ := gzip.NewWriterLevel(&wire, gzip.BestSpeed)
	if err := h.writeTo(w, length); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return wire.Bytes()
}

// decoders are calls with each of the decoders, by the status code of the response.
var decoders = map[string]struct {
	status int
	call   func(context.Context, *Client) error
}{
	"batch": {http.StatusOK, calls["create"]},
	"list":  {http.StatusOK, calls["failed files"]},
	"file":  {http.StatusOK, calls["file"]},
	"none":  {http.StatusOK, func(ctx context.Context, c *Client) error { return c.Detach(ctx, testStore, testFile) }},
	"error": {http.StatusInternalServerError, calls["cancel"]},
}

// expectBoundedGarbage fails the test if a decoder allocates more than a limit for a body.
func expectBoundedGarbage(t *testing.T, body []byte, encoding string) {
	t.Helper()
	for name, decoder := range decoders {
		client := testClient()
		client.http.Transport = memoryTransport{
			status: decoder.status, header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}, body: body,
		}
		if garbage := allocated(func() { _ = decoder.call(t.Context(), client) }); garbage > maxDecodeGarbage {
			t.Errorf("%s: %d bytes allocated, want at most %d", name, garbage, maxDecodeGarbage)
		}
	}
}

// memoryTransport is an http.RoundTripper whose responses need no connections, so that a test measures
// the memory of the client alone.
type memoryTransport struct {
	status int
	header http.Header
	body   []byte
}

func (m memoryTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: m.status, Header: m.header, Body: io.NopCloser(bytes.NewReader(m.body))}, nil
}

// TestClient_HostileBodies measures what a call allocates for each body, which has 8 MiB, and 8 KB on the
// wire.
func TestClient_HostileBodies(t *testing.T) {
	for name, body := range hostileBodies {
		t.Run(name, func(t *testing.T) { expectBoundedGarbage(t, body.compressed(t, 8<<20), "gzip") })
	}
}

// allocated returns the number of bytes that a function allocates.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// peak returns the most memory that a function uses at any of the moments at which it calls sample,
// beyond what is in use before it.
func peak(run func(sample func())) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	inUse := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before, most := inUse(), uint64(0)
	run(func() { most = max(most, inUse()) })
	return most - min(before, most)
}

// samplingReader is a body of a hostile kind that calls sample every 64 KiB.
type samplingReader struct {
	io.Reader
	sample func()
	read   int
}

func (r *samplingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.read += n; r.read >= 64<<10 {
		r.read = 0
		r.sample()
	}
	return n, err
}

// TestClient_MemoryOfHostileBodies measures the memory in use while a body is decoded.
func TestClient_MemoryOfHostileBodies(t *testing.T) {
	client := testClient()
	for name, body := range hostileBodies {
		t.Run(name, func(t *testing.T) {
			reader, writer := io.Pipe()
			go func() { _ = writer.CloseWithError(body.writeTo(writer, 1<<20)) }()
			defer func() { _ = reader.Close() }()
			got := peak(func(sample func()) {
				source := &samplingReader{Reader: reader, sample: sample}
				s := newScanner(limitReader(source, defaultMaxResponseBytes), filesPerPage*tokensPerItem)
				page, err := decodeFilesFrom(client, s)
				sample()
				runtime.KeepAlive(page)
				runtime.KeepAlive(s)
				runtime.KeepAlive(err)
			})
			if got > maxDecodeMemory {
				t.Errorf("%d bytes in use, want at most %d", got, maxDecodeMemory)
			}
		})
	}
}

// padded returns a batch of a number of bytes.
func padded(length int) string {
	body := batchJSON[:len(batchJSON)-1] + `,"a":[`
	for len(body) < length-2000 {
		body += `"` + strings.Repeat("a", 1000) + `",`
	}
	return body + `"` + strings.Repeat("a", length-len(body)-len(`""]}`)) + `"]}`
}

func TestClient_Compression(t *testing.T) {
	compress := func(text string) string {
		var wire bytes.Buffer
		w := gzip.NewWriter(&wire)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return wire.String()
	}
	empty := compress("")
	for name, test := range map[string]struct {
		encoding, body, message string
	}{
		"none":                     {"", batchJSON, ""},
		"identity":                 {"identity", batchJSON, ""},
		"gzip":                     {"gzip", compress(batchJSON), ""},
		"in capitals":              {"GZIP", compress(batchJSON), ""},
		"old name":                 {"x-gzip", compress(batchJSON), ""},
		"two parts":                {"gzip", compress(batchJSON[:40]) + compress(batchJSON[40:]), ""},
		"the longest":              {"gzip", compress(padded(maxObjectBytes)), ""},
		"too long":                 {"gzip", compress(padded(maxObjectBytes + 1)), "longer than 262144 bytes"},
		"too long, not compressed": {"", padded(maxObjectBytes + 1), "longer than 262144 bytes"},
		"the longest, plain":       {"", padded(maxObjectBytes), ""},
		"too long on the wire":     {"gzip", strings.Repeat(empty, 1+maxObjectBytes/len(empty)) + compress(batchJSON), "longer than 262144 bytes"},
		"cut":                      {"gzip", compress(batchJSON)[:60], "not a JSON object"},
		"no gzip":                  {"gzip", batchJSON, "gzip: invalid header"},
		"wrong checksum":           {"gzip", compress(batchJSON)[:len(compress(batchJSON))-8] + "01234567", "gzip: invalid checksum"},
		"another encoding":         {"br", batchJSON, "unknown Content-Encoding"},
		"two encodings":            {"gzip, gzip", compress(compress(batchJSON)), "unknown Content-Encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Values("Accept-Encoding"); len(got) != 1 || got[0] != "gzip" {
					t.Errorf("Accept-Encoding is %q", got)
				}
				respondJSON(200, test.body, "Content-Encoding", test.encoding)(w, r)
			}, Options{})
			batch, err := client.Retrieve(t.Context(), testRef)
			if test.message == "" {
				if err != nil || batch.ID != testBatch || batch.FileCounts.Total != 10 {
					t.Errorf("Retrieve = %+v, %v", batch, err)
				}
				return
			}
			if failure := classified(t, err); failure.Kind != upstream.Transient || !strings.Contains(failure.Message, test.message) {
				t.Errorf("%v: %v, want %q in it", failure.Kind, failure, test.message)
			}
		})
	}
}

func TestClient_CompressedError(t *testing.T) {
	body := hostile{`{"error":{"message":"m"}`, ` `, `}`}
	for length, want := range map[int]string{maxErrorBytes / 2: "m", maxErrorBytes * 2: "returned 500"} {
		var wire bytes.Buffer
		w := gzip.NewWriter(&wire)
		if err := body.writeTo(w, length); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		client, _ := serve(t, respondJSON(500, wire.String(), "Content-Encoding", "gzip"), Options{})
		if failure := classified(t, calls["retrieve"](t.Context(), client)); !strings.Contains(failure.Message, want) {
			t.Errorf("%d bytes: %v, want %q in it", length, failure, want)
		}
	}
}

func TestClient_LongHeaders(t *testing.T) {
	for length, works := range map[int]bool{maxHeaderBytes - 1000: true, maxHeaderBytes + 10_000: false} {
		client, _ := serve(t, respondJSON(200, batchJSON, "X-Long", strings.Repeat("a", length)), Options{})
		if err := calls["retrieve"](t.Context(), client); (err == nil) != works {
			t.Errorf("a header of %d bytes: %v, want valid: %t", length, err, works)
		}
	}
}

// TestClient_IgnoredBodies verifies that a connection is used again if its response has a body that the
// client does not decode, and is closed if that has no end.
func TestClient_IgnoredBodies(t *testing.T) {
	for name, test := range map[string]struct {
		status, length int
		connections    int64
	}{
		"an error":     {http.StatusBadGateway, 10_000, 1},
		"a long error": {http.StatusBadGateway, 1 << 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var accepted atomic.Int64
			e := listen(t, respond(test.status, "text/plain", strings.Repeat("a ", test.length/2)), func(s *httptest.Server) {
				s.Config.ConnState = countNew(&accepted)
				s.Start()
			})
			client := dial(t, upstream.Connection{BaseURL: e.URL}, Options{})
			for range 3 {
				if err := client.Detach(t.Context(), testStore, testFile); err == nil {
					t.Error("Detach succeeded")
				}
			}
			if accepted.Load() != test.connections {
				t.Errorf("%d connections, want %d", accepted.Load(), test.connections)
			}
		})
	}
}
