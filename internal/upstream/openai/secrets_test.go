// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// echoes are the forms in which a server can repeat a key.
func echoes(key string) map[string]string {
	forms := map[string]string{
		"itself":                key,
		"in a text":             "a " + key + ".",
		"in an ID":              "vsfb_" + key,
		"URL-escaped":           url.QueryEscape(key),
		"path-escaped":          url.PathEscape(key),
		"base64":                base64.StdEncoding.EncodeToString([]byte(key)),
		"base64 for URLs":       base64.URLEncoding.EncodeToString([]byte(key)),
		"basic authentication":  base64.StdEncoding.EncodeToString([]byte("user:" + key)),
		"basic, another user":   base64.StdEncoding.EncodeToString([]byte("u:" + key + ":x")),
		"a header":              "Bearer " + key,
		"base64 of the header":  base64.RawURLEncoding.EncodeToString([]byte("Bearer " + key)),
		"hexadecimal":           hex.EncodeToString([]byte(key)),
		"hexadecimal, capitals": strings.ToUpper(hex.EncodeToString([]byte(key))),
	}
	if strings.HasPrefix(key, "sk-") {
		forms["a part"] = key[:len(key)-3]
		forms["masked"] = key[:5] + "****" + key[len(key)-4:]
	}
	return forms
}

// leaks reports whether a text contains what makes a key known. Of base64, it decodes all alignments.
func leaks(text, key string) bool {
	texts := []string{text}
	for skip := range min(4, len(text)) {
		words := strings.FieldsFunc(text[skip:], func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", r)
		})
		for _, word := range words {
			decoded, _ := base64.RawStdEncoding.DecodeString(word[:len(word)-len(word)%4])
			texts = append(texts, string(decoded))
		}
	}
	unescaped, _ := url.QueryUnescape(text)
	fromHex, _ := hex.DecodeString(strings.ToLower(strings.TrimPrefix(text, "vsfb_")))
	texts = append(texts, unescaped, string(fromHex))
	part := key[:len(key)-3]
	for _, text := range texts {
		if strings.Contains(text, part) || strings.HasPrefix(key, "sk-") && strings.Contains(text, "****"+key[len(key)-4:]) {
			return true
		}
	}
	return false
}

