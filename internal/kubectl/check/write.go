// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// writeSteps are the steps that create objects on the server.
func writeSteps() []step {
	all := []step{
		{name: "uploads", ids: []string{"upload_extensions", "file_lifetime", "file_id_length", "no_assistants_download", "upload_visible_after"}, run: (*probe).uploads},
		{name: "names of uploads", ids: []string{"file_names_path", "file_names_ascii"}, run: (*probe).uploadNames},
		{name: "batch", ids: []string{
			"no_file_batches", "batch_id_prefix", "uuids", "batch_object", "origin_store_ids", "answers_store", "poll_after", "created_at_skew",
			"counts_incomplete", "batch_visible_after", "attached_when_processed", "drifting_creation", "reject_late_cancel",
		}, run: (*probe).mainBatch},
		{name: "attributes and chunking", ids: []string{
			"attributes_ignored", "attributes_lowered", "float_numbers", "chunking_ignored", "auto_read_back", "no_attribute_update", "updates_dropped",
		}, run: (*probe).settings},
		{name: "search", ids: []string{"search_own_ids"}, run: (*probe).search},
		{name: "files with their own settings", ids: []string{"files_ignored", "file_attributes_ignored", "file_chunking_ignored"}, run: (*probe).ownSettings},
		{name: "unusual creates", ids: []string{
			"max_batch_files", "empty_batches", "unknown_fields", "unknown_fields_overlap", "counts_duplicates", "strict_files", "missing_files_fail",
		}, run: (*probe).unusualCreates},
		{name: "extensions", ids: []string{
			"attach_extensions_csv", "attach_extensions_png", "attach_extensions_h", "attach_extensions_none", "any_extension_case",
			"failing_content_unsupported", "failing_content_image", "failing_content_no_extension",
		}, run: (*probe).extensions},
		{name: "contents", ids: []string{"failing_content_empty", "failing_content_blank", "failing_content_broken_pdf", "failure_code"}, run: (*probe).contents},
		{name: "lists", ids: []string{"filter_ignored", "cursor_ignored", "loose_queries", "large_pages"}, run: (*probe).lists},
		{name: "missing batches and files", ids: []string{
			"not_found_status_batch", "not_found_status_cancel", "not_found_status_list", "not_found_status_create", "not_found_status_store_file", "not_found_status_detach",
		}, run: (*probe).missingObjects},
		{name: "attaching again", ids: []string{"reattach_skipped", "reattach_failed_refused", "reattach_failed_skipped"}, run: (*probe).reattach},
		{name: "the operator's client", ids: []string{"operator_create", "operator_retrieve", "operator_files", "operator_file", "operator_detach"}, run: (*probe).operatorClient},
		{name: "detaching", ids: []string{"ineffective_detaches", "detach_twice", "detaches_everywhere", "batch_lists_store", "detach_delay"}, run: (*probe).detaching},
		{name: "deleted uploads", ids: []string{"deleted_files_stay"}, run: (*probe).deletedUploads},
	}
	for i := range all {
		all[i].write = true
	}
	return all
}

// errRequired is the error of a step whose objects an earlier step could not create.
func errRequired(what string) error {
	return &upstream.Error{Kind: upstream.Rejected, Message: what}
}

var (
	errNoFile  = errRequired("no file could be uploaded")
	errNoBatch = errRequired("no batch could be created")
)

