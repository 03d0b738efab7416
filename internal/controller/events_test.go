// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTruncate_AtCharacterBoundary(t *testing.T) {
	for _, character := range []string{"a", "é", "…", "\U0001f600"} {
		for length := 4; length < 40; length++ {
			text := strings.Repeat(character, 40)
			got := truncate(text, length)
			if len(got) > length || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") || len(got) <= length-len(character) {
				t.Errorf("%q cut to %d bytes is %q, of %d bytes", text, length, got, len(got))
			}
		}
	}
	for text, want := range map[string]string{"": "", "short": "short", "é\xff!": "é!", "exactly 10": "exactly 10"} {
		if got := truncate(text, 10); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
