// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

const testKey = "sk-test-4f1d0c7e3a77"

// target is an emulator and a Server that examines it.
type target struct {
	*emulator.Server
	examine Server
	url     string
	// onCall is called with the number of each call before it is served.
	onCall func(n int64)
	calls  atomic.Int64
	// printed is everything that the progress has.
	printed strings.Builder
}

func newTarget(t *testing.T, options emulator.Options) *target {
	t.Helper()
	options.APIKeys, options.Seed, options.Organization = []string{testKey}, t.Name(), "org-test"
	e := &target{Server: emulator.New(options)}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := e.calls.Add(1); e.onCall != nil {
			e.onCall(n)
		}
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(listener.Close)
	e.url = listener.URL
	baseURL := listener.URL + e.Settings().BasePath
	client, err := openai.Dial(upstream.Connection{BaseURL: baseURL, APIKey: testKey}, openai.Options{
		RequestTimeout: 10 * time.Second,
		Endpoints:      upstream.EndpointPolicy{AllowInsecure: true}, Addresses: upstream.AnyAddress(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	e.examine = Server{
		Client: client, BaseURL: baseURL, Write: true, Timeout: 20 * time.Second, Settle: 200 * time.Millisecond, RetryDelay: 10 * time.Millisecond,
		Progress: func(text string) { e.printed.WriteString(text + "\n") }, Now: time.Now,
	}
	return e
}

// wantNothingLeft requires that the server has neither vector stores nor uploads.
func (e *target) wantNothingLeft(t *testing.T, f Findings) {
	t.Helper()
	if len(f.NotRemoved) > 0 {
		t.Errorf("not removed: %q", f.NotRemoved)
	}
	e.ClearFaults()
	for _, path := range []string{"/vector_stores", "/files"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+e.Settings().BasePath+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+testKey)
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Data []json.RawMessage }
		err = json.NewDecoder(r.Body).Decode(&list)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Data) > 0 {
			t.Errorf("%s: the server still has %s", path, list.Data)
		}
	}
}

// statuses returns what was observed, by the IDs of the questions that the operator does not decide.
func statuses(f Findings) map[string]Observation {
	all := map[string]Observation{}
	for _, b := range f.Behaviors {
		if !strings.HasPrefix(b.ID, "operator_") {
			all[b.ID] = b.Status
		}
	}
	return all
}

// answers formats Behaviors for the message of a test.
func answers(f Findings) string {
	var text strings.Builder
	for _, b := range slices.Concat(f.Behaviors, f.Timing) {
		fmt.Fprintf(&text, "%s: %s: %s (%s)\n", b.ID, b.Status, b.Answer, f.Details[b.ID])
	}
	return text.String()
}

func TestServer_Profiles(t *testing.T) {
	t.Parallel()
	for _, profile := range emulator.Profiles() {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s strict=%t", profile.Name, strict), func(t *testing.T) {
				t.Parallel()
				e := newTarget(t, emulator.Options{Profile: profile.Name, Strict: strict})
				if strict {
					e.examine.Settle = 4 * time.Second // more than the delays of the profiles
				}
				found := e.examine.Examine(t.Context())
				if diff := cmp.Diff(expected(e.Settings().Behaviors), statuses(found)); diff != "" {
					t.Errorf("unlike the profile (-want +got):\n%s\n%s", diff, answers(found))
				}
				e.wantNothingLeft(t, found)
				wantNoKey(t, e, found)
			})
		}
	}
}

// wantNoKey requires that no output contains the key.
func wantNoKey(t *testing.T, e *target, f Findings) {
	t.Helper()
	encoded, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, after, shown := strings.Cut(string(encoded)+e.printed.String(), testKey); shown {
		t.Errorf("the key is shown before %.200s", after)
	}
}

func TestServer_RepeatsItself(t *testing.T) {
	t.Parallel()
	for _, profile := range emulator.Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			var runs []Findings
			for range 2 {
				e := newTarget(t, emulator.Options{Profile: profile.Name, Settings: emulator.Settings{Pace: 3 * time.Millisecond}})
				runs = append(runs, e.examine.Examine(t.Context()))
			}
			if diff := cmp.Diff(runs[0].Behaviors, runs[1].Behaviors); diff != "" {
				t.Errorf("the second run differs:\n%s", diff)
			}
		})
	}
}

