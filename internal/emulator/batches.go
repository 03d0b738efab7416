// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"fmt"
	"strings"
)

// storeOf finds the vector store of a request.
func (s *Server) storeOf(x *exchange) (*store, *apiError) {
	id := x.variables["store"]
	if !strings.HasPrefix(id, storePrefix) {
		return nil, wrongPrefix("vector_store_id", id, storePrefix)
	}
	if v := s.stores[id]; v != nil {
		return v, nil
	}
	return nil, noStore(id)
}

// openStoreOf finds a vector store that files are to be attached to.
func (s *Server) openStoreOf(x *exchange) (*store, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	if v.status(s.now()) == "expired" {
		return nil, badRequest("vector_store_id", "", "Vector store '%s' has expired.", v.id)
	}
	return v, nil
}

// batchOf finds the batch of a request and brings it up to date.
func (s *Server) batchOf(x *exchange) (*batch, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	id := x.variables["batch"]
	prefix, _, _ := strings.Cut(s.settings.BatchIDPrefix, "_")
	if !strings.HasPrefix(id, prefix+"_") {
		return nil, wrongPrefix("batch_id", id, prefix+"_")
	}
	b := s.batches[id]
	if b == nil || b.store != v {
		return nil, noBatch(id, v.id)
	}
	b.advance(s.now(), s.settings)
	return b, nil
}

// wish is one file that a request wants attached.
type wish struct {
	fileID     string
	chunking   chunking
	attributes map[string]any
}

func (s *Server) createBatch(x *exchange) (any, *apiError) {
	v, bad := s.openStoreOf(x)
	if bad != nil {
		return nil, bad
	}
	o, bad := parseObject(x.body, "file_ids", "files", "attributes", "chunking_strategy")
	if bad != nil {
		return nil, bad
	}
	wishes, bad := parseWishes(o)
	if bad != nil {
		return nil, bad
	}
	wishes = unique(wishes)
	files, bad := s.resolve(wishes)
	if bad != nil {
		return nil, bad
	}
	if bad := s.admit(v, len(wishes)); bad != nil {
		return nil, bad
	}
	s.adopt(files)
	b := s.begin(v, wishes, files)
	b.id = s.ids.next(s.settings.BatchIDPrefix)
	s.batches[b.id] = b
	s.order = append(s.order, b.id)
	s.countFileSet(b)
	x.call.BatchID = b.id
	return b.object(s.settings), nil
}

// parseWishes reads file_ids or files. With files, the settings at the top are ignored.
func parseWishes(o object) ([]wish, *apiError) {
	switch {
	case o.has("file_ids") && o.has("files"):
		return nil, badRequest("files", "mutually_exclusive_parameters",
			"Mutually exclusive parameters: 'file_ids' and 'files'. Provide one of them.")
	case o.has("files"):
		return parseFiles(o)
	case o.has("file_ids"):
		return parseFileIDs(o, maxBatchFiles)
	}
	return nil, badRequest("file_ids", "missing_required_parameter", "Missing required parameter: 'file_ids' or 'files'.")
}

func parseFileIDs(o object, limit int) ([]wish, *apiError) {
	items, bad := o.array("file_ids", limit)
	if bad != nil {
		return nil, bad
	}
	strategy, bad := o.chunking()
	if bad != nil {
		return nil, bad
	}
	attributes, bad := o.attributes()
	if bad != nil {
		return nil, bad
	}
	wishes := make([]wish, 0, len(items))
	for i, item := range items {
		path := indexed(o.at("file_ids"), i)
		id, ok := item.(string)
		if !ok {
			return nil, wrongType(path, "a string", item)
		}
		if bad := checkFileID(path, id); bad != nil {
			return nil, bad
		}
		wishes = append(wishes, wish{fileID: id, chunking: strategy, attributes: attributes})
	}
	return wishes, nil
}

