// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// document is a file to upload.
type document struct{ name, content string }

// pdf returns a PDF of one page with one line of text.
func pdf(text string) string {
	stream := fmt.Sprintf("BT /F1 12 Tf 72 720 Td (%s) Tj ET", text)
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(stream), stream),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var file, table strings.Builder
	file.WriteString("%PDF-1.4\n")
	for i, object := range objects {
		fmt.Fprintf(&table, "%010d 00000 n \n", file.Len())
		fmt.Fprintf(&file, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	start, size := file.Len(), len(objects)+1
	fmt.Fprintf(&file, "xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", size, table.String(), size, start)
	return file.String()
}

// object is what a call returns.
type object struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Counts struct {
		Completed  int `json:"completed"`
		Failed     int `json:"failed"`
		InProgress int `json:"in_progress"`
		Total      int `json:"total"`
	} `json:"file_counts"`
}

// call makes a call that must succeed.
func (o *ogx) call(t *testing.T, method, path string, body any) object {
	t.Helper()
	var answer object
	if err := o.Call(t.Context(), method, "/v1"+path, body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// newStore creates a vector store, and returns its ID.
func (o *ogx) newStore(t *testing.T) string {
	t.Helper()
	return o.call(t, http.MethodPost, "/vector_stores", map[string]string{"name": t.Name()}).ID
}

// batch reads a batch.
func (o *ogx) batch(t *testing.T, store, id string) object {
	t.Helper()
	return o.call(t, http.MethodGet, "/vector_stores/"+store+"/file_batches/"+id, nil)
}

// upload uploads documents, and returns the IDs of the files.
func (o *ogx) upload(t *testing.T, documents ...document) []string {
	t.Helper()
	var ids []string
	for _, d := range documents {
		id, err := o.uploadOne(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func (o *ogx) uploadOne(ctx context.Context, d document) (string, error) {
	body, contentType, err := encode(d)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL+"/v1/files", body)
	if err != nil {
		return "", fmt.Errorf("creating a request: %w", err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+o.Key)
	response, err := o.HTTP.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var file object
	if err := json.NewDecoder(response.Body).Decode(&file); err != nil || file.ID == "" {
		return "", fmt.Errorf("uploading %s: HTTP %d without an ID: %w", d.name, response.StatusCode, err)
	}
	return file.ID, nil
}

// encode returns the form of an upload and its type.
func encode(d document) (body *bytes.Buffer, contentType string, err error) {
	body = &bytes.Buffer{}
	form := multipart.NewWriter(body)
	part, err := form.CreateFormFile("file", d.name)
	if err == nil {
		_, err = io.WriteString(part, d.content)
	}
	if err := errors.Join(err, form.WriteField("purpose", "assistants"), form.Close()); err != nil {
		return nil, "", fmt.Errorf("encoding %s: %w", d.name, err)
	}
	return body, form.FormDataContentType(), nil
}

// warmUp attaches a first file, for which OGX loads what it needs to process files. That blocks it for
// seconds, and for longer on a busy machine.
func (o *ogx) warmUp(ctx context.Context) error {
	file, err := o.uploadOne(ctx, document{"first.txt", "first"})
	if err != nil {
		return err
	}
	var store, batch object
	if err := o.Call(ctx, http.MethodPost, "/v1/vector_stores", map[string]string{"name": "first"}, &store); err != nil {
		return err
	}
	batches := "/v1/vector_stores/" + store.ID + "/file_batches"
	if err := o.Call(ctx, http.MethodPost, batches, map[string][]string{"file_ids": {file}}, &batch); err != nil {
		return err
	}
	return framework.Poll(ctx, "the first batch", func() (bool, error) {
		err := o.Call(ctx, http.MethodGet, batches+"/"+batch.ID, nil, &batch)
		return batch.Status == "completed", err
	})
}

// result is a passage that a search found. OGX reports an ID of its own as file_id; that of the file is
// among the attributes.
type result struct {
	Name       string         `json:"filename"`
	Attributes map[string]any `json:"attributes"`
	Content    []struct {
		Text string `json:"text"`
	} `json:"content"`
}

// file returns the ID of the passage's file.
func (r result) file() any { return r.Attributes["file_id"] }

// search returns the passages of a vector store that are nearest to a query.
func (o *ogx) search(t *testing.T, store, query string) []result {
	t.Helper()
	var page struct {
		Data []result `json:"data"`
	}
	body := map[string]string{"query": query}
	if err := o.Call(t.Context(), http.MethodPost, "/v1/vector_stores/"+store+"/search", body, &page); err != nil {
		t.Fatal(err)
	}
	return page.Data
}

// find requires that a search finds a file first, and returns the passage.
func (o *ogx) find(t *testing.T, store, query, file string) result {
	t.Helper()
	results := o.search(t, store, query)
	if len(results) == 0 || results[0].file() != file {
		t.Fatalf("a search for %q found %+v, want file %s first", query, results, file)
	}
	return results[0]
}

// storeFiles returns the files of a vector store with their status.
func (o *ogx) storeFiles(t *testing.T, store string) map[string]string {
	t.Helper()
	var page struct {
		Data []object `json:"data"`
	}
	if err := o.Call(t.Context(), http.MethodGet, "/v1/vector_stores/"+store+"/files?limit=100", nil, &page); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range page.Data {
		files[file.ID] = file.Status
	}
	return files
}

// fixture is a namespace with a running manager, and a vector store of the server.
type fixture struct {
	*framework.Fixture
	server  *ogx
	store   string
	manager *framework.Process
}

// direct is the Secret whose calls do not take the proxy.
const direct = "direct"

// requestTimeout is longer than OGX blocks its event loop.
const requestTimeout = "20s"

// newFixture returns a fixture of a server. The default Secret is for a proxy in front of it.
func newFixture(t *testing.T, o *ogx) *fixture {
	t.Helper()
	f := &fixture{Fixture: env.NewServerFixture(t, o.URL), server: o, store: o.newStore(t)}
	f.Create(t, framework.NewSecret(f.Namespace, direct, o.Key, o.BaseURL()))
	f.manager = f.StartManager(t, "manager", framework.Setup{Flags: []string{"--request-timeout=" + requestTimeout}})
	return f
}
