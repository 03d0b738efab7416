// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// The limits of texts that come from the upstream, in characters.
const (
	maxMessage = 1024
	maxCode    = 128
)

const redacted = "[redacted]"

// keyLike also finds keys that are not this connection's, and the half-masked ones that the
// upstream quotes.
var keyLike = regexp.MustCompile(`\bsk-[A-Za-z0-9_*-]{4,}|(?i:\bbearer\s+)[A-Za-z0-9._~+/*=-]{8,}`)

// redactor gives a function that takes the given texts, and whatever looks like a key, out of a
// text.
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
	known := strings.NewReplacer(pairs...)
	return func(text string) string {
		return keyLike.ReplaceAllString(known.Replace(text), redacted)
	}
}

// text makes a foreign text fit to be shown: one line of valid UTF-8 without invisible
// characters and secrets, cut at limit characters. Cutting comes last, so that it can't leave
// the half of a key.
func (c *Client) text(foreign string, limit int) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(foreign, "\uFFFD"))
	return cut(c.redact(strings.Join(strings.Fields(visible), " ")), limit)
}

func cut(text string, limit int) string {
	characters := []rune(text)
	if len(characters) <= limit {
		return text
	}
	return string(characters[:limit-1]) + "…"
}
