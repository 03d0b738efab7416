// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// purpose is the purpose of files for vector stores.
	purpose = "assistants"
	// uploadsPerPage is a tenth of the API's maximum, so that a page stays far below
	// Options.MaxResponseBytes.
	uploadsPerPage = 1000
	// maxUploadPages limits the pages that are read from a server that never returns the last one.
	maxUploadPages = 1000
	// maxFileName is the maximum length of a name, in bytes. It permits the path that some servers keep.
	maxFileName = 4096
	// maxFileSize is the maximum size of a file in a response, which a float64 represents exactly.
	maxFileSize = 1 << 53
)

var _ upstream.Uploader = (*Client)(nil)

// Upload implements upstream.Uploader. It streams the content, because the SDK would keep the whole
// file in memory, which can be 512 MB.
func (c *Client) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	body, err := newForm(request)
	if err != nil {
		return upstream.UploadedFile{}, c.rejected(err)
	}
	return c.callUpload(ctx, &exchange{notIdempotent: true}, target{method: http.MethodPost, path: "files"}, &body, "")
}

// callUpload sends a request whose response is an uploaded file: the one with the given ID, or a new
// one.
func (c *Client) callUpload(ctx context.Context, x *exchange, to target, body *form, fileID string) (upstream.UploadedFile, error) {
	var file upstream.UploadedFile
	x.limits = c.objectLimits()
	x.decode = func(s *scanner) (err error) {
		file, err = c.decodeUpload(s, fileID)
		return err
	}
	request := c.newRequest(ctx, to, nil)
	if body != nil {
		request.Header.Set("Content-Type", body.contentType)
		// Many servers reject a body of unknown length.
		request.Body, request.ContentLength = io.NopCloser(body.content), body.length
	}
	x.path = to.path
	err := c.do(ctx, x, request)
	if err != nil {
		return upstream.UploadedFile{}, err
	}
	return file, nil
}

// form is the multipart body of an upload.
type form struct {
	contentType string
	content     io.Reader
	length      int64
}

func newForm(request upstream.UploadRequest) (form, error) {
	if request.Name == "" {
		return form{}, errors.New("the file has no name")
	}
	var frame bytes.Buffer
	writer := multipart.NewWriter(&frame)
	// Writes to a buffer never fail.
	_ = writer.WriteField("purpose", purpose)
	if seconds := int64(request.ExpiresAfter / time.Second); seconds > 0 {
		_ = writer.WriteField("expires_after[anchor]", "created_at")
		_ = writer.WriteField("expires_after[seconds]", strconv.FormatInt(seconds, 10))
	}
	_, _ = writer.CreateFormFile("file", request.Name)
	head := bytes.Clone(frame.Bytes())
	_ = writer.Close()
	tail := frame.Bytes()[len(head):]
	return form{
		contentType: writer.FormDataContentType(),
		content:     io.MultiReader(bytes.NewReader(head), request.Content, bytes.NewReader(tail)),
		length:      int64(len(head)) + request.Size + int64(len(tail)),
	}, nil
}

// Uploads implements upstream.Uploader.
func (c *Client) Uploads(ctx context.Context, since time.Time) ([]upstream.UploadedFile, error) {
	var files []upstream.UploadedFile
	seen := map[string]bool{}
	query := url.Values{"purpose": {purpose}, "order": {"desc"}, "limit": {strconv.Itoa(uploadsPerPage)}}
	for range maxUploadPages {
		page, err := c.uploadPage(ctx, query)
		if err != nil {
			return nil, err
		}
		before := len(files)
		for _, file := range page.items {
			if !seen[file.ID] {
				seen[file.ID] = true
				files = append(files, file)
			}
		}
		// A server that ignores the cursor returns a page without new files.
		if page.last || len(files) == before || olderThan(page.items, since) {
			return files, nil
		}
		query.Set("after", page.items[len(page.items)-1].ID)
	}
	return nil, c.rejected(fmt.Errorf("the list of uploaded files has more than %d pages", maxUploadPages))
}

// olderThan reports whether all files on later pages are older than since. It returns false if the
// page is not ordered by age.
func olderThan(page []upstream.UploadedFile, since time.Time) bool {
	newest, oldest := page[0].CreatedAt, page[len(page)-1].CreatedAt
	return newest.After(oldest) && oldest.Before(since)
}

func (c *Client) uploadPage(ctx context.Context, query url.Values) (pageOf[upstream.UploadedFile], error) {
	var result pageOf[upstream.UploadedFile]
	x := &exchange{limits: c.listLimits(uploadsPerPage)}
	x.decode = func(s *scanner) (err error) {
		result, err = decodePage(s, uploadsPerPage, func(first json.Token) (upstream.UploadedFile, error) {
			return c.decodeUploadFrom(s, first)
		})
		return err
	}
	err := c.call(ctx, x, target{method: http.MethodGet, path: "files", query: query}, nil)
	return result, err
}

// UploadedFile implements upstream.Uploader.
func (c *Client) UploadedFile(ctx context.Context, fileID string) (upstream.UploadedFile, error) {
	if err := validateObjectID("file", fileID); err != nil {
		return upstream.UploadedFile{}, c.rejected(err)
	}
	return c.callUpload(ctx, &exchange{}, target{method: http.MethodGet, path: "files/" + fileID}, nil, fileID)
}

// uploadResponse is an uploaded file in a response.
type uploadResponse struct {
	id, name        field[string]
	size, createdAt field[json.Number]
}

func (r *uploadResponse) field(s *scanner, name string) error {
	switch name {
	case "id":
		return r.id.read(s)
	case "filename":
		return r.name.read(s)
	case "bytes":
		return r.size.read(s)
	case "created_at":
		return r.createdAt.read(s)
	}
	return s.skipValue()
}

// decodeUpload decodes an uploaded file. If fileID is empty, it accepts any ID, as for a new file.
func (c *Client) decodeUpload(s *scanner, fileID string) (upstream.UploadedFile, error) {
	var response uploadResponse
	if err := s.document(func(name string) error { return response.field(s, name) }); err != nil {
		return upstream.UploadedFile{}, err
	}
	if fileID != "" && response.id.value != fileID {
		return upstream.UploadedFile{}, errors.New("its ID is not that of the requested file")
	}
	return c.uploadOf(response)
}

// decodeUploadFrom decodes an uploaded file in a list.
func (c *Client) decodeUploadFrom(s *scanner, first json.Token) (upstream.UploadedFile, error) {
	var response uploadResponse
	if _, err := s.objectFrom(first, func(name string) error { return response.field(s, name) }); err != nil {
		return upstream.UploadedFile{}, err
	}
	return c.uploadOf(response)
}

func (c *Client) uploadOf(response uploadResponse) (upstream.UploadedFile, error) {
	if err := c.validateNewID("file", response.id.value); err != nil {
		return upstream.UploadedFile{}, err
	}
	if len(response.name.value) > maxFileName {
		return upstream.UploadedFile{}, fmt.Errorf("it contains a file name of more than %d bytes", maxFileName)
	}
	size, _ := numberOf(response.size)
	return upstream.UploadedFile{
		ID: response.id.value, Name: response.name.value, Size: int64(min(max(size, 0), maxFileSize)), CreatedAt: timeOf(response.createdAt),
	}, nil
}