// stringsIn calls visit for each string in a value, with the path of its field. It visits what an error
// wraps too.
func stringsIn(path string, value reflect.Value, visit func(path, text string)) {
	switch value.Kind() { //nolint:exhaustive // other kinds contain no strings
	case reflect.String:
		visit(path, value.String())
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			if err, ok := value.Interface().(error); ok {
				visit(path+".Error()", err.Error())
			}
			stringsIn(path, value.Elem(), visit)
		}
	case reflect.Struct:
		for i := range value.NumField() {
			if field := value.Type().Field(i); field.IsExported() {
				stringsIn(path+"."+field.Name, value.Field(i), visit)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range value.Len() {
			stringsIn(path, value.Index(i), visit)
		}
	case reflect.Map:
		for iterator := value.MapRange(); iterator.Next(); {
			stringsIn(path+" key", iterator.Key(), visit)
			stringsIn(path, iterator.Value(), visit)
		}
	}
}

// results are the calls of a client, with everything that they return.
func results(t *testing.T, c *Client) map[string][]any {
	all := map[string][]any{}
	add := func(name string, values ...any) { all[name] = values }
	ctx := t.Context()
	batch, err := c.Create(ctx, testCreate)
	add("Create", batch, err)
	batch, err = c.Retrieve(ctx, testRef)
	add("Retrieve", batch, err)
	batch, err = c.Cancel(ctx, testRef)
	add("Cancel", batch, err)
	failed, err := c.FailedFiles(ctx, testRef, 100)
	add("FailedFiles", failed, err)
	ids, err := c.Files(ctx, testRef)
	add("Files", ids, err)
	file, err := c.File(ctx, testStore, testFile)
	add("File", file, err)
	add("Detach", c.Detach(ctx, testStore, testFile))
	return all
}

// echo is a server that repeats a text in every header of its responses, and in one place of the body.
type echo struct {
	text, body string
	status     int
}

func (e *echo) RoundTrip(*http.Request) (*http.Response, error) {
	escaped := url.PathEscape(e.text)
	header := http.Header{"Content-Type": {"application/json"}, "Location": {"https://" + escaped + ".example/" + escaped}}
	for _, name := range []string{"X-Request-Id", "Openai-Organization", "Retry-After", "Retry-After-Ms", "Openai-Poll-After-Ms"} {
		header.Set(name, e.text)
	}
	if e.body == "" {
		header.Set("Content-Encoding", e.text)
	}
	return &http.Response{StatusCode: e.status, Header: header, Body: io.NopCloser(strings.NewReader(e.body))}, nil
}

// echoBodies are the bodies of responses. In each, the server repeats the text in place of one of the
// values in validValues.
var (
	echoBodies = []string{
		`{"id":"ID","vector_store_id":"STORE","status":"STATUS","created_at":1,"file_counts":{"total":1},` +
			`"error":{"message":"MESSAGE","code":"CODE","type":"CODE"},"message":"MESSAGE","detail":"MESSAGE"}`,
		`{"id":"FILE","vector_store_id":"STORE","status":"STATUS","created_at":1}`,
		`{"data":[{"id":"FILE","status":"STATUS","last_error":{"code":"CODE","message":"MESSAGE"}}],"has_more":false}`,
		`{"data":[{"id":"FILE","status":"STATUS"}],"has_more":true}`,
		`{"error":"MESSAGE"}`, `{"message":"MESSAGE"}`, `{"detail":[{"msg":"MESSAGE"}]}`, `<html>MESSAGE`, `MESSAGE`, `{"MESSAGE":0}`, ``,
	}
	validValues = map[string]string{
		"ID": testBatch, "STORE": testStore, "STATUS": "failed", "FILE": testFile, "CODE": "c", "MESSAGE": "m",
	}
)

// echoed returns a body with a text in place of one of the values.
func echoed(body, field, text string) string {
	for name, value := range validValues {
		if name == field {
			value = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
		}
		body = strings.ReplaceAll(body, name, value)
	}
	return body
}

// TestClient_ReturnsNoKey uses a server that repeats the key, in one of its forms, in every field of its
// responses. The test visits every exported string in what the calls return and what an observer sees.
func TestClient_ReturnsNoKey(t *testing.T) {
	for _, key := range []string{testKey, "opaque+key/0123=9?\"<>~"} {
		var observed []observation
		server := &echo{}
		client := dial(t, upstream.Connection{APIKey: key}, Options{Observer: record(&observed)})
		client.http.Transport = server
		checked := map[string]bool{}
		check := func(path, found string) {
			if !checked[found] && leaks(found, key) {
				t.Errorf("%d: %s is %q\n%s", server.status, path, found, server.body)
			}
			checked[found] = true
		}
		for _, server.text = range echoes(key) {
			for _, body := range echoBodies {
				for field := range validValues {
					if !strings.Contains(body, field) && (body != "" || field != "ID") {
						continue
					}
					server.body = echoed(body, field, server.text)
					for _, server.status = range []int{200, 302, 400} {
						observed = nil
						stringsIn("", reflect.ValueOf(results(t, client)), check)
						stringsIn("observer", reflect.ValueOf(observed), check)
					}
				}
			}
		}
	}
}

func TestCreate_IDContainsKey(t *testing.T) {
	for key, unusable := range map[string]bool{
		testKey: true, "01234567": true, "abcdefgh": false, "0123456": false, "vsfb": false, "a": false, "none": false,
	} {
		e := listen(t, respondJSON(200, batchJSON), start)
		id := testBatch
		if key == testKey {
			e.Config.Handler = respondJSON(200, strings.ReplaceAll(batchJSON, testBatch, testBatch+key))
			id += key
		}
		client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1", APIKey: key}, Options{})
		batch, err := client.Create(t.Context(), testCreate)
		if !unusable {
			if err != nil || batch.ID != id {
				t.Errorf("%q: Create = %q, %v; want %q", key, batch.ID, err, id)
			}
			continue
		}
		failure := classified(t, err)
		if failure.Kind != upstream.UnknownOutcome || !strings.Contains(failure.Message, "a batch ID that contains a key") || strings.Contains(failure.Message, id) {
			t.Errorf("%q: %v: %v, want an unknown outcome", key, failure.Kind, failure)
		}
	}
}

func TestClient_Organization(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "org-a": "org-a", "Ä b": "Ä b", strings.Repeat("a", 64): strings.Repeat("a", 64), strings.Repeat("a", 65): "",
		"a\x7fb": "", "a\xffb": "", "a\tb": "", testKey: "", "org-" + testKey[:12]: "",
	} {
		client, _ := serve(t, respondJSON(200, batchJSON, "OpenAI-Organization", header), Options{})
		for name, call := range map[string]func() (upstream.Batch, error){
			"create":   func() (upstream.Batch, error) { return client.Create(t.Context(), testCreate) },
			"retrieve": func() (upstream.Batch, error) { return client.Retrieve(t.Context(), testRef) },
			"cancel":   func() (upstream.Batch, error) { return client.Cancel(t.Context(), testRef) },
		} {
			if batch, err := call(); header != "a\x7fb" && err != nil || batch.Organization != want {
				t.Errorf("%s with the header %q: %q, %v; want %q", name, header, batch.Organization, err, want)
			}
		}
	}
}

