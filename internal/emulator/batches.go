// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lookupStore returns the vector store of a request.
func (s *Server) lookupStore(x *exchange) (*store, *apiError) {
	id := x.variables["store"]
	if !s.settings.AnyIDs && !strings.HasPrefix(id, storePrefix) {
		return nil, wrongPrefix("vector_store_id", id, storePrefix)
	}
	if v := s.stores[id]; v != nil {
		return v, nil
	}
	return nil, noStore(id)
}

// lookupActiveStore returns the vector store of a request that attaches files.
func (s *Server) lookupActiveStore(x *exchange) (*store, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	if v.status(s.now()) == "expired" {
		return nil, badRequest("vector_store_id", "", "Vector store '%s' has expired.", v.id)
	}
	return v, nil
}

// lookupBatch returns the batch of a request, advanced to the current time.
func (s *Server) lookupBatch(x *exchange) (*batch, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	id := x.variables["batch"]
	prefix, _, _ := strings.Cut(s.settings.BatchIDPrefix, "_")
	if !s.settings.AnyIDs && !strings.HasPrefix(id, prefix+"_") {
		return nil, wrongPrefix("batch_id", id, prefix+"_")
	}
	b := s.batches[id]
	if b == nil || b.store != v || s.forgotten(b) || s.invisible(b.id, b.createdAt, s.settings.BatchVisibleAfter) {
		return nil, noBatch(id, v.id)
	}
	b.advance(s.now(), s.settings)
	return b, nil
}

// forgotten reports whether Behaviors.BatchRetention has passed.
func (s *Server) forgotten(b *batch) bool {
	retention := time.Duration(s.settings.BatchRetention)
	return retention > 0 && s.now().After(b.createdAt.Add(retention))
}

// invisible reports whether an object that was created since then is not found yet.
func (s *Server) invisible(id string, since time.Time, after Duration) bool {
	if after <= 0 || !s.now().Before(since.Add(time.Duration(after))) {
		return false
	}
	percent := s.settings.InvisiblePercent
	sum := sha256.Sum256([]byte(id))
	return percent <= 0 || int(binary.BigEndian.Uint16(sum[:]))%100 < percent
}

// fileParams is a file to attach.
type fileParams struct {
	fileID     string
	chunking   chunking
	attributes map[string]any
}

func (s *Server) createBatch(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupActiveStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(&s.settings.Behaviors, x.body, "file_ids", "files", "attributes", "chunking_strategy")
	if apiErr != nil {
		return nil, apiErr
	}
	params, apiErr := parseBatchFiles(o)
	if apiErr != nil {
		return nil, apiErr
	}
	if !s.settings.CountsDuplicates {
		params = unique(params)
	}
	b, apiErr := s.attach(v, params)
	if apiErr != nil {
		return nil, apiErr
	}
	b.id = s.newID(s.settings.BatchIDPrefix)
	s.batches[b.id] = b
	s.batchOrder = append(s.batchOrder, b.id)
	s.recordFileSet(b)
	x.call.BatchID = b.id
	created := s.batchObject(b)
	created.Status = statusInProgress // also without files
	return created, nil
}

// parseBatchFiles parses file_ids or files. With files, the settings at the top level are ignored.
func parseBatchFiles(o object) ([]fileParams, *apiError) {
	switch {
	case o.rules.FilesIgnored && o.has("files") && !o.has("file_ids"), o.rules.EmptyBatches && o.empty("file_ids"):
		return nil, nil
	case o.rules.FilesIgnored && o.has("file_ids"):
		return parseFileIDs(o, o.rules.MaxBatchFiles)
	case o.has("file_ids") && o.has("files"):
		return nil, badRequest("files", "mutually_exclusive_parameters",
			"Mutually exclusive parameters: 'file_ids' and 'files'. Provide one of them.")
	case o.has("files"):
		return parseFiles(o)
	case o.has("file_ids"):
		return parseFileIDs(o, o.rules.MaxBatchFiles)
	}
	return nil, badRequest("file_ids", "missing_required_parameter", "Missing required parameter: 'file_ids' or 'files'.")
}

func parseFileIDs(o object, limit int) ([]fileParams, *apiError) {
	items, apiErr := o.array("file_ids", limit)
	if apiErr != nil {
		return nil, apiErr
	}
	strategy, apiErr := o.chunking()
	if apiErr != nil {
		return nil, apiErr
	}
	attributes, apiErr := o.attributes()
	if apiErr != nil {
		return nil, apiErr
	}
	params := make([]fileParams, 0, len(items))
	for i, item := range items {
		path := indexed(o.at("file_ids"), i)
		id, ok := item.(string)
		if !ok {
			return nil, wrongType(path, "a string", item)
		}
		if apiErr := o.rules.checkFileID(path, id); apiErr != nil {
			return nil, apiErr
		}
		params = append(params, fileParams{fileID: id, chunking: strategy, attributes: attributes})
	}
	return params, nil
}

func parseFiles(o object) ([]fileParams, *apiError) {
	items, apiErr := o.array("files", o.rules.MaxBatchFiles)
	if apiErr != nil {
		return nil, apiErr
	}
	params := make([]fileParams, 0, len(items))
	for i, item := range items {
		path := indexed(o.at("files"), i)
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, wrongType(path, "an object", item)
		}
		p, apiErr := parseFile(object{path: path, fields: fields, rules: o.rules})
		if apiErr != nil {
			return nil, apiErr
		}
		params = append(params, p)
	}
	return params, nil
}

