// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// Limits of texts from the server, in characters.
const (
	maxMessage = 1024
	maxCode    = 128
)

const redacted = "[redacted]"

// keyPattern matches keys other than the client's own too, and the partly masked keys in messages of
// the API.
var keyPattern = regexp.MustCompile(`\bsk-[A-Za-z0-9_*-]{4,}|(?i:\bbearer\s+)[A-Za-z0-9._~+/*=-]{8,}`)

// redactor returns a function that replaces the given secrets, and everything that matches keyPattern,
// in a text.
func redactor(secrets ...string) func(string) string {
	var pairs []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		pairs = append(pairs, secret, redacted)
		if escaped := url.QueryEscape(secret); escaped != secret {
			pairs = append(pairs, escaped, redacted)
		}
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text string) string {
		return keyPattern.ReplaceAllString(replacer.Replace(text), redacted)
	}
}

// sanitize returns a text from the server as one line of valid UTF-8 without invisible characters and
// secrets, truncated to limit characters. It truncates last, because half of a key is not recognized
// as one.
func (c *Client) sanitize(text string, limit int) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return truncate(c.redact(strings.Join(strings.Fields(visible), " ")), limit)
}

func truncate(text string, limit int) string {
	characters := []rune(text)
	if len(characters) <= limit {
		return text
	}
	return string(characters[:limit-1]) + "…"
}
