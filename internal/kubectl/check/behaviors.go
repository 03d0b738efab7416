// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

// Observation is whether a server shows a behavior.
type Observation string

// The values of Observation.
const (
	Observed    Observation = "observed"
	NotObserved Observation = "not observed"
	// Unknown means that the question could not be answered, for the reason in the answer.
	Unknown Observation = "unknown"
)

// Behavior is a question about a server and what was observed. Two servers that behave in the same way
// have equal Behaviors: no field contains an ID, a time or a text of the server.
type Behavior struct {
	// ID is stable. Where the emulator has the same behavior, it begins with its name there.
	ID string `json:"id"`
	// Question can be answered with yes (Observed) or no (NotObserved).
	Question string      `json:"question"`
	Status   Observation `json:"status"`
	// Answer is what was seen.
	Answer string `json:"answer"`
}

// question is a Behavior that can be asked for.
type question struct {
	id, text string
	// write is true if the question requires objects on the server.
	write bool
	// timing is true if the answer can differ between two runs.
	timing bool
}

// questions are all questions, in the order of the table.
var questions = []question{
	{id: "strict_path", text: "Are paths without the path of the base URL not found?"},
	{id: "unknown_path", text: "Is an unknown path something other than a 404?"},
	{id: "login_page", text: "Is the response to a wrong key an HTML page with a status of 2xx?"},
	{id: "key_not_required", text: "Does the server accept any key?"},
	{id: "api_key_header", text: "Is the key accepted in the header api-key?"},
	{id: "headers_request_id", text: "Do responses have an x-request-id?"},
	{id: "headers_organization", text: "Do responses name the organization (openai-organization)?"},
	{id: "error_body", text: "Do errors have another form than OpenAI's?"},
	{id: "detail_errors", text: "Are missing objects reported as {\"detail\": ...}?"},
	{id: "not_found_status", text: "Is a missing vector store something other than a 404?"},
	{id: "not_found_status_upload", text: "Is a missing upload something other than a 404?"},
	{id: "any_ids", text: "Is an ID with an unknown prefix treated as any other?"},
	{id: "no_store_list", text: "Is there no list of vector stores?"},

	{id: "upload_extensions", text: "Is an upload with an unusual extension (.vsfb) refused?", write: true},
	{id: "file_names_path", text: "Does the name of an upload keep its path?", write: true},
	{id: "file_names_ascii", text: "Are spaces and letters other than ASCII in the name of an upload replaced?", write: true},
	{id: "file_lifetime", text: "Does an upload expire without expires_after?", write: true},
	{id: "file_id_length", text: "Do the IDs of files have more than 64 characters?", write: true},
	{id: "no_assistants_download", text: "Is the download of an upload for assistants refused?", write: true},

	{id: "no_file_batches", text: "Are there no file batches?", write: true},
	{id: "batch_id_prefix", text: "Do the IDs of batches begin with something other than vsfb_?", write: true},
	{id: "uuids", text: "Do the IDs of batches end in a UUID?", write: true},
	{id: "batch_object", text: "Is the object of a batch something other than vector_store.file_batch?", write: true},
	{id: "origin_store_ids", text: "Do responses have another vector_store_id than the request?", write: true},
	{id: "answers_store", text: "Is the response to a retrieve or a cancel of a batch the vector store?", write: true},
	{id: "poll_after", text: "Does the server request a poll interval (openai-poll-after-ms)?", write: true},
	{id: "created_at_skew", text: "Does created_at differ from this machine's clock by more than a minute?", write: true},
	{id: "counts_incomplete", text: "Do the counts of a completed batch differ from its files?", write: true},
	{id: "attributes_ignored", text: "Are the attributes of a batch lost?", write: true},
	{id: "attributes_lowered", text: "Are texts in attributes returned in lower case?", write: true},
	{id: "float_numbers", text: "Are integers in attributes returned with a decimal point?", write: true},
	{id: "chunking_ignored", text: "Is the chunking_strategy of a batch lost?", write: true},
	{id: "auto_read_back", text: "Is automatic chunking returned as auto, and not as static?", write: true},
	{id: "no_attribute_update", text: "Is an update of the attributes of a file refused?", write: true},
	{id: "updates_dropped", text: "Is an update of the attributes of a file accepted, and lost?", write: true},
	{id: "search_own_ids", text: "Is the file_id of a search result another ID than that of the file?", write: true},
	{id: "reject_late_cancel", text: "Is the cancel of a completed batch refused?", write: true},

	{id: "filter_ignored", text: "Does the list of a batch's files ignore filter?", write: true},
	{id: "cursor_ignored", text: "Does the list of a batch's files ignore limit or after?", write: true},
	{id: "loose_queries", text: "Does the list of a batch's files accept an unknown filter and an unknown cursor?", write: true},
	{id: "large_pages", text: "Does the list of a vector store's files accept limit=101?", write: true},

	{id: "files_ignored", text: "Is the field files of a create ignored?", write: true},
	{id: "file_attributes_ignored", text: "Are the attributes of an item of files lost?", write: true},
	{id: "file_chunking_ignored", text: "Is the chunking_strategy of an item of files lost?", write: true},
	{id: "max_batch_files", text: "Is the maximum number of files in a batch smaller than 2000?", write: true},
	{id: "empty_batches", text: "Is a create with an empty list accepted?", write: true},
	{id: "unknown_fields", text: "Does a create accept unknown fields?", write: true},
	{id: "unknown_fields_overlap", text: "Does a create accept an overlap of more than half a chunk?", write: true},
	{id: "counts_duplicates", text: "Does a file that a create names twice count twice?", write: true},
	{id: "strict_files", text: "Is a create refused if it names a file that was never uploaded?", write: true},
	{id: "missing_files_fail", text: "Does a file that was never uploaded fail in its batch?", write: true},

	{id: "attach_extensions_csv", text: "Is a create with a .csv file refused?", write: true},
	{id: "attach_extensions_png", text: "Is a create with a .png file refused?", write: true},
	{id: "attach_extensions_h", text: "Is a create with a .h file refused?", write: true},
	{id: "attach_extensions_none", text: "Is a create with a file without an extension refused?", write: true},
	{id: "any_extension_case", text: "Is an extension in upper case (.TXT) accepted?", write: true},
	{id: "failing_content_unsupported", text: "Does a .csv file fail in its batch?", write: true},
	{id: "failing_content_image", text: "Does a .png file fail in its batch?", write: true},
	{id: "failing_content_no_extension", text: "Does a file without an extension fail in its batch?", write: true},
	{id: "failing_content_empty", text: "Does an empty .txt file fail?", write: true},
	{id: "failing_content_blank", text: "Does a blank .txt file fail?", write: true},
	{id: "failing_content_broken_pdf", text: "Does a broken .pdf file fail?", write: true},
	{id: "failure_code", text: "Do broken files fail with the code server_error?", write: true},

	{id: "not_found_status_batch", text: "Is a missing batch something other than a 404?", write: true},
	{id: "not_found_status_cancel", text: "Is the cancel of a missing batch something other than a 404?", write: true},
	{id: "not_found_status_list", text: "Is the list of a missing batch's files something other than a 404?", write: true},
	{id: "not_found_status_create", text: "Is a create in a missing vector store something other than a 404?", write: true},
	{id: "not_found_status_store_file", text: "Is a file that is not in the vector store something other than a 404?", write: true},
	{id: "not_found_status_detach", text: "Is detaching a file that is not in the vector store something other than a 404?", write: true},

	{id: "reattach_skipped", text: "Does a file that is attached again keep its old attributes?", write: true},
	{id: "reattach_failed_refused", text: "Is a failed file refused when it is attached again?", write: true},
	{id: "reattach_failed_skipped", text: "Does a failed file that is attached again keep its old attributes and its failure?", write: true},
	{id: "ineffective_detaches", text: "Is a detach answered with a 2xx and deleted: false?", write: true},
	{id: "detach_twice", text: "Is the second detach of a file something other than a 404?", write: true},
	{id: "detaches_everywhere", text: "Does detaching a file from one vector store detach it from another?", write: true},
	{id: "batch_lists_store", text: "Does the list of a batch's files omit files that were detached since?", write: true},
	{id: "deleted_files_stay", text: "Does a deleted upload stay in the vector store?", write: true},

	{id: "operator_create", text: "Does the operator's client understand the response to a create?", write: true},
	{id: "operator_retrieve", text: "Does the operator's client understand a batch?", write: true},
	{id: "operator_files", text: "Does the operator's client understand the list of a batch's files?", write: true},
	{id: "operator_file", text: "Does the operator's client understand a file of a vector store?", write: true},
	{id: "operator_detach", text: "Does the operator's client detach a file?", write: true},

	{id: "upload_visible_after", text: "Is a new upload not found at first?", write: true, timing: true},
	{id: "batch_visible_after", text: "Is a new batch not found at first?", write: true, timing: true},
	{id: "attached_when_processed", text: "Is a file not in the vector store directly after the create of its batch?", write: true, timing: true},
	{id: "drifting_creation", text: "Does created_at of a batch differ between its create and a retrieve?", write: true, timing: true},
	{id: "detach_delay", text: "Is a detached file still found for a while?", write: true, timing: true},
}