func parseFile(o object) (fileParams, *apiError) {
	if apiErr := o.only("file_id", "attributes", "chunking_strategy"); apiErr != nil {
		return fileParams{}, apiErr
	}
	id, apiErr := o.text("file_id")
	if apiErr != nil {
		return fileParams{}, apiErr
	}
	if apiErr := o.rules.checkFileID(o.at("file_id"), id); apiErr != nil {
		return fileParams{}, apiErr
	}
	strategy, apiErr := o.chunking()
	if apiErr != nil {
		return fileParams{}, apiErr
	}
	if o.rules.FileChunkingIgnored {
		strategy = autoChunking()
	}
	attributes, apiErr := o.attributes()
	return fileParams{fileID: id, chunking: strategy, attributes: attributes}, apiErr
}

func (b *Behaviors) checkFileID(path, id string) *apiError {
	if !b.AnyIDs && !strings.HasPrefix(id, filePrefix) {
		return wrongPrefix(path, id, filePrefix)
	}
	return nil
}

// unique removes all but the first occurrence of each file.
func unique(params []fileParams) []fileParams {
	seen := make(map[string]bool, len(params))
	return slices.DeleteFunc(params, func(p fileParams) bool {
		duplicate := seen[p.fileID]
		seen[p.fileID] = true
		return duplicate
	})
}

// attach attaches files to a store within the rate limits.
func (s *Server) attach(v *store, params []fileParams) (*batch, *apiError) {
	files, apiErr := s.resolveFiles(params)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := s.admit(v, len(params)); apiErr != nil {
		return nil, apiErr
	}
	return s.startBatch(v, params, files), nil
}

// startBatch attaches the files and starts processing them. The batch that it returns has no ID
// yet, and is not in Server.batches.
func (s *Server) startBatch(v *store, params []fileParams, files []*file) *batch {
	s.addFiles(files)
	now := s.now()
	b := &batch{store: v, createdAt: now, since: now, files: make([]*attachment, 0, len(params))}
	v.lastActiveAt = now
	if len(params) > 0 {
		v.running[b] = struct{}{}
	}
	for i, p := range params {
		a := &attachment{
			seq: s.nextSeq(), file: files[i], batch: b, createdAt: now, status: statusInProgress,
			chunking: p.chunking, attributes: p.attributes,
		}
		b.files = append(b.files, a)
		b.counts.add(a.status, 1)
		if old := v.files[a.file.id]; s.settings.ReattachSkipped && old != nil && old.status != statusInProgress {
			a.keeps(old)
			continue
		}
		v.attach(a)
	}
	return b
}

func (s *Server) retrieveBatch(x *exchange) (any, *apiError) {
	b, apiErr := s.lookupBatch(x)
	if apiErr != nil {
		return nil, apiErr
	}
	b.retrieves++
	o := s.batchObject(b)
	if s.settings.DriftingCreation {
		o.CreatedAt++
	}
	return o, nil
}

func (s *Server) cancelBatch(x *exchange) (any, *apiError) {
	b, apiErr := s.lookupBatch(x)
	if apiErr != nil {
		return nil, apiErr
	}
	b.cancels++
	if b.finished() {
		if status := b.status(s.settings); s.settings.RejectLateCancel && status != statusCancelled {
			return nil, badRequest("", "", "File batch '%s' is %s and cannot be cancelled.", b.id, status).
				as(kindLateCancel, "{id}", b.id, "{status}", status)
		}
		return s.batchObject(b), nil
	}
	if s.settings.CancelsAtOnce {
		b.cancelAt = s.now()
		b.advance(s.now(), s.settings)
		return s.batchObject(b), nil
	}
	// The response shows the batch before the cancel takes effect, even without a CancelDelay.
	if b.cancelAt.IsZero() {
		b.cancelAt = s.now().Add(s.settings.CancelDelay)
	}
	return s.batchObject(b), nil
}

// listBatchFiles lists in the same order for asc and desc, as OpenAI does for files with the same
// creation time, which all files of a batch have.
func (s *Server) listBatchFiles(x *exchange) (any, *apiError) {
	b, apiErr := s.lookupBatch(x)
	if apiErr != nil {
		return nil, apiErr
	}
	p, apiErr := s.parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if apiErr != nil {
		return nil, apiErr
	}
	files := b.files
	if s.settings.BatchListsStore {
		files = s.inStore(b)
	}
	return s.listAttachments(p, files)
}

// inStore returns the files of a batch that the vector store shows, in their state there.
func (s *Server) inStore(b *batch) []*attachment {
	files := make([]*attachment, 0, len(b.files))
	for _, a := range b.files {
		if current := b.store.files[a.file.id]; current != nil && s.visible(current) {
			files = append(files, current)
		}
	}
	return files
}

// listAttachments keeps the cursors of the page even if the filter does not match them: a file can
// finish between the requests for two pages.
func (s *Server) listAttachments(p page, attachments []*attachment) (any, *apiError) {
	if p.filter != "" {
		attachments = slices.DeleteFunc(slices.Clone(attachments), func(a *attachment) bool {
			return a.status != p.filter && a.file.id != p.after && a.file.id != p.before
		})
	}
	return list(p, attachments, func(a *attachment) string { return a.file.id }, func(a *attachment) any { return s.storeFileObject(a) })
}

// indexed returns the path of a list's item.
func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
