// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// repetition is the variable of Fault.Repeat.
const repetition = "{{n}}"

// hostile are the faults that Fault.Preset can name. Each is what a broken or a malicious server
// sends; the sizes exceed what a client may hold in memory.
var hostile = map[string]Fault{
	// 96 MiB of empty objects in 100 KB on the wire.
	"gzip_bomb": {Status: 200, Body: `{"object":"list","data":[`, Repeat: "{},", RepeatTimes: 32 << 20, Tail: `{}],"has_more":false}`, Gzip: true},
	// A string without an end, compressed and not.
	"endless":      {Status: 200, Body: `{"id":"`, Repeat: "a", RepeatTimes: -1},
	"endless_gzip": {Status: 200, Body: `{"id":"`, Repeat: "a", RepeatTimes: -1, Gzip: true},
	// A page without an end of small items.
	"endless_page": {Status: 200, Body: `{"object":"list","data":[`, Repeat: "0,", RepeatTimes: -1},
	"deep_nesting": {Status: 200, Body: `{"id":`, Repeat: "[", RepeatTimes: 1 << 20, Close: "]", Tail: "}"},
	"many_keys":    {Status: 200, Body: "{", Repeat: `"k{{n}}":1,`, RepeatTimes: 1 << 20, Tail: `"id":"{{batch}}"}`},
	"long_page":    {Status: 200, Body: `{"object":"list","data":[`, Repeat: `{"id":"file-{{n}}"},`, RepeatTimes: 1 << 20, Tail: `{}],"has_more":true}`},
	// The API key where clients quote the response.
	"key_echo":   {Status: 401, Header: map[string]string{"X-Request-Id": "{{key}}"}, Body: `{"error":{"message":"Incorrect API key provided: {{key}}","type":"{{key}}","param":"{{key}}","code":"{{key}}"}}`},
	"key_as_id":  {Status: 200, Body: `{"id":"{{key}}","object":"vector_store.file_batch","created_at":1,"vector_store_id":"{{key}}","status":"{{key}}","file_counts":{"in_progress":1,"completed":0,"failed":0,"cancelled":0,"total":1}}`},
	"html":       {Status: 200, Header: map[string]string{"Content-Type": "text/html; charset=utf-8"}, Body: loginPage},
	"not_json":   {Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: "OK"},
	"empty":      {Status: 200},
	"not_gzip":   {Status: 200, Header: map[string]string{"Content-Encoding": "gzip"}, Body: `{"id":"{{batch}}"}`},
	"undeleted":  {Status: 200, Body: `{"id":"{{file}}","object":"vector_store.file.deleted","deleted":false}`},
	"bad_utf8":   {Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: "{\"id\":\"{{batch}}\",\"status\":\"\xff\xfe\"}"},
	"retry_day":  {Status: 429, Header: map[string]string{"Retry-After": "86400"}, Body: `{"error":{"code":"429","message":"Requests have exceeded the call rate limit. Please retry after 86400 seconds."}}`},
	"retry_text": {Status: 429, Header: map[string]string{"Retry-After": "a while"}, Body: `{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`},
}

// Presets returns the names that Fault.Preset can have.
func Presets() []string { return slices.Sorted(maps.Keys(hostile)) }

// withPreset returns the fault with the fields of its preset that it does not set itself.
func (f Fault) withPreset() Fault {
	preset, ok := hostile[f.Preset]
	if !ok {
		return f
	}
	preset.Header = maps.Clone(preset.Header)
	overlay(&preset, f)
	return preset
}

// streams reports whether the body is generated while it is sent.
func (f *Fault) streams() bool {
	return f.Action == Answer && f.Status != 0 && (f.RepeatTimes != 0 || f.Gzip)
}

// expand replaces the variables of a body or a header.
func (s *Server) expand(x *exchange, text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	s.mu.Lock()
	key := s.key(x.request)
	s.mu.Unlock()
	return strings.NewReplacer(
		"{{key}}", key, "{{vector_store}}", x.variables["store"], "{{batch}}", x.variables["batch"], "{{file}}", x.variables["file"],
	).Replace(text)
}

// expanded returns the fault with the variables of the call replaced.
func (s *Server) expanded(x *exchange, f *Fault) *Fault {
	changed := *f
	changed.Body, changed.Tail = s.expand(x, f.Body), s.expand(x, f.Tail)
	changed.Header = make(map[string]string, len(f.Header))
	for name, value := range f.Header {
		changed.Header[name] = s.expand(x, value)
	}
	return &changed
}

// stream sends a generated body. A client that disconnects ends it.
func (s *Server) stream(w http.ResponseWriter, x *exchange, f *Fault) {
	res := f.response(response{}, s.clock())
	if _, set := f.Header["Content-Type"]; !set {
		res.header.Set("Content-Type", "application/json")
	}
	if f.Gzip {
		res.header.Set("Content-Encoding", "gzip")
	}
	s.writeHeader(w, x, res, string(f.Action))
	if !f.Gzip {
		s.finishStream(f.writeBody(w, x.request.Context().Done()))
		return
	}
	compressed := gzip.NewWriter(w)
	err := f.writeBody(compressed, x.request.Context().Done())
	if err == nil {
		err = compressed.Close()
	}
	s.finishStream(err)
}

// finishStream closes the connection if the body is incomplete.
func (s *Server) finishStream(err error) {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// writeBody writes the body, its repetitions and its tail.
func (f *Fault) writeBody(w io.Writer, gone <-chan struct{}) error {
	if _, err := io.WriteString(w, f.Body); err != nil {
		return err
	}
	if err := repeat(w, f.Repeat, f.RepeatTimes, gone); err != nil {
		return err
	}
	if err := repeat(w, f.Close, f.RepeatTimes, gone); err != nil {
		return err
	}
	_, err := io.WriteString(w, f.Tail)
	return err
}

// repeat writes a text several times, or until maxEndlessBytes if times is negative.
func repeat(w io.Writer, text string, times int64, gone <-chan struct{}) error {
	if text == "" {
		return nil
	}
	if times < 0 {
		times = maxEndlessBytes / int64(len(text))
	}
	const size = 32 << 10
	var chunk bytes.Buffer
	for n := int64(0); n < times; {
		chunk.Reset()
		for ; n < times && chunk.Len() < size; n++ {
			chunk.WriteString(strings.ReplaceAll(text, repetition, strconv.FormatInt(n, 10)))
		}
		select {
		case <-gone:
			return io.ErrClosedPipe
		default:
		}
		if _, err := w.Write(chunk.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
