// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"fmt"
	"slices"
)

// The names of the profiles.
const (
	ProfileOpenAI  = "openai"
	ProfileAzure   = "azure"
	ProfileOGX     = "ogx"
	ProfileGateway = "gateway"
)

// Evidence is how a Behavior is known.
type Evidence string

// The kinds of evidence.
const (
	// Recorded was seen on the wire of the real service.
	Recorded Evidence = "recorded"
	// Measured was seen by running the server; see docs/internals/emulator.md for the version and the date.
	Measured Evidence = "measured"
	// Documented is in the server's own documentation.
	Documented Evidence = "documented"
	// Reported was reported by users, and by more than one if the behavior is not marked otherwise.
	Reported Evidence = "reported"
	// Decided is a choice of this package where only part of the behavior is known.
	Decided Evidence = "decided"
)

// Behavior is one line of a Profile.
type Behavior struct {
	// Name is the JSON name of a field of Behaviors, and Value its value in JSON.
	Name  string `json:"name"`
	Value any    `json:"value"`
	// Evidence is how it is known that the server shows it.
	Evidence Evidence `json:"evidence,omitempty"`
	// Shows is what a client of the server observes.
	Shows string `json:"shows,omitempty"`
	// Strict marks what the server shows rarely, at times, or by a single report. It is off unless
	// Options.Strict is set.
	Strict bool `json:"strict,omitempty"`
}

// Profile is what is known of a server.
type Profile struct {
	Name string `json:"name"`
	// Server describes the server.
	Server    string     `json:"server"`
	Behaviors []Behavior `json:"behaviors"`
}

// always and strict return a line of a profile.
func always(name string, value any, evidence Evidence, shows string) Behavior {
	return Behavior{Name: name, Value: value, Evidence: evidence, Shows: shows}
}

func strict(name string, value any, evidence Evidence, shows string) Behavior {
	return Behavior{Name: name, Value: value, Evidence: evidence, Shows: shows, Strict: true}
}

// attachable are the extensions that the documentation of file search names, as lists of them were
// reported: .csv, .h and images are not among them.
var attachable = []string{
	".c", ".cpp", ".cs", ".css", ".doc", ".docx", ".go", ".html", ".java", ".js", ".json", ".md", ".pdf",
	".php", ".pptx", ".py", ".rb", ".sh", ".tex", ".ts", ".txt",
}

// uploadable are the attachable extensions and those that code interpreter takes.
var uploadable = slices.Concat(attachable, []string{
	".csv", ".gif", ".h", ".jpeg", ".jpg", ".jsonl", ".pkl", ".png", ".svg", ".tar", ".webp", ".xlsx", ".xml", ".zip",
})

// Profiles returns the profiles. The first is the default.
func Profiles() []Profile {
	return []Profile{openaiProfile(), azureProfile(), ogxProfile(), gatewayProfile()}
}

func openaiProfile() Profile {
	return Profile{Name: ProfileOpenAI, Server: "OpenAI's API", Behaviors: []Behavior{
		always("headers", []string{
			"X-Request-Id: {request_id}", "Openai-Version: 2020-10-01", "Openai-Processing-Ms: {processing_ms}",
			"Openai-Organization: {organization}",
		}, Recorded, "Responses have x-request-id, openai-organization, openai-version and openai-processing-ms, and no openai-poll-after-ms."),
		always("strict_path", true, Documented, "Paths without /v1 are not found (404)."),
		always("attach_extensions", attachable, Reported, "One file with an extension that file search does not support makes the create a 400 unsupported_file, and upper case counts as another extension. The list changes without notice."),
		always("upload_extensions", uploadable, Reported, "An upload for assistants with an extension that no tool supports is a 400."),
		always("no_assistants_download", true, Documented, "A file with purpose assistants cannot be downloaded (400)."),
		always("failing_content", []string{"unsupported", "empty"}, Recorded, "A file whose content cannot be read fails in its batch."),
		strict("drifting_creation", true, Recorded, "created_at of a batch can differ by a second between its create and a retrieve."),
		strict("detach_delay", "2s", Documented, "Detaching is eventually consistent: the file is still read and listed for a while."),
		strict("upload_visible_after", "3s", Reported, "An upload is not found (404) for a few seconds, in a few percent of cases."),
		strict("batch_visible_after", "3s", Reported, "A batch and its files are not found (404) for a few seconds, in a few percent of cases."),
		strict("invisible_percent", 5, Reported, "The share of uploads and batches that are not found at first."),
		strict("batch_id_prefix", "vsfb_ibj_", Recorded, "IDs of batches begin with vsfb_ibj_ since late 2025."),
		strict("answers_store", []Operation{Retrieve}, Reported, "Every retrieve of a batch returns the vector store, for days. The list of the batch's files works."),
		strict("strict_files", true, Decided, "A file that was never uploaded is not found (404)."),
		strict("enforce_limits", true, Documented, "300 attach requests a minute for each vector store, 2000 attached files a minute for the organization."),
		strict("file_chunking_ignored", true, Reported, "chunking_strategy of the items of files is ignored (one report)."),
		strict("detaches_everywhere", true, Reported, "Detaching a file from one vector store detaches it from all (one report)."),
		strict("file_names", fileNamesPath, Reported, "The name of an upload keeps its path (one report)."),
	}}
}

