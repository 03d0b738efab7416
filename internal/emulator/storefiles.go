// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"maps"
	"slices"
	"unicode/utf8"
)

// attachmentOf finds the file of a request in its store and brings it up to date.
func (s *Server) attachmentOf(x *exchange) (*attachment, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	id := x.variables["file"]
	if bad := checkFileID("file_id", id); bad != nil {
		return nil, bad
	}
	a := v.files[id]
	if a == nil {
		return nil, noStoreFile(id, v.id)
	}
	a.batch.advance(s.now(), s.settings)
	return a, nil
}

func (s *Server) attachFile(x *exchange) (any, *apiError) {
	v, bad := s.openStoreOf(x)
	if bad != nil {
		return nil, bad
	}
	o, bad := parseObject(x.body, "file_id", "attributes", "chunking_strategy")
	if bad != nil {
		return nil, bad
	}
	w, bad := parseWish(o)
	if bad != nil {
		return nil, bad
	}
	x.call.FileID = w.fileID
	files, bad := s.resolve([]wish{w})
	if bad != nil {
		return nil, bad
	}
	if bad := s.admit(v, 1); bad != nil {
		return nil, bad
	}
	s.adopt(files)
	return s.begin(v, []wish{w}, files).files[0].object(), nil
}

// listStoreFiles sorts by created_at alone: files of the same second come in the same order
// for asc and desc, as with OpenAI.
func (s *Server) listStoreFiles(x *exchange) (any, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	p, bad := parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if bad != nil {
		return nil, bad
	}
	v.advance(s.now(), s.settings)
	return listAttachments(p, slices.SortedFunc(maps.Values(v.files), func(a, b *attachment) int {
		return cmp.Or(p.compare(int(a.createdAt.Unix()), int(b.createdAt.Unix())), cmp.Compare(a.seq, b.seq))
	}))
}

func (s *Server) retrieveStoreFile(x *exchange) (any, *apiError) {
	a, bad := s.attachmentOf(x)
	if bad != nil {
		return nil, bad
	}
	return a.object(), nil
}

func (s *Server) updateStoreFile(x *exchange) (any, *apiError) {
	a, bad := s.attachmentOf(x)
	if bad != nil {
		return nil, bad
	}
	o, bad := parseObject(x.body, "attributes")
	if bad != nil {
		return nil, bad
	}
	if _, given := o.fields["attributes"]; !given {
		return nil, missing("attributes")
	}
	attributes, bad := o.attributes()
	if bad != nil {
		return nil, bad
	}
	a.attributes = attributes
	return a.object(), nil
}

// detachFile leaves the file itself, and its place in the batch that attached it.
func (s *Server) detachFile(x *exchange) (any, *apiError) {
	a, bad := s.attachmentOf(x)
	if bad != nil {
		return nil, bad
	}
	a.batch.store.detach(a)
	return deletedObject{ID: a.file.id, Object: "vector_store.file.deleted", Deleted: true}, nil
}

func (s *Server) storeFileContent(x *exchange) (any, *apiError) {
	a, bad := s.attachmentOf(x)
	if bad != nil {
		return nil, bad
	}
	content := contentPage{Object: "vector_store.file_content.page", Data: []contentText{}}
	if a.status == statusCompleted && utf8.Valid(a.file.content) {
		content.Data = append(content.Data, contentText{Type: "text", Text: string(a.file.content)})
	}
	return content, nil
}
