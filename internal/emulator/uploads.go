// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// purposes are those that a file can be uploaded with.
var purposes = []string{"assistants", "batch", "evals", "fine-tune", "user_data", "vision"}

const (
	minFileLife = 3600
	maxFileLife = 2592000
)

// resolve finds the file of each wish. Files that nobody uploaded are made up, and not kept
// yet, since the request may still be refused; adopt keeps them.
func (s *Server) resolve(wishes []wish) ([]*file, *apiError) {
	files := make([]*file, 0, len(wishes))
	for _, w := range wishes {
		f := s.kept(w.fileID)
		if f == nil && s.settings.StrictFiles {
			return nil, noFile(w.fileID)
		}
		if f == nil {
			f = s.madeUp(w.fileID)
		}
		files = append(files, f)
	}
	return files, nil
}

// madeUp is a file with just enough content to have a size.
func (s *Server) madeUp(id string) *file {
	content := []byte("The content of " + id + " was made up.\n")
	return &file{
		id: id, name: id + ".txt", purpose: "assistants", size: len(content), content: content,
		createdAt: s.now(), outcome: idOutcome(id),
	}
}

func (s *Server) adopt(files []*file) {
	for _, f := range files {
		if s.files[f.id] == nil {
			f.seq = s.nextSeq()
			s.files[f.id] = f
		}
	}
}

// form is an upload as it was sent.
type form struct {
	values   map[string]string
	filename string
	content  []byte
	hasFile  bool
}

func (s *Server) upload(x *exchange) (any, *apiError) {
	sent, bad := parseForm(x.request.Header.Get("Content-Type"), x.body)
	if bad != nil {
		return nil, bad
	}
	if !sent.hasFile {
		return nil, missing("file")
	}
	purpose := sent.values["purpose"]
	if purpose == "" {
		return nil, missing("purpose")
	}
	if !slices.Contains(purposes, purpose) {
		return nil, badRequest("purpose", "invalid_value",
			"Invalid value: '%s'. Supported values are: %q.", purpose, purposes)
	}
	life, bad := sent.life()
	if bad != nil {
		return nil, bad
	}
	f := &file{
		id: s.ids.next(filePrefix), name: sent.filename, purpose: purpose, size: len(sent.content),
		content: sent.content, createdAt: s.now(), outcome: uploadOutcome(sent.filename, len(sent.content)),
	}
	if life > 0 {
		f.expiresAt = f.createdAt.Add(life)
	}
	s.adopt([]*file{f})
	x.call.FileID = f.id
	return f.object(), nil
}

func parseForm(contentType string, body []byte) (form, *apiError) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || parameters["boundary"] == "" {
		return form{}, badRequest("", "", "The Content-Type has to be multipart/form-data with a boundary.")
	}
	sent := form{values: map[string]string{}}
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return sent, nil
		}
		if err != nil {
			return form{}, badRequest("", "", "The body of the request is not valid multipart/form-data.")
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return form{}, badRequest("", "", "The body of the request is not valid multipart/form-data.")
		}
		if part.FormName() == "file" {
			sent.filename, sent.content, sent.hasFile = part.FileName(), content, true
			continue
		}
		sent.values[part.FormName()] = string(content)
	}
}

// life is how long the file is to be kept; zero means for good.
func (f form) life() (time.Duration, *apiError) {
	anchor, seconds := f.values["expires_after[anchor]"], f.values["expires_after[seconds]"]
	if anchor == "" && seconds == "" {
		return 0, nil
	}
	if anchor != "created_at" {
		return 0, badRequest("expires_after.anchor", "invalid_value",
			"Invalid value: '%s'. Supported values are: 'created_at'.", anchor)
	}
	n, err := strconv.Atoi(seconds)
	switch {
	case err != nil:
		return 0, wrongType("expires_after.seconds", "an integer", seconds)
	case n < minFileLife:
		return 0, belowMinimum("expires_after.seconds", minFileLife, n)
	case n > maxFileLife:
		return 0, aboveMaximum("expires_after.seconds", maxFileLife, n)
	}
	return time.Duration(n) * time.Second, nil
}

func (s *Server) fileOf(x *exchange) (*file, *apiError) {
	id := x.variables["file"]
	f := s.kept(id)
	if f == nil {
		return nil, noFile(id)
	}
	return f, nil
}

// kept is an uploaded file, unless it has expired.
func (s *Server) kept(id string) *file {
	f := s.files[id]
	if f == nil || f.expiresAt.IsZero() || s.now().Before(f.expiresAt) {
		return f
	}
	s.remove(f)
	return nil
}

// remove also takes the file out of every vector store, as documented.
func (s *Server) remove(f *file) {
	delete(s.files, f.id)
	for _, v := range s.stores {
		if a := v.files[f.id]; a != nil {
			v.detach(a)
		}
	}
}

func (s *Server) listUploads(x *exchange) (any, *apiError) {
	query := x.request.URL.Query()
	p, bad := parsePage(query, maxUploadPageSize, maxUploadPageSize)
	if bad != nil {
		return nil, bad
	}
	purpose := query.Get("purpose")
	for id := range s.files {
		s.kept(id)
	}
	files := slices.SortedFunc(maps.Values(s.files), func(a, b *file) int { return p.compare(a.seq, b.seq) })
	files = slices.DeleteFunc(files, func(f *file) bool { return purpose != "" && f.purpose != purpose })
	return list(p, files, func(f *file) string { return f.id }, func(f *file) any { return f.object() })
}

func (s *Server) retrieveUpload(x *exchange) (any, *apiError) {
	f, bad := s.fileOf(x)
	if bad != nil {
		return nil, bad
	}
	return f.object(), nil
}

func (s *Server) deleteUpload(x *exchange) (any, *apiError) {
	f, bad := s.fileOf(x)
	if bad != nil {
		return nil, bad
	}
	s.remove(f)
	return deletedObject{ID: f.id, Object: "file", Deleted: true}, nil
}

func (s *Server) downloadContent(x *exchange) (any, *apiError) {
	f, bad := s.fileOf(x)
	if bad != nil {
		return nil, bad
	}
	contentType := http.DetectContentType(f.content)
	return raw{contentType: contentType, body: f.content}, nil
}