// uploads creates the vector stores and uploads files.
func (p *probe) uploads(ctx context.Context) error {
	var err error
	if p.store, err = p.createStore(ctx, "-a"); err != nil {
		return fmt.Errorf("creating a vector store: %w", err)
	}
	if p.other, err = p.createStore(ctx, "-b"); err != nil {
		return fmt.Errorf("creating a vector store: %w", err)
	}
	if p.plain, err = p.upload(ctx, p.name(".txt"), "The first file of kubectl vsfb check.\n"); err != nil {
		return err
	}
	if p.plain.id == "" {
		return p.plain.sent.err()
	}
	p.see("file_lifetime", lifetime(p.plain.sent) > 0, lifetimeText(lifetime(p.plain.sent)))
	p.see("file_id_length", len(p.plain.id) > 64, lengthText(len(p.plain.id)))
	if p.second, err = p.upload(ctx, p.name("-second.txt"), "The second file of kubectl vsfb check.\n"); err != nil {
		return err
	}
	downloaded, err := p.get(ctx, filePath(p.plain.id, "content"))
	if err != nil {
		return err
	}
	p.seeResponse("no_assistants_download", !downloaded.ok(), downloaded)
	unusual, err := p.upload(ctx, p.name(".vsfb"), "A file with an unusual extension.\n")
	if err != nil {
		return err
	}
	p.seeResponse("upload_extensions", unusual.sent.refused(), unusual.sent)
	return nil
}

func lifetime(r response) time.Duration {
	expires, created := r.number("expires_at"), r.number("created_at")
	if expires <= 0 || created <= 0 {
		return 0
	}
	return time.Duration(expires-created) * time.Second
}

func lifetimeText(lifetime time.Duration) string {
	if lifetime <= 0 {
		return "never"
	}
	return fmt.Sprintf("after %d days", int(lifetime.Round(24*time.Hour)/(24*time.Hour)))
}

func lengthText(length int) string {
	for _, limit := range []int{64, 128, 256, 512} {
		if length <= limit {
			return fmt.Sprintf("at most %d characters", limit)
		}
	}
	return "more than 512 characters"
}

// uploadNames observes what the server makes of the name of an upload.
func (p *probe) uploadNames(ctx context.Context) error {
	if p.plain.id == "" {
		return errNoFile
	}
	base := p.name("-a b ä.txt")
	sent := "folder/" + base
	named, err := p.upload(ctx, sent, "A file with an unusual name.\n")
	if err == nil {
		err = named.sent.err()
	}
	if err != nil {
		return err
	}
	kept := named.sent.text("filename")
	p.see("file_names_path", kept == sent, nameText(kept, sent, base))
	p.see("file_names_ascii", kept != sent && kept != base && strings.Contains(kept, "a_b"), nameText(kept, sent, base))
	return nil
}

func nameText(kept, sent, base string) string {
	ascii := regexp.MustCompile(`[^A-Za-z0-9._-]`)
	switch kept {
	case sent:
		return "the name with its path is kept"
	case base:
		return "the name without its path is kept"
	case ascii.ReplaceAllString(sent, "_"):
		return "slashes, spaces and other letters become _"
	case ascii.ReplaceAllString(base, "_"):
		return "the path is removed, spaces and other letters become _"
	case "":
		return "no name"
	}
	return "another name"
}

// attributes are those of the main batch.
func attributes() map[string]any {
	return map[string]any{"text": "Value", "integer": 7, "fraction": 1.5, "flag": true}
}

func chunks(size, overlap int) map[string]any {
	return map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}}
}

// mainBatch creates the batch that the next steps use.
func (p *probe) mainBatch(ctx context.Context) error {
	if p.plain.id == "" || p.second.id == "" {
		return errNoFile
	}
	b, err := p.create(ctx, p.store, map[string]any{
		"file_ids": []string{p.plain.id, p.second.id}, "attributes": attributes(), "chunking_strategy": chunks(200, 50),
	})
	if err != nil {
		return err
	}
	p.seeResponse("no_file_batches", b.created.missing() || b.created.StatusCode == http.StatusMethodNotAllowed, b.created)
	if !b.accepted() {
		return errNoBatch
	}
	if err := p.firstRead(ctx); err != nil {
		return err
	}
	if err := p.finish(ctx, &b); err != nil {
		return err
	}
	p.main = b
	p.batchObject(b)
	p.counts(b)
	return p.lateCancel(ctx, b)
}

