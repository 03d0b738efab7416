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
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// purpose is the purpose of files for vector stores.
	purpose = sdk.FilePurposeAssistants
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
	x := &exchange{notIdempotent: true}
	return c.callUpload(ctx, x, "", func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.uploads.New(ctx, sdk.FileNewParams{}, append(options,
			option.WithRequestBody(body.contentType, body.content),
			option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
				// Many servers reject a body of unknown length.
				request.ContentLength = body.length
				return next(request)
			}))...)
		return err
	})
}

// callUpload sends a request whose response is an uploaded file: the one with the given ID, or a new
// one. The options that it passes to send decode the response.
func (c *Client) callUpload(ctx context.Context, x *exchange, fileID string, send func(context.Context, ...option.RequestOption) error) (upstream.UploadedFile, error) {
	var file upstream.UploadedFile
	x.limits = c.objectLimits()
	x.decode = func(s *scanner) (err error) {
		file, err = c.decodeUpload(s, fileID)
		return err
	}
	err := c.do(ctx, x, func(ctx context.Context) error { return send(ctx, x.options()...) })
	if err != nil {
		return upstream.UploadedFile{}, err
	}
	return file, nil
}

// options returns options of the SDK that decode the response in its place. The SDK gets a response
// without a body.
func (x *exchange) options() []option.RequestOption {
	return []option.RequestOption{
		option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			return x.roundTrip(request, sendFunc(next))
		}),
		option.WithResponseBodyInto(new([]byte)),
	}
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
	_ = writer.WriteField("purpose", string(purpose))
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
	query := sdk.FileListParams{
		Purpose: param.NewOpt(string(purpose)),
		Order:   sdk.FileListParamsOrderDesc,
		Limit:   param.NewOpt[int64](uploadsPerPage),
	}
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
		query.After = param.NewOpt(page.items[len(page.items)-1].ID)
	}
	return nil, c.rejected(fmt.Errorf("the list of uploaded files has more than %d pages", maxUploadPages))
}

// olderThan reports whether all files on later pages are older than since. It returns false if the
// page is not ordered by age.
func olderThan(page []upstream.UploadedFile, since time.Time) bool {
	newest, oldest := page[0].CreatedAt, page[len(page)-1].CreatedAt
	return newest.After(oldest) && oldest.Before(since)
}

func (c *Client) uploadPage(ctx context.Context, query sdk.FileListParams) (pageOf[upstream.UploadedFile], error) {
	var result pageOf[upstream.UploadedFile]
	x := &exchange{limits: c.listLimits(uploadsPerPage)}
	x.decode = func(s *scanner) (err error) {
		result, err = decodePage(s, uploadsPerPage, func(first json.Token) (upstream.UploadedFile, error) {
			return c.decodeUploadFrom(s, first)
		})
		return err
	}
	err := c.do(ctx, x, func(ctx context.Context) error {
		_, err := c.uploads.List(ctx, query, x.options()...)
		return err
	})
	return result, err
}

// UploadedFile implements upstream.Uploader.
func (c *Client) UploadedFile(ctx context.Context, fileID string) (upstream.UploadedFile, error) {
	if err := validateObjectID("file", fileID); err != nil {
		return upstream.UploadedFile{}, c.rejected(err)
	}
	return c.callUpload(ctx, &exchange{}, fileID, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.uploads.Get(ctx, fileID, options...)
		return err
	})
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
