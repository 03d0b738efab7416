// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// TestProfile_OGXMatchesServer makes the same calls to the emulator and to a running OGX, and
// compares what it observes. It needs the URL of an OGX in OGX_URL, such as http://127.0.0.1:8321, and
// its key in OGX_KEY, if it has one. If OGX_SLOW_URL is set, a GET of it with 1 or 0 appended makes
// embeddings slow or fast, and the test also cancels a batch in progress. `make test-servers` sets them.
func TestProfile_OGXMatchesServer(t *testing.T) {
	emulated := httptest.NewServer(emulator.New(emulator.Options{Profile: emulator.ProfileOGX, Strict: true}))
	defer emulated.Close()
	want := map[string]string{}
	observeOGX(t, emulated.URL+"/v1", want)
	for name, expected := range ogxObservations {
		if got := want[name]; got != expected {
			t.Errorf("%s: the emulator returned\n  %s\nwant what OGX 1.5.0 returned:\n  %s", name, got, expected)
		}
	}
	equal(t, "number of observations", len(want), len(ogxObservations))

	url := os.Getenv("OGX_URL")
	if url == "" {
		t.Skip("OGX_URL is not set: the emulator was compared with the recorded observations only")
	}
	got := map[string]string{}
	observeOGX(t, url+"/v1", got)
	equal(t, "OGX", got, ogxObservations)
}

