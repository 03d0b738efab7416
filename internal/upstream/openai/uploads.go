// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/pagination"
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
	err = c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.uploads.New(ctx, sdk.FileNewParams{}, append(options,
			option.WithRequestBody(body.contentType, body.content),
			option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
				// Many servers reject a body of unknown length.
				request.ContentLength = body.length
				return next(request)
			}))...)
		return err
	})
	if err != nil {
		return upstream.UploadedFile{}, err
	}
	file, err := decodeUpload(x.body, "")
	if err != nil {
		return upstream.UploadedFile{}, c.invalidResponse(x, err)
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
		page, last, err := c.uploadPage(ctx, query)
		if err != nil {
			return nil, err
		}
		before := len(files)
		for _, file := range page {
			if !seen[file.ID] {
				seen[file.ID] = true
				files = append(files, file)
			}
		}
		// A server that ignores the cursor returns a page without new files.
		if last || len(files) == before || olderThan(page, since) {
			return files, nil
		}
		query.After = param.NewOpt(page[len(page)-1].ID)
	}
	return nil, c.rejected(fmt.Errorf("the list of uploaded files has more than %d pages", maxUploadPages))
}

// olderThan reports whether all files on later pages are older than since. It returns false if the
// page is not ordered by age.
func olderThan(page []upstream.UploadedFile, since time.Time) bool {
	newest, oldest := page[0].CreatedAt, page[len(page)-1].CreatedAt
	return newest.After(oldest) && oldest.Before(since)
}

func (c *Client) uploadPage(ctx context.Context, query sdk.FileListParams) ([]upstream.UploadedFile, bool, error) {
	x := &exchange{}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.uploads.List(ctx, query, options...)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	files, last, err := decodeUploadPage(x.body)
	if err != nil {
		return nil, false, c.invalidResponse(x, err)
	}
	return files, last, nil
}

// UploadedFile implements upstream.Uploader.
func (c *Client) UploadedFile(ctx context.Context, fileID string) (upstream.UploadedFile, error) {
	if err := validateObjectID("file", fileID); err != nil {
		return upstream.UploadedFile{}, c.rejected(err)
	}
	x := &exchange{}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.uploads.Get(ctx, fileID, options...)
		return err
	})
	if err != nil {
		return upstream.UploadedFile{}, err
	}
	file, err := decodeUpload(x.body, fileID)
	if err != nil {
		return upstream.UploadedFile{}, c.invalidResponse(x, err)
	}
	return file, nil
}

// decodeUpload decodes an uploaded file. If fileID is empty, it accepts any ID, as for a new file.
func decodeUpload(body []byte, fileID string) (upstream.UploadedFile, error) {
	var response sdk.FileObject
	if err := decode(body, &response); err != nil {
		return upstream.UploadedFile{}, err
	}
	if fileID != "" && response.ID != fileID {
		return upstream.UploadedFile{}, errors.New("its ID is not that of the requested file")
	}
	if err := validateObjectID("file", response.ID); err != nil {
		return upstream.UploadedFile{}, err
	}
	return uploadOf(response), nil
}

func decodeUploadPage(body []byte) (files []upstream.UploadedFile, last bool, err error) {
	var response pagination.CursorPage[sdk.FileObject]
	if err := decode(body, &response); err != nil {
		return nil, false, err
	}
	if !response.JSON.Data.Valid() && response.JSON.Data.Raw() != "null" {
		return nil, false, errors.New("it contains no list of files")
	}
	for _, file := range response.Data {
		if err := validateObjectID("file", file.ID); err != nil {
			return nil, false, err
		}
		files = append(files, uploadOf(file))
	}
	finished := response.JSON.HasMore.Valid() && !response.HasMore
	return files, finished || len(files) == 0, nil
}

func uploadOf(file sdk.FileObject) upstream.UploadedFile {
	return upstream.UploadedFile{ID: file.ID, Name: file.Filename, Size: file.Bytes, CreatedAt: timeOf(file.CreatedAt)}
}
