// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import "testing"

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"docs/Übersicht 2.md": "docs/Übersicht 2.md",
		"日本語.md":              "日本語.md",
		"\x1b[2J\x1b]0;x\a":   `\x1b[2J\x1b]0;x\a`,
		"a\r\nb\tc":           `a\r\nb\tc`,
		"\u009b31m":           `\u009b31m`,
		"caf\xe9":             `caf\xe9`,
		"\u202egnp.md":        `\u202egnp.md`,
		"\u2028\u2067":        `\u2028\u2067`,
		"\ufffd":              "\ufffd",
		"it's":                "it's",
	} {
		if got := Escape(text); got != want {
			t.Errorf("Escape(%q) = %q, want %q", text, got, want)
		}
	}
	if got, want := EscapeLines("a\n\x1b[31mb\n"), "a\n"+`\x1b[31mb`+"\n"; got != want {
		t.Errorf("EscapeLines() = %q, want %q", got, want)
	}
}
