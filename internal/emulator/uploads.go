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
	"time"
)

// purposes are the purposes that the API supports for an upload.
var purposes = []string{"assistants", "batch", "evals", "fine-tune", "user_data", "vision"}

// Limits of expires_after.seconds.
const (
	minFileLifetime = 3600
	maxFileLifetime = 2592000
)

// resolveFiles returns the file of each of the params. It synthesizes the files that do not exist,
// but does not add them, because the request can still be rejected; addFiles does.
func (s *Server) resolveFiles(params []fileParams) ([]*file, *apiError) {
	files := make([]*file, 0, len(params))
	for _, p := range params {
		f := s.liveFile(p.fileID)
		if f == nil && s.settings.StrictFiles {
			return nil, noFile(p.fileID)
		}
		if f == nil {
			f = s.synthesizeFile(p.fileID)
		}
		files = append(files, f)
	}
	return files, nil
}

// synthesizeFile returns a file with generated content, so that its size is not 0.
func (s *Server) synthesizeFile(id string) *file {
	content := []byte("The content of " + id + " was made up.\n")
	return &file{
		id: id, name: id + ".txt", purpose: "assistants", size: len(content), content: content,
		createdAt: s.now(), outcome: idOutcome(id),
	}
}

func (s *Server) addFiles(files []*file) {
	for _, f := range files {
		if s.files[f.id] == nil {
			f.seq = s.nextSeq()
			s.files[f.id] = f
		}
	}
}

// form is the multipart form of an upload.
type form struct {
	values   map[string]string
	filename string
	content  []byte
	hasFile  bool
}

func (s *Server) upload(x *exchange) (any, *apiError) {
	sent, apiErr := parseForm(x.request.Header.Get("Content-Type"), x.body)
	if apiErr != nil {
		return nil, apiErr
	}
	if !sent.hasFile {
		return nil, missing("file")
	}
	purpose := sent.values["purpose"]
	if purpose == "" {
		return nil, missing("purpose")
	}
	if apiErr := oneOf("purpose", purpose, purposes...); apiErr != nil {
		return nil, apiErr
	}
	lifetime, apiErr := sent.lifetime()
	if apiErr != nil {
		return nil, apiErr
	}
	f := &file{
		id: s.ids.next(filePrefix), name: sent.filename, purpose: purpose, size: len(sent.content),
		content: sent.content, createdAt: s.now(), outcome: uploadOutcome(sent.filename, len(sent.content)),
	}
	if lifetime > 0 {
		f.expiresAt = f.createdAt.Add(lifetime)
	}
	s.addFiles([]*file{f})
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

// lifetime returns the time until the file expires; zero means never.
func (f form) lifetime() (time.Duration, *apiError) {
	anchor, seconds := f.values["expires_after[anchor]"], f.values["expires_after[seconds]"]
	if anchor == "" && seconds == "" {
		return 0, nil
	}
	if anchor != "created_at" {
		return 0, badRequest("expires_after.anchor", "invalid_value",
			"Invalid value: '%s'. Supported values are: 'created_at'.", anchor)
	}
	n, apiErr := parseInteger("expires_after.seconds", seconds, minFileLifetime, maxFileLifetime)
	return time.Duration(n) * time.Second, apiErr
}

func (s *Server) lookupFile(x *exchange) (*file, *apiError) {
	id := x.variables["file"]
	f := s.liveFile(id)
	if f == nil {
		return nil, noFile(id)
	}
	return f, nil
}

// liveFile returns an uploaded file, or nil if it does not exist or is expired.
func (s *Server) liveFile(id string) *file {
	f := s.files[id]
	if f == nil || f.expiresAt.IsZero() || s.now().Before(f.expiresAt) {
		return f
	}
	s.deleteFile(f)
	return nil
}

// deleteFile also detaches the file from every vector store, as the API documents.
func (s *Server) deleteFile(f *file) {
	delete(s.files, f.id)
	for _, v := range s.stores {
		if a := v.files[f.id]; a != nil {
			v.detach(a)
		}
	}
}

func (s *Server) listUploads(x *exchange) (any, *apiError) {
	query := x.request.URL.Query()
	p, apiErr := parsePage(query, maxUploadPageSize, maxUploadPageSize)
	if apiErr != nil {
		return nil, apiErr
	}
	purpose := query.Get("purpose")
	for id := range s.files {
		s.liveFile(id)
	}
	files := slices.SortedFunc(maps.Values(s.files), func(a, b *file) int { return p.compare(a.seq, b.seq) })
	files = slices.DeleteFunc(files, func(f *file) bool { return purpose != "" && f.purpose != purpose })
	return list(p, files, func(f *file) string { return f.id }, func(f *file) any { return f.object() })
}

func (s *Server) retrieveUpload(x *exchange) (any, *apiError) {
	f, apiErr := s.lookupFile(x)
	if apiErr != nil {
		return nil, apiErr
	}
	return f.object(), nil
}

func (s *Server) deleteUpload(x *exchange) (any, *apiError) {
	f, apiErr := s.lookupFile(x)
	if apiErr != nil {
		return nil, apiErr
	}
	s.deleteFile(f)
	return deletedObject{ID: f.id, Object: "file", Deleted: true}, nil
}

func (s *Server) downloadContent(x *exchange) (any, *apiError) {
	f, apiErr := s.lookupFile(x)
	if apiErr != nil {
		return nil, apiErr
	}
	return rawBody{contentType: http.DetectContentType(f.content), body: f.content}, nil
}
