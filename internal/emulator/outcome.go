// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"path"
	"strings"
)

// Codes of a failed file's last_error.
const (
	ServerError     = "server_error"
	UnsupportedFile = "unsupported_file"
	InvalidFile     = "invalid_file"
)

// Outcome is the result of processing a file. The zero value completes it.
type Outcome struct {
	// Code makes the file fail: ServerError, UnsupportedFile or InvalidFile.
	Code string `json:"code,omitempty"`
	// Message explains the failure; empty selects one that fits the code.
	Message string `json:"message,omitempty"`
	// Stuck keeps the file in progress until it is cancelled or gets another outcome.
	Stuck bool `json:"stuck,omitempty"`
}

// indexable has the file extensions that OpenAI's vector stores support.
var indexable = map[string]bool{
	".c": true, ".cpp": true, ".cs": true, ".css": true, ".doc": true, ".docx": true,
	".go": true, ".html": true, ".java": true, ".js": true, ".json": true, ".md": true,
	".pdf": true, ".php": true, ".pptx": true, ".py": true, ".rb": true, ".sh": true,
	".tex": true, ".ts": true, ".txt": true,
}

// idOutcome returns the outcome that the prefix of a file ID selects.
func idOutcome(id string) Outcome {
	switch {
	case strings.HasPrefix(id, "file-fail-unsupported"):
		return failedOutcome(UnsupportedFile)
	case strings.HasPrefix(id, "file-fail-invalid"):
		return failedOutcome(InvalidFile)
	case strings.HasPrefix(id, "file-fail-"):
		return failedOutcome(ServerError)
	case strings.HasPrefix(id, "file-stuck-"):
		return Outcome{Stuck: true}
	}
	return Outcome{}
}

// uploadOutcome returns the outcome of an uploaded file, which depends on its extension and on
// whether it is empty, as with OpenAI.
func uploadOutcome(name string, size int) Outcome {
	if !indexable[strings.ToLower(path.Ext(name))] {
		return failedOutcome(UnsupportedFile)
	}
	if size == 0 {
		return failedOutcome(InvalidFile)
	}
	return Outcome{}
}

func failedOutcome(code string) Outcome {
	return Outcome{Code: code, Message: failureMessage(code)}
}

func failureMessage(code string) string {
	switch code {
	case UnsupportedFile:
		return "This type of file cannot be indexed."
	case InvalidFile:
		return "Nothing could be read from the file."
	}
	return "The file could not be processed."
}