func azureProfile() Profile {
	return Profile{Name: ProfileAzure, Server: "Azure OpenAI, v1 API", Behaviors: []Behavior{
		always("base_path", "/openai/v1", Documented, "The API is below /openai/v1."),
		always("strict_path", true, Documented, "Other paths are not found (404)."),
		always("api_key_header", true, Documented, "The key is accepted in the api-key header, and as a bearer token."),
		always("headers", []string{"X-Request-Id: {request_id}", "Apim-Request-Id: {request_id}"}, Decided, "Responses have x-request-id, and no openai-organization."),
		always("error_body", errorBodyAzure, Reported, `Errors are {"error":{"code","message"}}.`),
		always("max_batch_files", 500, Reported, "Some resources accept 500 files in a batch."),
		always("file_quota", 500, Reported, "A resource holds 500 files without expires_after; the next upload is a 400 quotaExceeded."),
		always("expiring_file_quota", 10000, Reported, "A resource holds 10,000 files with an expiry of 14 to 30 days."),
		always("enforce_limits", true, Documented, "Requests are limited per minute."),
		always("limit_retry_after", "24h", Reported, "A 429 for a limit per minute has Retry-After: 86400."),
		always("limit_retry_millis", true, Reported, "A 429 has x-ms-retry-after-ms."),
		always("attach_extensions", attachable, Decided, "Extensions are those of OpenAI's API."),
		always("failing_content", []string{"unsupported", "empty"}, Decided, "A file whose content cannot be read fails in its batch."),
		strict("strict_files", true, Decided, "A file that was never uploaded is not found (404)."),
	}}
}

func ogxProfile() Profile {
	return Profile{Name: ProfileOGX, Server: "OGX 1.5 (formerly Llama Stack)", Behaviors: []Behavior{
		always("strict_path", true, Measured, "Paths without /v1 are not found (404)."),
		always("headers", []string{"Server: uvicorn"}, Measured, "Responses have no request ID and no organization."),
		always("error_body", errorBodyMessage, Measured, `Errors are {"error":{"message"}}.`),
		always("detail_errors", []Operation{Create, Retrieve, UnknownOperation}, Measured, `A create and a retrieve report a missing batch or vector store as {"detail"}, and so does an unknown path. A cancel and the list of a batch's files do not.`),
		always("closes_after_errors", true, Measured, "After an error that is not a {\"detail\"}, the server closes the connection without announcing it: the next call on it can fail."),
		always("not_found_status", 400, Measured, "A batch, a vector store or a file of a vector store that does not exist is a 400."),
		always("messages", map[string]string{
			"store": "Vector_store '{id}' not found", "batch": "File batch {id} not found",
			"store_file":  "File {id} not found in vector store {store}",
			"file":        "File '{id}' not found. Use 'client.files.list()' to list available Files.",
			"late_cancel": "Cannot cancel batch {id} with status {status}", "key": "Invalid or missing API key", "no_key": "Authentication required",
			"path": "Not Found", "too_large": "File size exceeds the maximum allowed upload size of {limit} bytes", "method": "Method Not Allowed",
			"empty": "No chunks were generated from the file", "blank": "No chunks were generated from the file",
			"image":        "No chunks were generated from the file",
			"broken_pdf":   "Failed to execute job 'job_0': Failed to execute job: Stream has ended unexpectedly",
			"no_extension": "Failed to execute job 'job_0': Failed to execute job: 422: File type 'unknown' is not supported.",
		}, Measured, "The messages of its errors; those of failed files name no file."),
		always("batch_id_prefix", "batch_", Measured, "IDs of batches begin with batch_."),
		always("uuids", true, Measured, "IDs of batches and vector stores end in a UUID."),
		always("any_ids", true, Measured, "The prefixes of IDs are not checked."),
		always("batch_object", "vector_store.files_batch", Measured, "The object of a batch is vector_store.files_batch."),
		always("max_batch_files", -1, Measured, "A batch of 2001 files is accepted."),
		always("files_ignored", true, Measured, "A create with files makes a batch of 0 files. It is in_progress in the response and completed in the next retrieve."),
		always("empty_batches", true, Measured, "A create without files, or with an empty list, makes a batch of 0 files."),
		always("unknown_fields", true, Measured, "Unknown fields are ignored, and the overlap of chunks is not checked."),
		always("counts_duplicates", true, Measured, "A file that is named twice counts twice and is listed twice."),
		always("reattach_skipped", true, Measured, "A file that is in the vector store keeps its attributes and its status when it is attached again, also if it failed."),
		always("float_numbers", true, Measured, "Numbers of attributes are returned with a decimal point."),
		always("search_own_ids", true, Measured, "file_id of a search result is an ID of its own; that of the file is the attribute file_id."),
		always("auto_read_back", true, Measured, "A batch without chunking_strategy lists auto."),
		always("failing_content", []string{"no_extension", "empty", "blank", "broken_pdf", "image"}, Measured, "No extension, an empty or blank text, an image and a broken PDF fail. Upper-case extensions are taken."),
		always("failure_code", ServerError, Measured, "Every failed file has the code server_error."),
		always("counts_step", 10, Measured, "Counts change in steps of 10 files, and at the end. A cancel leaves them at the last step."),
		always("cancelled_uncounted", true, Measured, "After a cancel, in_progress keeps the files that were not processed; cancelled stays 0."),
		always("attached_when_processed", true, Measured, "A file that is not processed yet is not in the vector store: reading and detaching it is a 400."),
		always("batch_lists_store", true, Measured, "The list of a batch's files has those that are in the vector store, in their state there."),
		always("cancels_at_once", true, Measured, "The response to a cancel has the status cancelled."),
		always("reject_late_cancel", true, Measured, "Cancelling a completed batch is a 400. Cancelling a cancelled one is a 200."),
		always("batch_retention", "168h", Measured, "A batch is forgotten after 7 days."),
		always("loose_queries", true, Measured, "An unknown cursor starts from the beginning, an unknown order is ascending, an unknown filter matches no file."),
		always("file_names", fileNamesASCII, Measured, "Every character of a file name other than some ASCII becomes an underscore, also spaces, slashes, a leading dot and \"..\"."),
		always("file_lifetime", "8760h", Measured, "An upload expires after 365 days."),
		always("max_upload_bytes", 100<<20, Measured, "An upload has at most 100 MiB."),
		always("deleted_files_stay", true, Measured, "Deleting an upload leaves it in the vector stores."),
		strict("missing_files_fail", true, Measured, "A file that was never uploaded is attached, and fails."),
	}}
}

