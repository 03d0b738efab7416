// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Behaviors are the ways in which servers of the API differ. The zero value of a field selects what
// package documentation lists under Fidelity. A Profile is a set of Behaviors that one server
// shows; each can also be changed on its own, by its JSON name: with the flag --behavior, with
// Server.Configure, and with PATCH /_emulator/settings.
type Behaviors struct {
	// BasePath is the prefix of the API's paths; /v1 by default.
	BasePath string `json:"base_path"`
	// StrictPath responds with 404 to paths outside BasePath. Otherwise they work too.
	StrictPath bool `json:"strict_path"`
	// NoFileBatches responds with 404 to the four operations on file batches.
	NoFileBatches bool `json:"no_file_batches"`

	// APIKeyHeader accepts the key in the api-key header too.
	APIKeyHeader bool `json:"api_key_header"`
	// LoginPage responds to a rejected key with 200 and an HTML page instead of a 401.
	LoginPage bool `json:"login_page"`
	// Headers are the response headers, as "Name: value". {request_id}, {processing_ms} and
	// {organization} are replaced; a header whose value is then empty is omitted.
	Headers []string `json:"headers"`
	// PollAfter adds openai-poll-after-ms to the create and the retrieve of an unfinished batch.
	PollAfter Duration `json:"poll_after"`

	// ErrorBody is the form of an error: openai (message, type, param and code; the default), message
	// (message only) or azure (code and message).
	ErrorBody string `json:"error_body"`
	// DetailErrors are the operations that report a missing object as {"detail": message}.
	DetailErrors []Operation `json:"detail_errors"`
	// NotFoundStatus is the HTTP status for a vector store, a batch or a file of a vector store that
	// does not exist; 404 by default. An upload that does not exist is always a 404.
	NotFoundStatus int `json:"not_found_status"`
	// ClosesAfterErrors closes the connection after a 400 that is neither about the form of the request
	// nor one of DetailErrors, without the header Connection: close.
	ClosesAfterErrors bool `json:"closes_after_errors"`
	// Messages replace the messages of errors, by the kind of error: store, batch, store_file, file,
	// late_cancel. {id}, {store} and {status} are replaced.
	Messages map[string]string `json:"messages"`

	// BatchIDPrefix is the prefix of the IDs of new batches; vsfb_ by default. The IDs in requests
	// must begin with it too, up to its first underscore.
	BatchIDPrefix string `json:"batch_id_prefix"`
	// UUIDs makes the IDs of batches and vector stores end in a UUID instead of 32 hexadecimal digits.
	UUIDs bool `json:"uuids"`
	// AnyIDs accepts IDs with any prefix. Otherwise an ID with the wrong one is a 400.
	AnyIDs bool `json:"any_ids"`
	// FileIDLength makes the IDs of uploads base64 of this length.
	FileIDLength int `json:"file_id_length"`
	// OriginStoreIDs makes vector_store_id in responses another ID than the one in the request.
	OriginStoreIDs bool `json:"origin_store_ids"`
	// AnswersStore are the operations on a batch whose response is the vector store.
	AnswersStore []Operation `json:"answers_store"`
	// BatchObject is the object field of a batch; vector_store.file_batch by default, which is
	// what OpenAI sends in contradiction to its schema.
	BatchObject string `json:"batch_object"`
	// ExtraFields adds an undocumented field to every object.
	ExtraFields bool `json:"extra_fields"`

	// MaxBatchFiles is the number of files of a batch; 2000 by default, -1 for no limit.
	MaxBatchFiles int `json:"max_batch_files"`
	// AttachExtensions are the extensions of files that can be attached. One file with another makes
	// the whole request a 400. Empty allows all.
	AttachExtensions []string `json:"attach_extensions"`
	// UploadExtensions are the extensions that an upload with purpose assistants can have. Empty
	// allows all.
	UploadExtensions []string `json:"upload_extensions"`
	// AnyExtensionCase ignores the case of extensions. Otherwise .PDF is not .pdf.
	AnyExtensionCase bool `json:"any_extension_case"`
	// FilesIgnored ignores the field files of a create: the batch has no file and is completed.
	FilesIgnored bool `json:"files_ignored"`
	// EmptyBatches accepts a create without files.
	EmptyBatches bool `json:"empty_batches"`
	// UnknownFields ignores unknown fields of a create and the limit of chunk_overlap_tokens.
	UnknownFields bool `json:"unknown_fields"`
	// CountsDuplicates counts and lists a file as often as a create names it. Otherwise once.
	CountsDuplicates bool `json:"counts_duplicates"`
	// StrictFiles responds with 404 if a file to attach was never uploaded. Otherwise attaching
	// creates the file, so that example manifests work unchanged.
	StrictFiles bool `json:"strict_files"`
	// MissingFilesFail attaches a file that was never uploaded, as a file that fails.
	MissingFilesFail bool `json:"missing_files_fail"`
	// ReattachSkipped does not process a file again that is in the vector store: it keeps its
	// attributes, its chunking and its status, also if it failed.
	ReattachSkipped bool `json:"reattach_skipped"`
	// FileChunkingIgnored ignores chunking_strategy of the items of files.
	FileChunkingIgnored bool `json:"file_chunking_ignored"`
	// FloatNumbers returns the numbers of attributes with a decimal point.
	FloatNumbers bool `json:"float_numbers"`
	// AttributesDropped ignores all attributes of files.
	AttributesDropped bool `json:"attributes_dropped"`
	// AttributesLowered returns texts in attributes in lower case.
	AttributesLowered bool `json:"attributes_lowered"`
	// UpdatesDropped ignores updates of the attributes of files.
	UpdatesDropped bool `json:"updates_dropped"`
	// SearchOwnIDs makes file_id of a search result another ID. The file's is the attribute file_id.
	SearchOwnIDs bool `json:"search_own_ids"`
	// AutoReadBack returns auto chunking as auto. Otherwise as static 800/400.
	AutoReadBack bool `json:"auto_read_back"`

	// FailingContent are the kinds of uploads that fail when they are processed: unsupported (an
	// extension that vector stores do not support), no_extension, empty, blank, broken_pdf.
	FailingContent []string `json:"failing_content"`
	// FailureCode is the code of every failed file. By default it is that of the file's outcome.
	FailureCode string `json:"failure_code"`
	// CountsStep makes the counts of a batch change in steps of this many processed files, and at the
	// end.
	CountsStep int `json:"counts_step"`
	// CancelledUncounted keeps the cancelled files of a batch in file_counts.in_progress.
	CancelledUncounted bool `json:"cancelled_uncounted"`
	// AttachedWhenProcessed shows a file in the vector store only after it was processed.
	AttachedWhenProcessed bool `json:"attached_when_processed"`
	// BatchListsStore lists only those files of a batch that the vector store has, in its state.
	BatchListsStore bool `json:"batch_lists_store"`

	// CancellingStatus is the status of a batch until its cancel takes effect; in_progress by
	// default. Older versions of the API documentation have cancelling.
	CancellingStatus string `json:"cancelling_status"`
	// CancelsAtOnce ignores Settings.CancelDelay: the response to a cancel shows its result.
	CancelsAtOnce bool `json:"cancels_at_once"`
	// RejectLateCancel responds with 400 to the cancel of a batch that completed. OpenAI responds with
	// 200 and changes nothing.
	RejectLateCancel bool `json:"reject_late_cancel"`
	// BatchRetention is the time after which a batch is forgotten; zero for never.
	BatchRetention Duration `json:"batch_retention"`

	// DriftingCreation adds a second to the created_at of a retrieved batch.
	DriftingCreation bool `json:"drifting_creation"`
	// CreatedAtSkew is the difference of the server's clock in created_at.
	CreatedAtSkew Duration `json:"created_at_skew"`
	// UploadVisibleAfter is the time for which a new upload is not found.
	UploadVisibleAfter Duration `json:"upload_visible_after"`
	// BatchVisibleAfter is the time for which a new batch, and the files that it attached, are not
	// found.
	BatchVisibleAfter Duration `json:"batch_visible_after"`
	// InvisiblePercent is the share of uploads and batches that UploadVisibleAfter and
	// BatchVisibleAfter apply to, chosen by ID; zero for all.
	InvisiblePercent int `json:"invisible_percent"`

	// DetachDelay is the time for which a detached file is still read and listed.
	DetachDelay Duration `json:"detach_delay"`
	// IneffectiveDetaches is the number of times that detaching a file responds with 200 and deleted
	// false, and has no effect.
	IneffectiveDetaches int `json:"ineffective_detaches"`
	// DetachesEverywhere detaches a file from every vector store.
	DetachesEverywhere bool `json:"detaches_everywhere"`
	// DeletedFilesStay keeps a deleted upload in the vector stores.
	DeletedFilesStay bool `json:"deleted_files_stay"`

	// FileNames is what becomes of the name of an upload: base (the last element of the path; the
	// default), path (the name as it was sent) or ascii (every character other than ASCII letters,
	// digits, dots, hyphens and underscores becomes an underscore, and so do two dots and a leading one).
	FileNames string `json:"file_names"`
	// FileLifetime is the time after which an upload without expires_after expires; zero for never.
	FileLifetime Duration `json:"file_lifetime"`
	// FileQuota is the number of uploads without expires_after; zero for no limit.
	FileQuota int `json:"file_quota"`
	// ExpiringFileQuota is the number of uploads with expires_after; zero for no limit.
	ExpiringFileQuota int `json:"expiring_file_quota"`
	// MaxUploadBytes is the size of an upload; zero for no limit but Options.MaxBodyBytes.
	MaxUploadBytes int64 `json:"max_upload_bytes"`
	// NoAssistantsDownload refuses the download of a file with purpose assistants.
	NoAssistantsDownload bool `json:"no_assistants_download"`

	// LooseQueries ignores a cursor that is not in the list and an unknown order, and returns an empty
	// list for an unknown filter. Otherwise each is a 400.
	LooseQueries bool `json:"loose_queries"`

	// EnforceLimits enables the rate limits: Settings.AttachRequests per vector store and
	// Settings.AttachedFiles across all stores, per Settings.Minute.
	EnforceLimits bool `json:"enforce_limits"`
	// LimitRetryAfter is the Retry-After of a rate limit; zero for the time until the request is
	// admitted.
	LimitRetryAfter Duration `json:"limit_retry_after"`
	// LimitRetryMillis adds x-ms-retry-after-ms to a 429, with the time until the request is admitted.
	LimitRetryMillis bool `json:"limit_retry_millis"`
}