// firstRead observes whether a file is in the vector store directly after the create of its batch.
func (p *probe) firstRead(ctx context.Context) error {
	file, err := p.get(ctx, storePath(p.store, "files", p.plain.id))
	if err != nil {
		return err
	}
	p.see("attached_when_processed", file.missing(), file.describe())
	return nil
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// batchObject observes the fields of a batch.
func (p *probe) batchObject(b batch) {
	prefix := prefixOf(b.id)
	p.see("batch_id_prefix", prefix != "vsfb_", prefix)
	uuid := uuidPattern.MatchString(b.id)
	p.see("uuids", uuid, map[bool]string{true: "a UUID", false: "no UUID"}[uuid])
	object := b.created.text("object")
	if !fieldPattern.MatchString(strings.ReplaceAll(object, ".", "_")) {
		object = "another text"
	}
	p.see("batch_object", object != "vector_store.file_batch", object)
	store := b.created.text("vector_store_id")
	p.see("origin_store_ids", store != b.store && store != "", sameText(store == b.store))
	after := b.created.Header.Get("Openai-Poll-After-Ms") + b.retrieved.Header.Get("Openai-Poll-After-Ms")
	p.see("poll_after", after != "", map[bool]string{true: "a header", false: "no header"}[after != ""])
	skewed := b.createdAt.Sub(time.Unix(b.created.number("created_at"), 0)).Abs() > time.Minute
	p.see("created_at_skew", skewed, map[bool]string{true: "more than a minute", false: "less than a minute"}[skewed])
	drift := b.created.number("created_at") != b.retrieved.number("created_at")
	p.see("drifting_creation", drift && b.retrieved.text("id") == b.id, sameText(!drift))
}

func sameText(same bool) string {
	if same {
		return "the same"
	}
	return "another"
}

// prefixOf returns the part of an ID before its random characters.
func prefixOf(id string) string {
	prefix := regexp.MustCompile(`^([a-z]+_)+|^[a-z]+-`).FindString(id)
	if prefix == "" {
		return "no prefix"
	}
	return prefix
}

// counts observes the counts of the finished main batch.
func (p *probe) counts(b batch) {
	p.see("answers_store", b.final.text("id") == b.store, map[bool]string{true: "retrieve", false: "the batch"}[b.final.text("id") == b.store])
	if b.final.text("id") != b.id {
		p.unknown("counts_incomplete", "the batch cannot be read")
		return
	}
	counts := func(name string) int64 { return b.final.number("file_counts", name) }
	ended := counts("completed") + max(counts("failed"), 0) + max(counts("cancelled"), 0)
	p.see("counts_incomplete", ended != counts("total") || counts("total") != 2 || counts("in_progress") > 0,
		fmt.Sprintf("%d of %d files", ended, counts("total")))
}

func (p *probe) lateCancel(ctx context.Context, b batch) error {
	r, err := p.post(ctx, b.path("cancel"), nil)
	if err != nil {
		return err
	}
	p.seeResponse("reject_late_cancel", r.refused(), r)
	if r.ok() && r.text("id") == b.store {
		p.see("answers_store", true, p.seen["answers_store"].Answer+", cancel")
	}
	return nil
}

// settings observes the attributes and the chunking of the files of the main batch.
func (p *probe) settings(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	file, err := p.storeFile(ctx, p.store, p.plain.id)
	if err != nil {
		return err
	}
	p.attributes("attributes_ignored", "float_numbers", file.Body)
	text := textAt(file.Body, "attributes", "text")
	p.see("attributes_lowered", text == "value", map[string]string{"Value": "as sent", "value": "in lower case"}[text])
	p.chunking("chunking_ignored", file.Body, 200, 50)
	if err := p.updateAttributes(ctx); err != nil {
		return err
	}
	b, automatic, err := p.attach(ctx, p.other, p.plain.id, nil)
	if err == nil {
		err = b.created.err()
	}
	if err != nil {
		return err
	}
	kind := textAt(automatic, "chunking_strategy", "type")
	p.see("auto_read_back", kind == "auto", chunkingText(automatic))
	return nil
}

// updateAttributes replaces the attributes of a file.
func (p *probe) updateAttributes(ctx context.Context) error {
	updated, err := p.post(ctx, storePath(p.store, "files", p.plain.id), map[string]any{"attributes": map[string]any{"text": "updated"}})
	if err != nil {
		return err
	}
	p.seeResponse("no_attribute_update", !updated.ok(), updated)
	if !updated.ok() {
		p.unknown("updates_dropped", "the update is refused")
		return nil
	}
	file, err := p.storeFile(ctx, p.store, p.plain.id)
	if err != nil {
		return err
	}
	kept := textAt(file.Body, "attributes", "text") == "updated"
	p.see("updates_dropped", !kept, map[bool]string{true: "the new attributes", false: "other attributes"}[kept])
	return nil
}

// search observes the results of a search for the files of the main batch.
func (p *probe) search(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	r, err := p.post(ctx, storePath(p.store, "search"), map[string]any{"query": "The first file of kubectl vsfb check."})
	if err == nil {
		err = r.err()
	}
	if err != nil {
		return err
	}
	results, _ := at(r.Body, "data").([]any)
	if len(results) == 0 {
		return errRequired("the search found nothing")
	}
	own := !slices.ContainsFunc(results, func(result any) bool {
		return slices.Contains([]string{p.plain.id, p.second.id}, textAt(result, "file_id"))
	})
	p.see("search_own_ids", own, map[bool]string{true: "another ID", false: "the ID of the file"}[own])
	return nil
}

// attributes observes whether a file has the attributes of the main batch.
func (p *probe) attributes(ignored, floats string, file any) {
	text, flag := textAt(file, "attributes", "text"), at(file, "attributes", "flag")
	kept := strings.EqualFold(text, "value") && flag == true
	p.see(ignored, !kept, map[bool]string{true: "kept", false: "not kept"}[kept])
	if floats == "" {
		return
	}
	integer := fmt.Sprint(at(file, "attributes", "integer"))
	p.see(floats, strings.ContainsAny(integer, ".eE"), "7 is returned as "+map[bool]string{true: integer, false: "another value"}[integer == "7" || integer == "7.0"])
}

// chunking observes whether a file has the chunking that was requested.
func (p *probe) chunking(id string, file any, size, overlap int64) {
	kept := numberAt(file, "chunking_strategy", "static", "max_chunk_size_tokens") == size &&
		numberAt(file, "chunking_strategy", "static", "chunk_overlap_tokens") == overlap
	p.see(id, !kept, chunkingText(file))
}

func chunkingText(file any) string {
	switch textAt(file, "chunking_strategy", "type") {
	case "static":
		return fmt.Sprintf("static %d/%d", numberAt(file, "chunking_strategy", "static", "max_chunk_size_tokens"),
			numberAt(file, "chunking_strategy", "static", "chunk_overlap_tokens"))
	case "auto":
		return "auto"
	case "":
		return "no chunking_strategy"
	}
	return "another type"
}

// ownSettings observes files with their own attributes and chunking.
func (p *probe) ownSettings(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	file, err := p.upload(ctx, p.name("-own.txt"), "A file with its own settings.\n")
	if err == nil {
		err = file.sent.err()
	}
	if err != nil {
		return err
	}
	b, err := p.run(ctx, p.store, map[string]any{"files": []any{
		map[string]any{"file_id": file.id, "attributes": attributes(), "chunking_strategy": chunks(300, 100)},
	}})
	if err != nil {
		return err
	}
	if !b.accepted() {
		p.seeResponse("files_ignored", false, b.created)
		return b.created.err()
	}
	attached := b.file(file.id)
	p.see("files_ignored", attached == nil, fmt.Sprintf("%d of 1 files in the batch", len(b.files)))
	if attached == nil {
		return errRequired("files is ignored")
	}
	p.attributes("file_attributes_ignored", "", attached)
	p.chunking("file_chunking_ignored", attached, 300, 100)
	return nil
}

// unusualCreates observes which creates the server accepts.
func (p *probe) unusualCreates(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	err := errors.Join(p.maximum(ctx), p.duplicates(ctx), p.unknownFile(ctx))
	for _, create := range []struct {
		id   string
		body map[string]any
	}{
		{"empty_batches", map[string]any{"file_ids": []string{}}},
		{"unknown_fields", map[string]any{"file_ids": []string{p.second.id}, "vsfb_check": 1}},
		{"unknown_fields_overlap", map[string]any{"file_ids": []string{p.second.id}, "chunking_strategy": chunks(200, 150)}},
	} {
		b, createErr := p.run(ctx, p.other, create.body)
		if createErr != nil && !b.accepted() {
			return createErr
		}
		p.seeResponse(create.id, b.accepted(), b.created)
	}
	return err
}

// maximum observes the maximum number of files with creates that are invalid for another reason too, so
// that none of them has an effect.
func (p *probe) maximum(ctx context.Context) error {
	const none = "none seen up to 2001"
	limit := 0
	for _, count := range []int{101, 501, 2001} {
		ids := make([]string, count)
		for i := range ids {
			ids[i] = unknownID(prefixOf(p.plain.id))
		}
		if prefixOf(p.plain.id) == "no prefix" {
			ids = repeated(similarID(p.plain.id), count)
		}
		r, err := p.post(ctx, storePath(p.other, "file_batches"), map[string]any{
			"file_ids": ids, "chunking_strategy": map[string]any{"type": "vsfb-check"},
		})
		if err != nil {
			return err
		}
		if r.ok() {
			return errRequired("an invalid chunking_strategy is accepted")
		}
		message := strings.ToLower(r.Message)
		if strings.Contains(message, "file_ids") && (strings.Contains(message, "long") || strings.Contains(message, "length") || strings.Contains(message, "most")) {
			limit = count - 1
			p.details["max_batch_files"] = r.Message
			break
		}
	}
	if limit == 0 {
		p.see("max_batch_files", false, none)
		return nil
	}
	p.see("max_batch_files", limit < 2000, fmt.Sprintf("at most %d", limit))
	return nil
}

func repeated(id string, count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = id
	}
	return ids
}