func parseFiles(o object) ([]wish, *apiError) {
	items, bad := o.array("files", maxBatchFiles)
	if bad != nil {
		return nil, bad
	}
	wishes := make([]wish, 0, len(items))
	for i, item := range items {
		path := indexed(o.at("files"), i)
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, wrongType(path, "an object", item)
		}
		w, bad := parseWish(object{path: path, fields: fields})
		if bad != nil {
			return nil, bad
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

func parseWish(o object) (wish, *apiError) {
	if bad := o.only("file_id", "attributes", "chunking_strategy"); bad != nil {
		return wish{}, bad
	}
	id, bad := o.text("file_id")
	if bad != nil {
		return wish{}, bad
	}
	if bad := checkFileID(o.at("file_id"), id); bad != nil {
		return wish{}, bad
	}
	strategy, bad := o.chunking()
	if bad != nil {
		return wish{}, bad
	}
	attributes, bad := o.attributes()
	return wish{fileID: id, chunking: strategy, attributes: attributes}, bad
}

func checkFileID(path, id string) *apiError {
	if !strings.HasPrefix(id, filePrefix) {
		return wrongPrefix(path, id, filePrefix)
	}
	return nil
}

// unique keeps the first of each file.
func unique(wishes []wish) []wish {
	seen := make(map[string]bool, len(wishes))
	kept := wishes[:0]
	for _, w := range wishes {
		if !seen[w.fileID] {
			seen[w.fileID] = true
			kept = append(kept, w)
		}
	}
	return kept
}

// begin starts the processing of files. What it returns has no ID yet, and is not counted
// among the batches.
func (s *Server) begin(v *store, wishes []wish, files []*file) *batch {
	now := s.now()
	b := &batch{store: v, createdAt: now, since: now, files: make([]*attachment, 0, len(wishes))}
	v.lastActiveAt = now
	v.running[b] = struct{}{}
	for i, w := range wishes {
		a := &attachment{
			seq: s.nextSeq(), file: files[i], batch: b, createdAt: now, status: statusInProgress,
			chunking: w.chunking, attributes: w.attributes,
		}
		b.files = append(b.files, a)
		b.counts.add(a.status, 1)
		v.attach(a)
	}
	return b
}

func (s *Server) retrieveBatch(x *exchange) (any, *apiError) {
	b, bad := s.batchOf(x)
	if bad != nil {
		return nil, bad
	}
	b.retrieves++
	o := b.object(s.settings)
	if s.settings.DriftingCreation {
		o.CreatedAt++
	}
	return o, nil
}

func (s *Server) cancelBatch(x *exchange) (any, *apiError) {
	b, bad := s.batchOf(x)
	if bad != nil {
		return nil, bad
	}
	b.cancels++
	if b.finished() {
		if s.settings.RejectLateCancel {
			return nil, badRequest("", "", "File batch '%s' is %s and cannot be cancelled.", b.id, b.status(s.settings))
		}
		return b.object(s.settings), nil
	}
	// The answer shows the batch before the cancel takes effect, however soon that is.
	if b.cancelAt.IsZero() {
		b.cancelAt = s.now().Add(s.settings.CancelDelay)
	}
	return b.object(s.settings), nil
}

// listBatchFiles lists in one order for asc and desc: all files of a batch are as old as each
// other, and then that is what OpenAI does.
func (s *Server) listBatchFiles(x *exchange) (any, *apiError) {
	b, bad := s.batchOf(x)
	if bad != nil {
		return nil, bad
	}
	p, bad := parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if bad != nil {
		return nil, bad
	}
	return listAttachments(p, b.files)
}

func listAttachments(p page, all []*attachment) (any, *apiError) {
	kept := all
	if p.filter != "" {
		kept = nil
		for _, a := range all {
			if a.status == p.filter || a.file.id == p.after || a.file.id == p.before {
				kept = append(kept, a)
			}
		}
	}
	return list(p, kept, attachmentID, attachmentObject)
}

func attachmentID(a *attachment) string { return a.file.id }

func attachmentObject(a *attachment) any { return a.object() }

func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