// Duration is a time.Duration that JSON spells as 1m30s.
type Duration time.Duration

// MarshalText formats d as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText parses what time.ParseDuration accepts.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Set sets one behavior by its JSON name. The value is JSON; a string needs no quotation marks.
func (b *Behaviors) Set(name, value string) error {
	if !json.Valid([]byte(value)) {
		// Encoding a string cannot fail.
		quoted, _ := json.Marshal(value)
		value = string(quoted)
	}
	return b.decode(map[string]json.RawMessage{name: json.RawMessage(value)})
}

// decode sets the behaviors that the JSON object of values names.
func (b *Behaviors) decode(values any) error {
	encoded, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encoding the behaviors: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	changed := b.clone()
	if err := decoder.Decode(&changed); err != nil {
		return fmt.Errorf("decoding the behaviors: %w", err)
	}
	*b = changed
	return nil
}

// clone returns a copy that shares neither slices nor maps with b, because decoding reuses them.
func (b *Behaviors) clone() Behaviors {
	c := *b
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		field := v.Field(i)
		switch {
		case field.Kind() == reflect.Slice && !field.IsNil():
			field.Set(reflect.AppendSlice(reflect.MakeSlice(field.Type(), 0, field.Len()), field))
		case field.Kind() == reflect.Map && !field.IsNil():
			m := reflect.MakeMap(field.Type())
			for _, key := range field.MapKeys() {
				m.SetMapIndex(key, field.MapIndex(key))
			}
			field.Set(m)
		}
	}
	return c
}

