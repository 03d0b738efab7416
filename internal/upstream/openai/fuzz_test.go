// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range [][2]string{
		{"7", ""}, {"", "1500"}, {"Mon, 02 Jan 2006 15:04:05 GMT", ""}, {"-1", "-1"}, {"1e999", "NaN"}, {"0x1p60", "inf"},
		{"99999999999999999999", "soon"}, {"Fri, 31 Dec 9999 23:59:59 GMT", " 5 "},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, seconds, milliseconds string) {
		header := http.Header{"Retry-After": {seconds}, "Retry-After-Ms": {milliseconds}, "Openai-Poll-After-Ms": {milliseconds}}
		for name, delay := range map[string]time.Duration{"retryAfter": retryAfter(header), "pollAfter": pollAfter(header)} {
			if delay < 0 || delay > maxDelay {
				t.Errorf("%s(%q, %q) = %v, want 0 to %v", name, seconds, milliseconds, delay, maxDelay)
			}
		}
	})
}

// bodies adds seeds for the body of a response.
func bodies(f *testing.F) {
	for _, seed := range []string{
		batchJSON, fileJSON, page("failed", true, testFile), "", "null", "[]", `{"id":null}`, `{"id":"` + testStore + `"}`,
		strings.ReplaceAll(batchJSON, testBatch, "vsfb_other"), `{"id":"` + testBatch + `","file_counts":{"total":1e400}}`,
		`{"id":"` + testBatch + `","status":"\ud800","file_counts":{}}`, `{"error":{"message":"m","code":3}}`, `{"error":"e"}`,
		strings.Repeat("[", 20000), `{"id":"` + testBatch + `","id":"vsfb_other","status":"x","file_counts":{}}`,
	} {
		f.Add([]byte(seed))
	}
}

// testClient returns a client of a server that does not exist.
func testClient() *Client {
	client, err := Dial(upstream.Connection{APIKey: testKey, BaseURL: "https://api.example/v1"}, Options{})
	if err != nil {
		panic(err)
	}
	return client
}

// FuzzDecodeBatch verifies that no body causes a panic, is decoded as another object than the requested
// one, or results in values that Kubernetes cannot store.
func FuzzDecodeBatch(f *testing.F) {
	bodies(f)
	client := testClient()
	f.Fuzz(func(t *testing.T, body []byte) {
		created, err := client.decodeBatch(scan(body), upstream.BatchRef{VectorStoreID: testStore})
		if err == nil {
			if created.ID == testStore || validateObjectID("batch", created.ID) != nil || strings.Contains(created.ID, testKey) {
				t.Errorf("created with the ID %q", created.ID)
			}
			checkBatch(t, created)
		}
		if read, err := client.decodeBatch(scan(body), testRef); err == nil {
			if read.ID != testBatch {
				t.Errorf("decoded %q as %q", read.ID, testBatch)
			}
			checkBatch(t, read)
		}
		if file, err := client.decodeFile(scan(body), testStore, testFile); err == nil && file.ID != testFile {
			t.Errorf("decoded %q as %q", file.ID, testFile)
		}
	})
}

// FuzzResponseMessage verifies that no body causes a panic, or results in a message that cannot be shown
// to users.
func FuzzResponseMessage(f *testing.F) {
	bodies(f)
	client := testClient()
	f.Fuzz(func(t *testing.T, body []byte) {
		var texts []string
		if files, err := decodeFiles(client, body); err == nil {
			for _, file := range files.items {
				texts = append(texts, file.FileID, file.Code, file.Message)
			}
		}
		for _, status := range []int{302, 400, 429, 500} {
			x := &exchange{notIdempotent: true, status: status, header: http.Header{"Content-Type": {"application/json"}}}
			x.body.wire = bytes.NewReader(body)
			x.readFailure()
			failure := client.statusError(x)
			if failure.Message == "" {
				t.Errorf("%d: no message", status)
			}
			texts = append(texts, failure.Code, failure.Message)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxMessage || strings.Contains(text, testKey) ||
				strings.ContainsAny(text, "\n\x00\u202e") {
				t.Errorf("text %q", text)
			}
		}
	})
}

func checkBatch(t *testing.T, batch upstream.Batch) {
	t.Helper()
	counts := batch.FileCounts
	if min(counts.InProgress, counts.Completed, counts.Failed, counts.Cancelled, counts.Total) < 0 {
		t.Errorf("negative counts: %+v", counts)
	}
	if batch.Status == "" || len(batch.Status) > maxStatus || !utf8.ValidString(string(batch.Status)) {
		t.Errorf("status %q", batch.Status)
	}
	if batch.CreatedAt.Year() > 9999 {
		t.Errorf("created in the year %d", batch.CreatedAt.Year())
	}
}

// scan returns a scanner of a body with the limits of an object.
func scan(body []byte) *scanner { return newScanner(bytes.NewReader(body), maxObjectTokens) }

func decodeFiles(client *Client, body []byte) (pageOf[listedFile], error) {
	return decodeFilesFrom(client, newScanner(bytes.NewReader(body), filesPerPage*tokensPerItem))
}

func decodeFilesFrom(client *Client, s *scanner) (pageOf[listedFile], error) {
	return decodePage(s, filesPerPage, func(first json.Token) (listedFile, error) { return client.decodeListedFile(s, first) })
}

// FuzzDecodeMemory verifies that no body takes more memory than its limits permit, compressed or not.
func FuzzDecodeMemory(f *testing.F) {
	for _, body := range hostileBodies {
		f.Add(body.compressed(f, 1<<16), "gzip")
		f.Add([]byte(body.begin+strings.Repeat(body.part, 1+10_000/len(body.part))+body.end), "")
	}
	f.Fuzz(expectBoundedGarbage)
}