func (p *probe) duplicates(ctx context.Context) error {
	file, err := p.upload(ctx, p.name("-twice.txt"), "A file that is named twice.\n")
	if err == nil {
		err = file.sent.err()
	}
	if err != nil {
		return err
	}
	b, err := p.run(ctx, p.other, map[string]any{"file_ids": []string{file.id, file.id}})
	if err != nil {
		return err
	}
	if !b.accepted() {
		p.seeResponse("counts_duplicates", false, b.created)
		return nil
	}
	total := b.created.number("file_counts", "total")
	p.see("counts_duplicates", total == 2, fmt.Sprintf("total is %d", total))
	return nil
}

// unknownFile attaches a file that was never uploaded.
func (p *probe) unknownFile(ctx context.Context) error {
	id := similarID(p.plain.id)
	// The server may make a file of the ID.
	p.created.addFile(id)
	b, err := p.create(ctx, p.other, map[string]any{"file_ids": []string{id}})
	if err != nil {
		return err
	}
	p.seeResponse("strict_files", !b.accepted(), b.created)
	if !b.accepted() {
		p.created.removeFile(id)
		p.unknown("missing_files_fail", "the create is refused")
		return nil
	}
	if err := p.finish(ctx, &b); err != nil {
		return err
	}
	file := b.file(id)
	p.see("missing_files_fail", textAt(file, "status") == string(upstream.Failed), outcome(file))
	return nil
}

// outcome describes the state of a file of a batch.
func outcome(file any) string {
	switch status := textAt(file, "status"); status {
	case string(upstream.Failed):
		return "failed: " + codeOf(file)
	case string(upstream.Completed):
		return "completed"
	case "":
		return "not listed"
	}
	return "another status"
}

// codeOf returns the code of a failed file.
func codeOf(file any) string {
	code := textAt(file, "last_error", "code")
	if !codePattern.MatchString(code) {
		return "another code"
	}
	return code
}
