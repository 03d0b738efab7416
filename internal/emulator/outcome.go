// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"path"
	"strings"
)

// The codes with which the API says why a file failed.
const (
	ServerError     = "server_error"
	UnsupportedFile = "unsupported_file"
	InvalidFile     = "invalid_file"
)

// Outcome is what becomes of a file when it is processed. The zero value completes.
type Outcome struct {
	// Code makes the file fail: ServerError, UnsupportedFile or InvalidFile.
	Code string `json:"code,omitempty"`
	// Message says why it failed; a fitting one is chosen where it is empty.
	Message string `json:"message,omitempty"`
	// Stuck leaves the file in progress until it is cancelled or given another outcome.
	Stuck bool `json:"stuck,omitempty"`
}

// indexable are the extensions that the vector stores of the real service take.
var indexable = map[string]bool{
	".c": true, ".cpp": true, ".cs": true, ".css": true, ".doc": true, ".docx": true,
	".go": true, ".html": true, ".java": true, ".js": true, ".json": true, ".md": true,
	".pdf": true, ".php": true, ".pptx": true, ".py": true, ".rb": true, ".sh": true,
	".tex": true, ".ts": true, ".txt": true,
}

// idOutcome reads the convention by which an ID alone decides what becomes of a file.
func idOutcome(id string) Outcome {
	switch {
	case strings.HasPrefix(id, "file-fail-unsupported"):
		return failure(UnsupportedFile)
	case strings.HasPrefix(id, "file-fail-invalid"):
		return failure(InvalidFile)
	case strings.HasPrefix(id, "file-fail-"):
		return failure(ServerError)
	case strings.HasPrefix(id, "file-stuck-"):
		return Outcome{Stuck: true}
	}
	return Outcome{}
}

// uploadOutcome judges an uploaded file as the real service would: by its name, and by there
// being anything in it.
func uploadOutcome(name string, size int) Outcome {
	if !indexable[strings.ToLower(path.Ext(name))] {
		return failure(UnsupportedFile)
	}
	if size == 0 {
		return failure(InvalidFile)
	}
	return Outcome{}
}

func failure(code string) Outcome {
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