// overlay sets the fields of a struct that are not zero in over.
func overlay[T any](onto *T, over T) {
	to, from := reflect.ValueOf(onto).Elem(), reflect.ValueOf(over)
	for i := range from.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
}

// behaviorNames returns the JSON names in the order of the fields.
func behaviorNames() []string {
	t := reflect.TypeFor[Behaviors]()
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// values returns the behaviors by their JSON names.
func (b *Behaviors) values() map[string]any {
	v := reflect.ValueOf(b).Elem()
	values := make(map[string]any, v.NumField())
	for i, name := range behaviorNames() {
		values[name] = v.Field(i).Interface()
	}
	return values
}

func (b Behaviors) withDefaults() Behaviors {
	if b.BasePath == "" {
		b.BasePath = "/v1"
	}
	if b.ErrorBody == "" {
		b.ErrorBody = errorBodyOpenAI
	}
	if b.NotFoundStatus == 0 {
		b.NotFoundStatus = 404
	}
	if b.BatchIDPrefix == "" {
		b.BatchIDPrefix = "vsfb_"
	}
	if b.BatchObject == "" {
		b.BatchObject = "vector_store.file_batch"
	}
	if b.MaxBatchFiles == 0 {
		b.MaxBatchFiles = maxBatchFiles
	}
	if b.CancellingStatus == "" {
		b.CancellingStatus = statusInProgress
	}
	if b.FileNames == "" {
		b.FileNames = fileNamesBase
	}
	return b
}
