// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// fact is what the behaviors of an emulator mean for a question.
type fact struct {
	observed bool
	// unknown is true if the behaviors prevent an answer.
	unknown bool
}

// facts returns the answers to all questions but those about timing, for a server with file batches.
func facts(b emulator.Behaviors) map[string]fact {
	is := func(observed bool) fact { return fact{observed: observed} }
	unless := func(unknown, observed bool) fact { return fact{observed: observed && !unknown, unknown: unknown} }
	refuses := func(extension string) bool {
		return len(b.AttachExtensions) > 0 && !slices.Contains(b.AttachExtensions, extension)
	}
	fails := func(kind string) bool { return slices.Contains(b.FailingContent, kind) }
	missing := is(b.NotFoundStatus != 404)
	header := func(name string) fact {
		return is(slices.ContainsFunc(b.Headers, func(line string) bool { return strings.HasPrefix(line, name+":") }))
	}
	readsStore := slices.Contains(b.AnswersStore, emulator.Retrieve)
	all := map[string]fact{
		"strict_path": is(b.StrictPath), "unknown_path": {}, "login_page": is(b.LoginPage), "key_not_required": {},
		"api_key_header": is(b.APIKeyHeader), "headers_request_id": header("X-Request-Id"), "headers_organization": header("Openai-Organization"),
		"error_body": is(b.ErrorBody != "openai"), "detail_errors": is(len(b.DetailErrors) > 0),
		"not_found_status": missing, "not_found_status_upload": {}, "any_ids": is(b.AnyIDs), "no_store_list": {},

		"upload_extensions": is(len(b.UploadExtensions) > 0), "file_names_path": is(b.FileNames == "path"), "file_names_ascii": is(b.FileNames == "ascii"),
		"file_lifetime": is(b.FileLifetime > 0), "file_id_length": is(b.FileIDLength > 64), "no_assistants_download": is(b.NoAssistantsDownload),

		"no_file_batches": {}, "batch_id_prefix": is(b.BatchIDPrefix != "vsfb_"), "uuids": is(b.UUIDs),
		"batch_object": is(b.BatchObject != "vector_store.file_batch"), "origin_store_ids": is(b.OriginStoreIDs),
		"answers_store": is(len(b.AnswersStore) > 0), "poll_after": is(b.PollAfter > 0), "created_at_skew": is(b.CreatedAtSkew != 0),
		"counts_incomplete": unless(readsStore, false), "attributes_ignored": is(b.AttributesDropped), "attributes_lowered": is(b.AttributesLowered), "float_numbers": is(b.FloatNumbers), "chunking_ignored": {},
		"auto_read_back": is(b.AutoReadBack), "no_attribute_update": {}, "updates_dropped": is(b.UpdatesDropped || b.AttributesDropped), "search_own_ids": is(b.SearchOwnIDs),
		"reject_late_cancel": is(b.RejectLateCancel),
		"filter_ignored":     {}, "cursor_ignored": {}, "loose_queries": is(b.LooseQueries), "large_pages": {},

		"files_ignored": is(b.FilesIgnored), "file_attributes_ignored": unless(b.FilesIgnored, false),
		"file_chunking_ignored": unless(b.FilesIgnored, b.FileChunkingIgnored), "max_batch_files": is(b.MaxBatchFiles > 0 && b.MaxBatchFiles < 2000),
		"empty_batches": is(b.EmptyBatches), "unknown_fields": is(b.UnknownFields), "unknown_fields_overlap": is(b.UnknownFields),
		"counts_duplicates": is(b.CountsDuplicates), "strict_files": is(b.StrictFiles), "missing_files_fail": unless(b.StrictFiles, b.MissingFilesFail),

		"attach_extensions_csv": is(refuses(".csv")), "attach_extensions_png": is(refuses(".png")), "attach_extensions_h": is(refuses(".h")),
		"attach_extensions_none": is(refuses("")), "any_extension_case": is(b.AnyExtensionCase || len(b.AttachExtensions) == 0),
		"failing_content_unsupported":  unless(refuses(".csv"), fails("unsupported")),
		"failing_content_image":        unless(refuses(".png"), fails("image") || fails("unsupported")),
		"failing_content_no_extension": unless(refuses(""), fails("no_extension") || fails("unsupported")),
		"failing_content_empty":        is(fails("empty")), "failing_content_blank": is(fails("blank")), "failing_content_broken_pdf": is(fails("broken_pdf")),
		"failure_code": is(b.FailureCode == emulator.ServerError),

		"not_found_status_batch": missing, "not_found_status_cancel": missing, "not_found_status_list": missing, "not_found_status_create": missing,
		"not_found_status_store_file": missing, "not_found_status_detach": missing,
		"reattach_skipped": is(b.ReattachSkipped), "reattach_failed_refused": {}, "reattach_failed_skipped": is(b.ReattachSkipped),
		"ineffective_detaches": is(b.IneffectiveDetaches > 0), "detach_twice": missing, "detaches_everywhere": is(b.DetachesEverywhere),
		"batch_lists_store": is(b.BatchListsStore), "deleted_files_stay": is(b.DeletedFilesStay),
	}
	return all
}

