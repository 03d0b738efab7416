// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns a text on one line that cannot control a terminal: file names and texts of servers can
// contain control sequences, line breaks, characters that reverse the direction of writing, and bytes
// that are not UTF-8. It replaces them as Go does in a string.
func Escape(text string) string { return escape(text, "") }

// EscapeLines is Escape for a text of several lines.
func EscapeLines(text string) string { return escape(text, "\n") }

func escape(text, except string) string {
	var safe strings.Builder
	for i, r := range text {
		_, width := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&safe, `\x%02x`, text[i])
		case strings.ContainsRune(except, r):
			safe.WriteRune(r)
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp):
			safe.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			safe.WriteRune(r)
		}
	}
	return safe.String()
}
