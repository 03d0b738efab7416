// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"regexp"
	"strings"
)

// isNotFound reports whether the error of a 400 means that an object of the request does not exist.
// Servers such as OGX have no 404 for that.
//
// It reads the code, if there is a specific one, and otherwise the message. What a message quotes, such
// as the name of a file, does not count.
func (e apiError) isNotFound() bool {
	code := strings.ToLower(e.code)
	switch {
	case strings.HasSuffix(code, "not_found") || strings.HasSuffix(code, "notfound"):
		return !strings.Contains(code, "model")
	case otherCode.MatchString(code):
		return false
	}
	message := quotedText.ReplaceAllString(e.message, "${1}X${2}")
	return !otherProblem.MatchString(message) && missingObject.MatchString(message)
}

var (
	// otherCode matches codes of errors in the form or the content of a request.
	otherCode = regexp.MustCompile(`unsupported|parameter|param|field|type|value|extension|format|too_large|too_many|too_long|limit|quota|exceeded`)
	// otherProblem matches messages about such errors, which can contain the name of a file without
	// quotation marks.
	otherProblem = regexp.MustCompile(`(?i)\b(un)?support(s|ed)?\b|\b(file|mime|content)[ -]?(type|extension|format)s?\b|\bextensions?\b|\bparameters?\b|\bfields?\b`)
	// quotedText matches a text in quotation marks. An apostrophe within a word is none.
	quotedText = regexp.MustCompile("(^|[^\\pL\\pN])(?:'[^']*'|\"[^\"]*\"|`[^`]*`|“[^”]*”|‘[^’]*’)($|[^\\pL\\pN])")
	// missingObject matches the statement that a file, a batch or a vector store does not exist, with or
	// without its ID: "File file-1 not found in vector store vs_1", "No vector store found with id X".
	missingObject = regexp.MustCompile(`(?i)` +
		`\b` + object + `(?:\s+object)?(?:\s+(?:with\s+)?(?:the\s+)?(?:id|ids|name)?[\s:=]*\S+)?[\s,:]+` + missing + end +
		`|\bno(?:\s+such)?\s+` + object + `(?:\s+object)?(?:\s+(?:was|were|is))?(?:\s+(?:found|exists?)\b|\s*:)` +
		`|\b(?:cannot|can't|could\s+not|couldn't|unable\s+to)\s+(?:find|locate)\s+(?:the\s+|a\s+|any\s+)?` + object + `\b` +
		`|^not\s+found` + end)
)

// The parts of missingObject. The end keeps the name of a file such as "not found.csv" from matching.
const (
	object  = `(?:vector[ _-]?stores?(?:[ _-]files?)?(?:[ _-]batch(?:es)?)?|(?:file[ _-]?)?batch(?:es)?|files?|stores?|resources?|objects?|documents?)`
	missing = `(?:(?:was|were|is|are|has|have|could|can)\s+(?:been\s+)?)?(?:not\s+(?:be\s+|been\s+)?(?:found|located)|does\s+not\s+exist|do\s+not\s+exist|doesn't\s+exist|not\s+exist(?:ing)?|missing\s+from)`
	end     = `(?:[.,;:!)\]]*(?:\s|$))`
)