// expected returns what is to be observed of an emulator.
func expected(b emulator.Behaviors) map[string]Observation {
	want := map[string]Observation{}
	for id, f := range facts(b) {
		switch {
		case f.unknown || b.NoFileBatches && needsBatches(id):
			want[id] = Unknown
		case f.observed:
			want[id] = Observed
		default:
			want[id] = NotObserved
		}
	}
	if b.NoFileBatches {
		want["no_file_batches"] = Observed
	}
	return want
}

// needsBatches reports whether a question is about file batches.
func needsBatches(id string) bool {
	for _, step := range writeSteps() {
		if slices.Contains(step.ids, id) {
			return step.name != "uploads" && step.name != "names of uploads" && id != "no_file_batches"
		}
	}
	return false
}

// notObserved are the behaviors of the emulator that no question is about, with the reason.
var notObserved = map[string]string{
	"base_path":           "it is a part of the base URL",
	"closes_after_errors": "the client hides it",
	"messages":            "they are details",
	"extra_fields":        "no client is affected",
	"counts_step":         "it needs a large batch in progress",
	"cancelled_uncounted": "it needs a large batch in progress",
	"cancelling_status":   "it needs a large batch in progress",
	"cancels_at_once":     "it needs a large batch in progress",
	"batch_retention":     "it takes days",
	"invisible_percent":   "it needs many uploads",
	"file_quota":          "it needs many uploads",
	"expiring_file_quota": "it needs many uploads",
	"max_upload_bytes":    "it needs a large upload",
	"enforce_limits":      "it needs many requests",
	"limit_retry_after":   "it needs many requests",
	"limit_retry_millis":  "it needs many requests",
	"attributes_dropped":  "attributes_ignored asks for the attributes of a batch",
	"attach_extensions":   "there is a question for each of some extensions",
	"failing_content":     "there is a question for each of the kinds",
	"headers":             "there is a question for each of some headers",
	"file_names":          "there is a question for each of the forms",
}

func TestQuestions_CoverTheEmulator(t *testing.T) {
	t.Parallel()
	for _, b := range emulator.New(emulator.Options{}).ActiveBehaviors().Behaviors {
		asked := slices.ContainsFunc(questions, func(q question) bool { return q.id == b.Name })
		if reason := notObserved[b.Name]; asked == (reason != "") {
			t.Errorf("%s: asked: %t, reason against it: %q", b.Name, asked, reason)
		}
	}
}

func TestQuestions_AreConsistent(t *testing.T) {
	t.Parallel()
	answered := map[string]bool{}
	for _, step := range steps(true) {
		for _, id := range step.ids {
			at := slices.IndexFunc(questions, func(q question) bool { return q.id == id })
			if at < 0 || answered[id] || questions[at].write != step.write {
				t.Errorf("%s of step %q: unknown, answered twice, or its write differs", id, step.name)
			}
			answered[id] = true
		}
	}
	known := facts(emulator.Behaviors{})
	for _, q := range questions {
		if !answered[q.id] {
			t.Errorf("no step answers %s", q.id)
		}
		if _, found := known[q.id]; found == q.timing && !strings.HasPrefix(q.id, "operator_") {
			t.Errorf("%s: expected in the profiles: %t", q.id, found)
		}
		if !strings.HasSuffix(q.text, "?") {
			t.Errorf("%s is no question: %s", q.id, q.text)
		}
	}
}
