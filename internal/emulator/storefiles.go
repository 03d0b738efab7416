// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"slices"
	"time"
	"unicode/utf8"
)

// lookupAttachment returns the file of a request in its store, advanced to the current time.
func (s *Server) lookupAttachment(x *exchange) (*attachment, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	id := x.variables["file"]
	if apiErr := s.settings.checkFileID("file_id", id); apiErr != nil {
		return nil, apiErr
	}
	a := v.files[id]
	if a != nil {
		a.batch.advance(s.now(), s.settings)
	}
	if a == nil || !s.visible(a) {
		return nil, noStoreFile(id, v.id)
	}
	return a, nil
}

// readAttachment is lookupAttachment for reads, which find a detached file for a while.
func (s *Server) readAttachment(x *exchange) (*attachment, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if v := s.stores[x.variables["store"]]; apiErr != nil && v != nil {
		if l, ok := v.lingering[x.variables["file"]]; ok && s.now().Before(l.until) {
			return l.attachment, nil
		}
	}
	return a, apiErr
}

// visible reports whether the vector store shows an attached file.
func (s *Server) visible(a *attachment) bool {
	if s.settings.AttachedWhenProcessed && (a.status == statusInProgress || a.status == statusCancelled) {
		return false
	}
	return !s.invisible(a.batch.id, a.batch.createdAt, s.settings.BatchVisibleAfter)
}

// visibleFiles returns the files that the vector store shows, including those that were detached a
// moment ago.
func (s *Server) visibleFiles(v *store) []*attachment {
	files := make([]*attachment, 0, len(v.files))
	for _, a := range v.files {
		if s.visible(a) {
			files = append(files, a)
		}
	}
	for id, l := range v.lingering {
		switch {
		case !s.now().Before(l.until):
			delete(v.lingering, id)
		case v.files[id] == nil:
			files = append(files, l.attachment)
		}
	}
	return files
}

func (s *Server) attachFile(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupActiveStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(&s.settings.Behaviors, x.body, "file_id", "attributes", "chunking_strategy")
	if apiErr != nil {
		return nil, apiErr
	}
	p, apiErr := parseFile(o)
	if apiErr != nil {
		return nil, apiErr
	}
	x.call.FileID = p.fileID
	b, apiErr := s.attach(v, []fileParams{p})
	if apiErr != nil {
		return nil, apiErr
	}
	return s.storeFileObject(b.files[0]), nil
}

// listStoreFiles sorts by created_at only: files of the same second have the same order for asc
// and desc, as with OpenAI.
func (s *Server) listStoreFiles(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	p, apiErr := s.parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if apiErr != nil {
		return nil, apiErr
	}
	v.advance(s.now(), s.settings)
	return s.listAttachments(p, slices.SortedFunc(slices.Values(s.visibleFiles(v)), func(a, b *attachment) int {
		return cmp.Or(p.compare(int(a.createdAt.Unix()), int(b.createdAt.Unix())), cmp.Compare(a.seq, b.seq))
	}))
}

func (s *Server) retrieveStoreFile(x *exchange) (any, *apiError) {
	a, apiErr := s.readAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	return s.storeFileObject(a), nil
}

func (s *Server) updateStoreFile(x *exchange) (any, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(&s.settings.Behaviors, x.body, "attributes")
	if apiErr != nil {
		return nil, apiErr
	}
	if _, exists := o.fields["attributes"]; !exists {
		return nil, missing("attributes")
	}
	attributes, apiErr := o.attributes()
	if apiErr != nil {
		return nil, apiErr
	}
	if !s.settings.UpdatesDropped {
		a.attributes = attributes
	}
	return s.storeFileObject(a), nil
}

// detachFile keeps the uploaded file, and the file's status in the batch that attached it.
func (s *Server) detachFile(x *exchange) (any, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	if a.ineffectiveDetaches < s.settings.IneffectiveDetaches {
		a.ineffectiveDetaches++
		return deletedObject{ID: a.file.id, Object: "vector_store.file.deleted"}, nil
	}
	s.detach(a)
	if s.settings.DetachesEverywhere {
		for _, v := range s.stores {
			if other := v.files[a.file.id]; other != nil {
				s.detach(other)
			}
		}
	}
	return deletedObject{ID: a.file.id, Object: "vector_store.file.deleted", Deleted: true}, nil
}

// detach detaches a file, which is shown for Behaviors.DetachDelay.
func (s *Server) detach(a *attachment) {
	v := a.batch.store
	v.detach(a)
	if delay := time.Duration(s.settings.DetachDelay); delay > 0 {
		v.lingering[a.file.id] = lingering{attachment: a, until: s.now().Add(delay)}
	}
}

func (s *Server) storeFileContent(x *exchange) (any, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	content := contentPage{Object: "vector_store.file_content.page", Data: []contentText{}}
	if a.status == statusCompleted && utf8.Valid(a.file.content) {
		content.Data = append(content.Data, contentText{Type: "text", Text: string(a.file.content)})
	}
	return content, nil
}