func TestServer_OperatorClient(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{emulator.ProfileOpenAI, emulator.ProfileAzure, emulator.ProfileOGX} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			e := newTarget(t, emulator.Options{Profile: profile})
			found := e.examine.Examine(t.Context())
			for _, b := range found.Behaviors {
				if strings.HasPrefix(b.ID, "operator_") && b.Status != Observed {
					t.Errorf("%s is %s: %s (%s)", b.ID, b.Status, b.Answer, found.Details[b.ID])
				}
			}
		})
	}
	e := newTarget(t, emulator.Options{})
	e.Configure(func(s *emulator.Settings) { s.AnswersStore = []emulator.Operation{emulator.Create} })
	found := e.examine.Examine(t.Context())
	if at := slices.IndexFunc(found.Behaviors, func(b Behavior) bool { return b.ID == "operator_create" }); found.Behaviors[at].Status == Observed {
		t.Errorf("the client understands a create that returns the vector store")
	}
}

func TestServer_ReadOnly(t *testing.T) {
	t.Parallel()
	e := newTarget(t, emulator.Options{Profile: emulator.ProfileOGX})
	e.examine.Write = false
	found := e.examine.Examine(t.Context())
	for _, call := range e.Calls() {
		if call.Method != http.MethodGet {
			t.Errorf("it sent %s %s", call.Method, call.Path)
		}
	}
	want := expected(e.Settings().Behaviors)
	for _, b := range found.Behaviors {
		if b.Status != want[b.ID] {
			t.Errorf("%s is %s, want %s", b.ID, b.Status, want[b.ID])
		}
	}
	if len(found.Behaviors) == 0 || len(found.Timing) > 0 {
		t.Errorf("%d behaviors and %d that depend on timing", len(found.Behaviors), len(found.Timing))
	}
}

func TestServer_AnyKey(t *testing.T) {
	t.Parallel()
	e := newTarget(t, emulator.Options{})
	open := emulator.New(emulator.Options{})
	e.Server = open
	e.examine.Write = false
	got := statuses(e.examine.Examine(t.Context()))
	if got["key_not_required"] != Observed || got["api_key_header"] != Unknown || got["login_page"] != NotObserved {
		t.Errorf("it observed %v", got)
	}
}

// TestServer_SingleBehaviors changes one behavior of the default profile at a time.
func TestServer_SingleBehaviors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*emulator.Behaviors){
		"answers_store":         func(b *emulator.Behaviors) { b.AnswersStore = []emulator.Operation{emulator.Retrieve} },
		"answers_store cancel":  func(b *emulator.Behaviors) { b.AnswersStore = []emulator.Operation{emulator.Retrieve, emulator.Cancel} },
		"poll_after":            func(b *emulator.Behaviors) { b.PollAfter = emulator.Duration(time.Second) },
		"created_at_skew":       func(b *emulator.Behaviors) { b.CreatedAtSkew = emulator.Duration(time.Hour) },
		"file_chunking_ignored": func(b *emulator.Behaviors) { b.FileChunkingIgnored = true },
		"deleted_files_stay":    func(b *emulator.Behaviors) { b.DeletedFilesStay = true },
		"ineffective_detaches":  func(b *emulator.Behaviors) { b.IneffectiveDetaches = 2 },
		"reattach_skipped":      func(b *emulator.Behaviors) { b.ReattachSkipped = true },
		"extra_fields":          func(b *emulator.Behaviors) { b.ExtraFields = true },
		"strict_files":          func(b *emulator.Behaviors) { b.StrictFiles = true },
		"max_batch_files":       func(b *emulator.Behaviors) { b.MaxBatchFiles = 100 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newTarget(t, emulator.Options{})
			e.Configure(func(s *emulator.Settings) { change(&s.Behaviors) })
			found := e.examine.Examine(t.Context())
			if diff := cmp.Diff(expected(e.Settings().Behaviors), statuses(found)); diff != "" {
				t.Errorf("unlike the behaviors (-want +got):\n%s", diff)
			}
			e.wantNothingLeft(t, found)
		})
	}
}

func TestServer_Timing(t *testing.T) {
	t.Parallel()
	const delay = emulator.Duration(80 * time.Millisecond)
	e := newTarget(t, emulator.Options{})
	e.examine.Settle = time.Second
	e.Configure(func(s *emulator.Settings) {
		s.UploadVisibleAfter, s.BatchVisibleAfter, s.DetachDelay, s.DriftingCreation = delay, delay, delay, true
	})
	found := e.examine.Examine(t.Context())
	for _, b := range found.Timing {
		if b.Status != Observed {
			t.Errorf("%s is %s: %s", b.ID, b.Status, b.Answer)
		}
	}
	e.wantNothingLeft(t, found)
}