func TestRedactor(t *testing.T) {
	redact := redactor("opaque+key/0123=", "", "org-1")
	for text, want := range map[string]string{
		"":                          "",
		"no secrets":                "no secrets",
		"key opaque+key/0123=.":     "key [redacted].",
		"opaque%2Bkey%2F0123%3D":    "[redacted]",
		"opaque+key%2F0123=":        "[redacted]",
		"of org-1, not org-2":       "of [redacted], not org-2",
		"sk-abcd":                   "[redacted]",
		"sk-abc":                    "sk-abc",
		"sk-proj-****abcd, risk-ab": "[redacted], risk-ab",
		"BEARER abcdefgh":           "[redacted]",
		"bearer abcdefg":            "bearer abcdefg",
		"Bearer of bad news":        "Bearer of bad news",
	} {
		if got := redact(text); got != want {
			t.Errorf("redact(%q) = %q, want %q", text, got, want)
		}
	}
	// What base64 shows of the characters beside a key depends on them.
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for _, before := range []string{"", "a", "ab", "abc"} {
			for _, after := range []string{"", "x", "xy", "xyz"} {
				text := encoding.EncodeToString([]byte(before + "opaque+key/0123=" + after))
				got := redact(text)
				if !strings.Contains(got, redacted) || len(got)-len(redacted) > 4*3 {
					t.Errorf("redact(%q) = %q (%q, %q)", text, got, before, after)
				}
			}
		}
	}
}

// TestRedactor_OneSecretContainsAnother requires that the longer of two secrets is replaced, whatever their order is.
func TestRedactor_OneSecretContainsAnother(t *testing.T) {
	for _, secrets := range [][]string{{"key-0123", "key-0123-project"}, {"key-0123-project", "key-0123"}} {
		if got := redactor(secrets...)("of key-0123-project."); got != "of [redacted]." {
			t.Errorf("%v: %q", secrets, got)
		}
	}
}

// TestRedactor_ShortSecrets requires that a key of 8 characters is found in base64 and makes an ID unusable, and that a
// shorter one does not.
func TestRedactor_ShortSecrets(t *testing.T) {
	for key, found := range map[string]bool{"w2-4.6+8": true, "w2-4.6+": false} {
		encoded := base64.StdEncoding.EncodeToString([]byte(key))
		if got := redactor(key)(encoded); (got != encoded) != found {
			t.Errorf("%s in base64: %q", key, got)
		}
		if got := exposes(key)("id-" + key); got != found {
			t.Errorf("exposes(%s) is %t", key, got)
		}
	}
}

func TestSanitize_LongTexts(t *testing.T) {
	client := testClient()
	for name, test := range map[string]struct{ text, want string }{
		"not cut":       {strings.Repeat(" ", maxSanitized-1) + "a", "a"},
		"cut":           {"a" + strings.Repeat(" ", maxSanitized-1) + "b", "a"},
		"before a key":  {strings.Repeat(" ", maxSanitized-5) + testKey + " b", redacted[:5]},
		"behind a key":  {testKey + strings.Repeat(" ", maxSanitized), redacted},
		"a key, at end": {strings.Repeat(" ", maxSanitized+maxSecret-5) + testKey, ""},
	} {
		if got := client.sanitize(test.text, 100); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestDial_LongCredentials(t *testing.T) {
	for length, valid := range map[int]bool{upstream.MaxCredential: true, upstream.MaxCredential + 1: false} {
		text := strings.Repeat("a", length)
		for name, connection := range map[string]upstream.Connection{
			"OPENAI_API_KEY":    {APIKey: text},
			"OPENAI_ORG_ID":     {APIKey: testKey, Organization: text},
			"OPENAI_PROJECT_ID": {APIKey: testKey, Project: text},
		} {
			_, err := Dial(connection, Options{})
			if valid {
				if err != nil {
					t.Errorf("%s of %d bytes: %v", name, length, err)
				}
				continue
			}
			if failure := classified(t, err); failure.Kind != upstream.Unauthorized || failure.Message != fmt.Sprintf("%s is longer than %d bytes", name, upstream.MaxCredential) {
				t.Errorf("%s of %d bytes: %v: %v", name, length, failure.Kind, failure)
			}
		}
	}
}