// TestProfile_OGXCancelMatchesServer cancels a batch after the first step of its counts.
func TestProfile_OGXCancelMatchesServer(t *testing.T) {
	slow := emulator.New(emulator.Options{Profile: emulator.ProfileOGX, Settings: emulator.Settings{Pace: 20 * time.Millisecond}})
	emulated := httptest.NewServer(slow)
	defer emulated.Close()
	want := []string{
		`200 "cancelled" {"cancelled":0,"completed":10,"failed":0,"in_progress":4,"total":14}`,
		`200 "cancelled" {"cancelled":0,"completed":10,"failed":0,"in_progress":4,"total":14}`,
		`200, fewer files than the counts have: false`,
	}
	equal(t, "emulator", observeOGXCancel(t, emulated.URL+"/v1"), want)
	url, slowURL := os.Getenv("OGX_URL"), os.Getenv("OGX_SLOW_URL")
	if url == "" || slowURL == "" {
		t.Skip("OGX_URL and OGX_SLOW_URL are not set")
	}
	toggle := func(seconds string) {
		r, err := http.Get(slowURL + seconds)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	toggle("1")
	defer toggle("0")
	equal(t, "OGX", observeOGXCancel(t, url+"/v1"), want)
}

func observeOGXCancel(t *testing.T, base string) []string {
	t.Helper()
	o := observer{t: t, base: base}
	store := o.id("POST", "/vector_stores", `{"name":"cancel"}`)
	ids := make([]string, 14)
	for i := range ids {
		ids[i] = o.upload("file.txt", fmt.Sprintf("text number %d", i))
	}
	path := "/vector_stores/" + store + "/file_batches"
	path += "/" + o.id("POST", path, `{"file_ids":["`+strings.Join(ids, `","`)+`"]}`)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-poll.C {
		status, body := o.call("GET", path, "")
		if strings.Contains(body, `"completed":10`) {
			break
		}
		if !strings.Contains(body, `"completed":0`) || time.Now().After(deadline) {
			t.Fatalf("the counts do not change in steps of 10: %d %s", status, body)
		}
	}
	var observed []string
	for _, call := range [][2]string{{"POST", path + "/cancel"}, {"GET", path}} {
		status, body := o.call(call[0], call[1], "")
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		observed = append(observed, fmt.Sprintf("%d %s %s", status, fields["status"], normalized(string(fields["file_counts"]))))
	}
	// The list has each file that was processed, also those after the last step of the counts.
	status, body := o.call("GET", path+"/files?limit=100", "")
	fewer := strings.Count(body, `"vector_store.file"`) < 10
	return append(observed, fmt.Sprintf("%d, fewer files than the counts have: %t", status, fewer))
}

// observer makes calls and records the normalized responses.
type observer struct {
	t    *testing.T
	base string
	seen map[string]string
}

func (o observer) send(request *http.Request) (int, string) {
	o.t.Helper()
	request.Header.Set("Authorization", "Bearer "+cmp.Or(os.Getenv("OGX_KEY"), testKey))
	request.Close = true // OGX closes the connection after some errors
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		o.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, name := range []string{"X-Request-Id", "Openai-Organization", "Openai-Version"} {
		if r.Header.Get(name) != "" {
			o.t.Errorf("%s %s: the response has %s", request.Method, request.URL.Path, name)
		}
	}
	return r.StatusCode, string(body)
}

func (o observer) call(method, path, body string) (int, string) {
	o.t.Helper()
	request, err := http.NewRequest(method, o.base+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return o.send(request)
}

// id returns the ID of the object that a call returns.
func (o observer) id(method, path, body string) string {
	o.t.Helper()
	status, response := o.call(method, path, body)
	return o.idOf(status, response)
}

func (o observer) idOf(status int, response string) string {
	o.t.Helper()
	var object struct{ ID string }
	if err := json.Unmarshal([]byte(response), &object); err != nil || object.ID == "" {
		o.t.Fatalf("%d %s: no ID: %v", status, response, err)
	}
	return object.ID
}

// observe records the response to a call.
func (o observer) observe(name, method, path, body string) string {
	o.t.Helper()
	status, response := o.call(method, path, body)
	o.seen[name] = fmt.Sprint(status, " ", normalized(response))
	return response
}

// observeStatus records the status only, where the body is the wording of a library.
func (o observer) observeStatus(name, method, path, body string) {
	o.t.Helper()
	status, _ := o.call(method, path, body)
	o.seen[name] = fmt.Sprint(status)
}

// uploadResponse sends the file name as it is, with its path.
func (o observer) uploadResponse(name, content string) (int, string) {
	o.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	header := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="` + name + `"`}, "Content-Type": {"text/plain"}}
	part, err := form.CreatePart(header)
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err == nil {
		err = form.WriteField("purpose", "assistants")
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, o.base+"/files", &body)
	if err != nil {
		o.t.Fatal(err)
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	return o.send(request)
}

func (o observer) upload(name, content string) string {
	o.t.Helper()
	status, response := o.uploadResponse(name, content)
	return o.idOf(status, response)
}

// finished waits until a batch is not in progress.
func (o observer) finished(path string) {
	o.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-poll.C {
		status, body := o.call("GET", path, "")
		if status != http.StatusOK || !strings.Contains(body, `"status":"in_progress"`) {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("the batch is still in progress: %s", body)
		}
	}
}

var (
	variableID  = regexp.MustCompile(`\b(vs_|batch_|file-|job_)[0-9a-f][0-9a-f-]*[0-9]?[0-9a-f-]*`)
	unsupported = regexp.MustCompile(`(is not supported\.).*?"`)
)

// variable are the fields that differ between two runs, or that the emulator does not have.
var variable = map[string]bool{
	"created_at": true, "expires_at": true, "usage_bytes": true, "last_active_at": true, "metadata": true,
	"status_details": true, "expires_after": true,
}

// normalized returns JSON with sorted keys, without the variable fields, and with the same ID for
// every object of a kind.
func normalized(body string) string {
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return body
	}
	withoutVariable(v)
	encoded, err := json.Marshal(v)
	if err != nil {
		return body
	}
	text := unsupported.ReplaceAllString(string(encoded), `$1"`)
	return variableID.ReplaceAllString(text, "${1}ID")
}

func withoutVariable(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if variable[name] {
				delete(v, name)
				continue
			}
			withoutVariable(value)
		}
	case []any:
		for _, item := range v {
			withoutVariable(item)
		}
	}
}

