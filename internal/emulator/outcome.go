// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"path"
	"slices"
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

// failingContent are the kinds of content that Behaviors.FailingContent can name, in the order in
// which they are checked.
var failingContent = []struct {
	kind, code string
	matches    func(extension string, content []byte) bool
}{
	{"no_extension", UnsupportedFile, func(extension string, _ []byte) bool { return extension == "" }},
	{"unsupported", UnsupportedFile, func(extension string, _ []byte) bool { return !slices.Contains(attachable, extension) }},
	{"image", UnsupportedFile, func(extension string, _ []byte) bool { return slices.Contains(images, extension) }},
	{"empty", InvalidFile, func(_ string, content []byte) bool { return len(content) == 0 }},
	{"blank", InvalidFile, func(_ string, content []byte) bool { return len(bytes.TrimSpace(content)) == 0 }},
	{"broken_pdf", InvalidFile, func(extension string, content []byte) bool {
		return extension == ".pdf" && !bytes.HasPrefix(content, []byte("%PDF-"))
	}},
}

// images are the extensions of images.
var images = []string{".gif", ".jpeg", ".jpg", ".png", ".webp"}

// uploadOutcome returns the outcome of an uploaded file, which depends on its extension and on its
// content.
func (s *Server) uploadOutcome(name string, content []byte) Outcome {
	extension := strings.ToLower(path.Ext(name))
	for _, f := range failingContent {
		if slices.Contains(s.settings.FailingContent, f.kind) && f.matches(extension, content) {
			o := failedOutcome(f.code)
			if message, ok := s.settings.Messages[f.kind]; ok {
				o.Message = message
			}
			return o
		}
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
