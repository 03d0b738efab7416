// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"maps"
	"slices"
	"unicode/utf8"
)

// lookupAttachment returns the file of a request in its store, advanced to the current time.
func (s *Server) lookupAttachment(x *exchange) (*attachment, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	id := x.variables["file"]
	if apiErr := checkFileID("file_id", id); apiErr != nil {
		return nil, apiErr
	}
	a := v.files[id]
	if a == nil {
		return nil, noStoreFile(id, v.id)
	}
	a.batch.advance(s.now(), s.settings)
	return a, nil
}

func (s *Server) attachFile(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupActiveStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(x.body, "file_id", "attributes", "chunking_strategy")
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
	return b.files[0].object(), nil
}

// listStoreFiles sorts by created_at only: files of the same second have the same order for asc
// and desc, as with OpenAI.
func (s *Server) listStoreFiles(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	p, apiErr := parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if apiErr != nil {
		return nil, apiErr
	}
	v.advance(s.now(), s.settings)
	return listAttachments(p, slices.SortedFunc(maps.Values(v.files), func(a, b *attachment) int {
		return cmp.Or(p.compare(int(a.createdAt.Unix()), int(b.createdAt.Unix())), cmp.Compare(a.seq, b.seq))
	}))
}

func (s *Server) retrieveStoreFile(x *exchange) (any, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	return a.object(), nil
}

func (s *Server) updateStoreFile(x *exchange) (any, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(x.body, "attributes")
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
	a.attributes = attributes
	return a.object(), nil
}

// detachFile keeps the uploaded file, and the file's status in the batch that attached it.
func (s *Server) detachFile(x *exchange) (any, *apiError) {
	a, apiErr := s.lookupAttachment(x)
	if apiErr != nil {
		return nil, apiErr
	}
	a.batch.store.detach(a)
	return deletedObject{ID: a.file.id, Object: "vector_store.file.deleted", Deleted: true}, nil
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