func gatewayProfile() Profile {
	return Profile{Name: ProfileGateway, Server: "a gateway, such as LiteLLM or openresponses-gw", Behaviors: []Behavior{
		always("headers", []string{}, Decided, "Responses have no request ID and no organization."),
		always("any_ids", true, Reported, "IDs of files are the gateway's own: base64, or URLs."),
		always("file_id_length", 320, Reported, "IDs of files have 70 to 400 characters."),
		always("origin_store_ids", true, Reported, "IDs of vector stores are translated in requests and not in responses."),
		always("max_batch_files", 100, Reported, "A call attaches at most 100 or 500 files."),
		always("files_ignored", true, Reported, "openresponses-gw ignores files as OGX does: a batch of 0 files."),
		always("ineffective_detaches", 1, Reported, "DELETE can respond with 200 and deleted false, and the file remains."),
		always("login_page", true, Reported, "A rejected key gets a login page: HTML with 200."),
		always("failing_content", []string{"unsupported", "empty"}, Decided, "A file whose content cannot be read fails in its batch."),
		strict("no_file_batches", true, Reported, "Many have no file batches at all (404)."),
	}}
}

// LookupProfile returns a profile by its name; the default profile if the name is empty.
func LookupProfile(name string) (Profile, error) {
	for _, p := range Profiles() {
		if name == "" || name == p.Name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("unknown profile %q", name)
}

// Select returns the Behaviors of the profile, with its strict lines if strict is set.
func (p Profile) Select(strict bool) (Behaviors, error) {
	values := map[string]any{}
	for _, line := range p.Behaviors {
		if !line.Strict || strict {
			values[line.Name] = line.Value
		}
	}
	var b Behaviors
	if err := b.decode(values); err != nil {
		return Behaviors{}, fmt.Errorf("profile %s: %w", p.Name, err)
	}
	return b.withDefaults(), nil
}

// ActiveBehaviors is the profile of a Server and the current value of each behavior.
type ActiveBehaviors struct {
	Profile string `json:"profile"`
	Server  string `json:"server"`
	Strict  bool   `json:"strict"`
	// Behaviors has every behavior. Evidence and Shows are set if the profile has a line for it and
	// the value is still the line's.
	Behaviors []Behavior `json:"behaviors"`
}

// ActiveBehaviors returns the behaviors that the Server shows.
func (s *Server) ActiveBehaviors() ActiveBehaviors {
	current := s.Settings().Behaviors
	values := current.values()
	active := ActiveBehaviors{Profile: s.profile.Name, Server: s.profile.Server, Strict: s.options.Strict}
	for _, name := range behaviorNames() {
		line := Behavior{Name: name, Value: values[name]}
		for _, of := range s.profile.Behaviors {
			var want Behaviors
			if of.Name == name && want.decode(map[string]any{name: of.Value}) == nil && sameJSON(want.values()[name], line.Value) {
				line.Evidence, line.Shows, line.Strict = of.Evidence, of.Shows, of.Strict
			}
		}
		active.Behaviors = append(active.Behaviors, line)
	}
	return active
}