// observeOGX makes the calls whose responses differ between servers.
func observeOGX(t *testing.T, base string, seen map[string]string) {
	t.Helper()
	o := observer{t: t, base: base, seen: seen}
	store := o.id("POST", "/vector_stores", `{"name":"observed"}`)
	storePath := "/vector_stores/" + store
	batches := storePath + "/file_batches"
	text, twice := o.upload("a.txt", "hello world"), o.upload("b.txt", "hello again")
	o.observeUploads()

	o.observe("missing batch", "GET", batches+"/batch_0", "")
	o.observe("batch with OpenAI's prefix", "GET", batches+"/vsfb_0", "")
	o.observe("files of a missing batch", "GET", batches+"/batch_0/files", "")
	o.observe("cancel of a missing batch", "POST", batches+"/batch_0/cancel", "")
	o.observe("missing vector store", "GET", "/vector_stores/vs_0", "")
	o.observe("batch of a missing vector store", "GET", "/vector_stores/vs_0/file_batches/batch_0", "")
	o.observe("create in a missing vector store", "POST", "/vector_stores/vs_0/file_batches", `{"file_ids":["file-0"]}`)
	o.observe("missing file of a vector store", "GET", storePath+"/files/file-0", "")
	o.observe("detach of a missing file", "DELETE", storePath+"/files/file-0", "")
	o.observe("missing upload", "GET", "/files/file-0", "")
	o.observe("unknown path", "GET", "/nowhere", "")
	o.observeStatus("body that is not JSON", "POST", batches, "{")
	o.observeStatus("file ID that is not a string", "POST", batches, `{"file_ids":[1]}`)
	o.observeStatus("page of 101", "GET", storePath+"/files?limit=101", "")
	o.observeStatus("page of 0", "GET", storePath+"/files?limit=0", "")

	o.observe("create with files", "POST", batches, `{"files":[{"file_id":"`+text+`"}]}`)
	o.observe("create with an empty list", "POST", batches, `{"file_ids":[]}`)
	o.observe("create without a list", "POST", batches, `{}`)
	ignored := batches + "/" + o.id("POST", batches, `{"files":[{"file_id":"`+text+`"}]}`)
	o.finished(ignored)
	o.observe("batch created with files", "GET", ignored, "")

	created := o.observe("create", "POST", batches, `{"file_ids":["`+twice+`","`+twice+`","`+text+`","file-0123456789abcdef"],
		"attributes":{"n":1,"f":1.5,"s":"x","b":true},"unknown":1}`)
	path := batches + "/" + o.idOf(200, created)
	o.finished(path)
	o.observe("batch with a duplicate and a missing file", "GET", path, "")
	o.observe("its files", "GET", path+"/files?limit=100&order=asc", "")
	o.observe("unknown cursor", "GET", path+"/files?limit=1&order=asc&after=file-0", "")
	o.observe("unknown filter", "GET", path+"/files?filter=done", "")
	o.observe("failed files", "GET", path+"/files?filter=failed", "")
	o.observe("late cancel", "POST", path+"/cancel", "")

	again := batches + "/" + o.id("POST", batches, `{"file_ids":["`+text+`"],"attributes":{"new":true}}`)
	o.finished(again)
	o.observe("attached again with other attributes", "GET", again+"/files", "")
	o.observe("update of attributes", "POST", storePath+"/files/"+text, `{"attributes":{"n":2}}`)
	o.observe("detach", "DELETE", storePath+"/files/"+text, "")
	o.observe("second detach", "DELETE", storePath+"/files/"+text, "")
	o.observe("files of the batch after the detach", "GET", again+"/files", "")
	o.observeContent(storePath)
	o.observeDeletes(storePath, text)
}

func (o observer) observeUploads() {
	o.t.Helper()
	for name, content := range map[string]string{"a b.txt": "x", "docs/sub/é.MD": "x", ".env": "x", "x..y.txt": "x"} {
		status, response := o.uploadResponse(name, content)
		o.seen["upload of "+name] = fmt.Sprint(status, " ", normalized(response))
	}
}

// observeContent observes which uploads fail.
func (o observer) observeContent(storePath string) {
	o.t.Helper()
	for name, content := range map[string]string{
		"noextension": "text", "blank.txt": "  \n", "empty.txt": "", "broken.PDF": "text", "image.png": "text",
		"table.csv": "a,b", "header.h": "int x;", "UPPER.TXT": "text", "page.html": "<p>text</p>",
	} {
		id := o.upload(name, content)
		batches := storePath + "/file_batches"
		path := batches + "/" + o.id("POST", batches, `{"file_ids":["`+id+`"],"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":200,"chunk_overlap_tokens":150}}}`)
		o.finished(path)
		o.observe("content of "+name, "GET", path+"/files", "")
	}
}

func (o observer) observeDeletes(storePath, upload string) {
	o.t.Helper()
	batches := storePath + "/file_batches"
	path := batches + "/" + o.id("POST", batches, `{"file_ids":["`+upload+`"]}`)
	o.finished(path)
	o.observe("delete of an attached upload", "DELETE", "/files/"+upload, "")
	o.observe("second delete", "DELETE", "/files/"+upload, "")
	o.observe("file of the vector store after it", "GET", storePath+"/files/"+upload, "")
	o.observe("delete of the vector store", "DELETE", storePath, "")
	o.observe("second delete of the vector store", "DELETE", storePath, "")
	o.observe("batch after it", "GET", path, "")
}
