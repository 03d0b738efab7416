// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// maxMessage and maxCode are limits of texts from the server, in characters.
	maxMessage = 1024
	maxCode    = 128
	// maxSanitized is the maximum length of a text that is sanitized, in bytes. It leaves room for
	// characters that are removed.
	maxSanitized = 8 << 10
	// maxSecret is the maximum length of a secret in all its forms, in bytes.
	maxSecret = 3 * upstream.MaxCredential
	// minSecret is the minimum length of a key that makes an ID which contains it unusable. Servers
	// that require no key accept any, so that a short one can be a common word.
	minSecret = 8
)

const redacted = "[redacted]"

// keyPattern matches keys other than the client's own too, and the partly masked keys in messages of
// the API.
var keyPattern = regexp.MustCompile(`\bsk-[A-Za-z0-9_*%-]{4,}|(?i:\bbearer\s+)[A-Za-z0-9._~+/*=-]{8,}`)

// redactor returns a function that replaces the given secrets, in all their forms, and everything that
// matches keyPattern, in a text.
func redactor(secrets ...string) func(string) string {
	var found []string
	for _, secret := range secrets {
		if secret != "" {
			found = append(found, formsOf(secret)...)
		}
	}
	// Of two forms, replace the one that contains the other.
	slices.SortStableFunc(found, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(found))
	for _, form := range found {
		pairs = append(pairs, form, redacted)
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text string) string { return redactKeys(replacer.Replace(text)) }
}

// redactKeys replaces everything that matches keyPattern.
func redactKeys(text string) string {
	// Most texts need no slow search.
	if !strings.Contains(text, "sk-") && !strings.Contains(strings.ToLower(text), "bearer") {
		return text
	}
	return keyPattern.ReplaceAllString(text, redacted)
}

// formsOf returns the forms in which servers and libraries repeat a secret.
func formsOf(secret string) []string {
	quoted := strconv.Quote(secret)
	found := []string{
		secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	if len(secret) < minSecret {
		return found[:4]
	}
	// In a longer text, such as that of basic authentication, the characters at both ends of a secret
	// depend on what is beside it.
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString(append(make([]byte, before), secret...))
			first, last := (before*8+5)/6, (before+len(secret))*8/6
			found = append(found, text[first:last])
		}
	}
	return found
}

// exposes returns a function that reports whether a text contains a key.
func exposes(key string) func(string) bool {
	redact := redactor()
	if len(key) >= minSecret {
		redact = redactor(key)
	}
	return func(text string) bool { return redact(text) != text }
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
	}, strings.ToValidUTF8(c.cut(text), "\uFFFD"))
	return truncate(c.redact(strings.Join(strings.Fields(visible), " ")), limit)
}

// cut returns the beginning of a long text. It redacts what it reads, and omits the last part of that,
// which can contain half of a key.
func (c *Client) cut(text string) string {
	if len(text) <= maxSanitized {
		return text
	}
	read := c.redact(text[:min(len(text), maxSanitized+maxSecret)])
	return read[:min(len(read), maxSanitized)]
}

func truncate(text string, limit int) string {
	characters := []rune(text)
	if len(characters) <= limit {
		return text
	}
	return string(characters[:limit-1]) + "…"
}
