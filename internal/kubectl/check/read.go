// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// readSteps are the steps that create nothing.
func readSteps() []step {
	return []step{
		{name: "key", ids: []string{"login_page", "key_not_required", "api_key_header", "no_store_list", "headers_request_id", "headers_organization"}, run: (*probe).readKey},
		{name: "paths", ids: []string{"strict_path", "unknown_path"}, run: (*probe).readPaths},
		{name: "missing objects", ids: []string{"error_body", "detail_errors", "not_found_status", "not_found_status_upload", "any_ids"}, run: (*probe).readMissing},
	}
}

// wrongKey is a key that no server accepts, unless it requires none.
const wrongKey = "sk-vsfb-check-this-key-is-wrong"

// readKey observes which keys the server accepts.
func (p *probe) readKey(ctx context.Context) error {
	listed, err := p.get(ctx, "vector_stores", "limit", "1")
	if err != nil {
		return err
	}
	p.see("no_store_list", !listed.ok() || listed.HTML, listed.describe())
	p.see("headers_request_id", listed.Header.Get("X-Request-Id") != "", presence(listed, "X-Request-Id"))
	p.see("headers_organization", listed.Header.Get("Openai-Organization") != "", presence(listed, "Openai-Organization"))
	wrong, err := p.readWith(ctx, http.Header{"Authorization": {"Bearer " + wrongKey}})
	if err != nil {
		return err
	}
	p.see("login_page", wrong.ok() && wrong.HTML, wrong.describe())
	anyKey := wrong.ok() && !wrong.HTML
	p.see("key_not_required", anyKey, wrong.describe())
	if anyKey {
		p.unknown("api_key_header", "the server accepts any key")
		return nil
	}
	other, err := p.send(ctx, openai.RawRequest{
		Method: http.MethodGet, Path: "vector_stores", Query: queryOf([]string{"limit", "1"}), KeyHeader: "Api-Key",
	})
	if err != nil {
		return err
	}
	p.seeResponse("api_key_header", other.ok() && !other.HTML, other)
	return nil
}

func (p *probe) readWith(ctx context.Context, header http.Header) (response, error) {
	return p.send(ctx, openai.RawRequest{Method: http.MethodGet, Path: "vector_stores", Query: queryOf([]string{"limit", "1"}), Header: header})
}

func presence(r response, header string) string {
	if r.Header.Get(header) == "" {
		return "no " + strings.ToLower(header)
	}
	return strings.ToLower(header)
}

// readPaths observes what the server has outside the base path.
func (p *probe) readPaths(ctx context.Context) error {
	unknown, err := p.get(ctx, "vsfb-check-no-such-path")
	if err != nil {
		return err
	}
	p.seeStatus("unknown_path", unknown)
	if parsed, err := url.Parse(p.BaseURL); err != nil || strings.Trim(parsed.Path, "/") == "" {
		return errRequired("the base URL has no path")
	}
	outside, err := p.send(ctx, openai.RawRequest{Method: http.MethodGet, Path: "/vector_stores", Query: queryOf([]string{"limit", "1"})})
	if err != nil {
		return err
	}
	p.see("strict_path", !outside.ok(), outside.describe())
	return nil
}

// openAIError is the form of OpenAI's errors.
const openAIError = "error{code,message,param,type}"

// readMissing observes how the server reports that something is missing.
func (p *probe) readMissing(ctx context.Context) error {
	store := unknownID("vs_")
	missing, err := p.get(ctx, storePath(store))
	if err != nil {
		return err
	}
	p.seeStatus("not_found_status", missing)
	form := shape(missing.Body)
	p.see("error_body", form != openAIError, form)
	upload, err := p.get(ctx, filePath(unknownID("file-")))
	if err != nil {
		return err
	}
	p.seeStatus("not_found_status_upload", upload)
	other := unknownID("check_")
	prefix, err := p.get(ctx, storePath(other))
	if err != nil {
		return err
	}
	same := prefix.describe() == missing.describe() &&
		strings.ReplaceAll(prefix.Message, other, "ID") == strings.ReplaceAll(missing.Message, store, "ID")
	p.see("any_ids", same, prefix.describe())
	return p.readDetails(ctx, store)
}

// readDetails observes which calls report {"detail"}.
func (p *probe) readDetails(ctx context.Context, store string) error {
	var calls []string
	for _, call := range []struct{ name, path string }{
		{"retrieve of a vector store", storePath(store)},
		{"retrieve of a batch", storePath(store, "file_batches", unknownID("vsfb_"))},
		{"files of a batch", storePath(store, "file_batches", unknownID("vsfb_"), "files")},
		{"unknown path", "vsfb-check-no-such-path"},
	} {
		r, err := p.get(ctx, call.path)
		if err != nil {
			return err
		}
		if at(r.Body, "detail") != nil {
			calls = append(calls, call.name)
		}
	}
	if len(calls) == 0 {
		calls = []string{"none"}
	}
	p.see("detail_errors", calls[0] != "none", strings.Join(calls, ", "))
	return nil
}

var fieldPattern = regexp.MustCompile(`^[a-z_]{1,32}$`)

// shape returns the names of the fields of an error body, to a depth of two.
func shape(body any) string {
	fields, isObject := body.(map[string]any)
	if !isObject {
		return "no JSON object"
	}
	inner, isObject := fields["error"].(map[string]any)
	if !isObject {
		return names(fields)
	}
	return "error{" + names(inner) + "}"
}

// names returns the names of fields, in their order.
func names(fields map[string]any) string {
	var found []string
	for name := range fields {
		if fieldPattern.MatchString(name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return strings.Join(found[:min(len(found), 8)], ",")
}