func TestServer_RemovesAllAfterInterruption(t *testing.T) {
	t.Parallel()
	complete := newTarget(t, emulator.Options{})
	complete.examine.Examine(t.Context())
	for n := int64(1); n < complete.calls.Load(); n += 9 {
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			e := newTarget(t, emulator.Options{})
			e.onCall = func(call int64) {
				if call == n {
					cancel()
				}
			}
			found := e.examine.Examine(ctx)
			e.wantNothingLeft(t, found)
			if len(found.Behaviors) != len(complete.examine.Examine(ctx).Behaviors) {
				t.Error("questions are missing")
			}
		})
	}
}

func TestServer_RemovesAllAfterFailures(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]emulator.Fault{
		"upload lost":             {Operation: emulator.Upload, Action: emulator.Drop, AfterEffect: true},
		"second upload lost":      {Operation: emulator.Upload, Skip: 1, Times: 1, Action: emulator.Drop, AfterEffect: true},
		"upload without an ID":    {Operation: emulator.Upload, Times: 1, AfterEffect: true, Status: 200, Body: "{}"},
		"store lost":              {Operation: emulator.CreateStore, Times: 1, Action: emulator.Drop, AfterEffect: true},
		"second store lost":       {Operation: emulator.CreateStore, Skip: 1, Times: 1, AfterEffect: true, Status: 502},
		"create lost":             {Operation: emulator.Create, Action: emulator.Drop, AfterEffect: true},
		"create unavailable":      {Operation: emulator.Create, Status: 503},
		"create gateway timeout":  {Operation: emulator.Create, AfterEffect: true, Status: 504},
		"retrieve unavailable":    {Operation: emulator.Retrieve, Status: 500, Times: 3},
		"retrieve is a page":      {Operation: emulator.Retrieve, Status: 200, Body: "<html>"},
		"list is a page":          {Operation: emulator.ListFiles, Status: 200, Body: "<html>"},
		"delete unavailable":      {Operation: emulator.DeleteUpload, Status: 503, Times: 2},
		"store delete lost":       {Operation: emulator.DeleteStore, Action: emulator.Drop, AfterEffect: true, Times: 1},
		"store delete no success": {Operation: emulator.DeleteStore, Status: 200, Body: `{"deleted":false}`, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newTarget(t, emulator.Options{})
			e.examine.Timeout = time.Second
			e.AddFault(fault)
			found := e.examine.Examine(t.Context())
			e.wantNothingLeft(t, found)
			wantNoKey(t, e, found)
		})
	}
}

func TestServer_ReportsWhatRemains(t *testing.T) {
	t.Parallel()
	e := newTarget(t, emulator.Options{})
	e.AddFault(emulator.Fault{Operation: emulator.DeleteStore, Status: 403, Body: emulator.OpenAIError("invalid_request_error", "", "no "+testKey)})
	e.AddFault(emulator.Fault{Operation: emulator.DeleteUpload, Status: 200, Body: `{"deleted":false}`})
	e.examine.CleanupTimeout = 3 * time.Second
	found := e.examine.Examine(t.Context())
	stores := 0
	for _, text := range found.NotRemoved {
		if strings.HasPrefix(text, "vector store vs_") {
			stores++
		}
	}
	if stores != 2 || len(found.NotRemoved) < 10 {
		t.Errorf("it reports %q", found.NotRemoved)
	}
	wantNoKey(t, e, found)
}

// TestServer_HidesTheKey examines a server that repeats the key wherever it can.
func TestServer_HidesTheKey(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"error":  emulator.OpenAIError("{{key}}", "{{key}}", "the key {{key}} is wrong"),
		"object": `{"id":"{{key}}","object":"{{key}}","status":"{{key}}","vector_store_id":"{{key}}","filename":"{{key}}","detail":"{{key}}","{{key}}":1}`,
	}
	for name, body := range bodies {
		for _, status := range []int{200, 404} {
			for _, operation := range []emulator.Operation{emulator.Create, emulator.Upload, emulator.CreateStore, emulator.Retrieve, emulator.RetrieveStore, emulator.ListFiles} {
				t.Run(fmt.Sprintf("%s %d %s", operation, status, name), func(t *testing.T) {
					t.Parallel()
					e := newTarget(t, emulator.Options{})
					e.examine.Timeout, e.examine.Settle, e.examine.CleanupTimeout = 100*time.Millisecond, 20*time.Millisecond, 300*time.Millisecond
					e.AddFault(emulator.Fault{Operation: operation, Status: status, Body: body})
					wantNoKey(t, e, e.examine.Examine(t.Context()))
				})
			}
		}
	}
}
