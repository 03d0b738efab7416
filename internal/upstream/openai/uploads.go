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
	// purpose is the one that vector stores take files of.
	purpose = sdk.FilePurposeAssistants
	// uploadsPerPage is a tenth of what the upstream lists at once, so that a page stays far
	// below what is read of an answer.
	uploadsPerPage = 1000
	// maxUploadPages bounds a list that a server never ends.
	maxUploadPages = 1000
)

var _ upstream.Uploader = (*Client)(nil)

// Upload implements upstream.Uploader. It streams the content: the SDK's own way would hold the
// whole of a file in memory, which may be of 512 MB.
func (c *Client) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	body, err := formOf(request)
	if err != nil {
		return upstream.UploadedFile{}, c.refusal(err)
	}
	x := &exchange{creates: true}
	err = c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.uploads.New(ctx, sdk.FileNewParams{}, append(options,
			option.WithRequestBody(body.contentType, body.content),
			option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
				// Many servers refuse a body of unknown length.
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
		return upstream.UploadedFile{}, c.badAnswer(x, err)
	}
	return file, nil
}

// form is the body of an upload.
type form struct {
	contentType string
	content     io.Reader
	length      int64
}

func formOf(request upstream.UploadRequest) (form, error) {
	if request.Name == "" {
		return form{}, errors.New("a file without a name cannot be uploaded")
	}
	var frame bytes.Buffer
	writer := multipart.NewWriter(&frame)
	// A buffer takes everything.
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
		// A page of nothing new comes from a server that ignores the cursor.
		if last || len(files) == before || olderThan(page, since) {
			return files, nil
		}
		query.After = param.NewOpt(page[len(page)-1].ID)
	}
	return nil, c.refusal(fmt.Errorf("the list of uploaded files has more than %d pages", maxUploadPages))
}

// olderThan says that nothing after this page is as young as since. A page that is not in the
// order asked for says nothing.
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
		return nil, false, c.badAnswer(x, err)
	}
	return files, last, nil
}

// UploadedFile implements upstream.Uploader.
func (c *Client) UploadedFile(ctx context.Context, fileID string) (upstream.UploadedFile, error) {
	if err := checkObjectID("file", fileID); err != nil {
		return upstream.UploadedFile{}, c.refusal(err)
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
		return upstream.UploadedFile{}, c.badAnswer(x, err)
	}
	return file, nil
}

// decodeUpload reads an uploaded file. An empty ID is that of a file which was just uploaded,
// and may have any.
func decodeUpload(body []byte, fileID string) (upstream.UploadedFile, error) {
	var answer sdk.FileObject
	if err := decode(body, &answer); err != nil {
		return upstream.UploadedFile{}, err
	}
	if fileID != "" && answer.ID != fileID {
		return upstream.UploadedFile{}, errors.New("it has another ID than the file asked for")
	}
	if err := checkObjectID("file", answer.ID); err != nil {
		return upstream.UploadedFile{}, err
	}
	return uploadOf(answer), nil
}

func decodeUploadPage(body []byte) (files []upstream.UploadedFile, last bool, err error) {
	var answer pagination.CursorPage[sdk.FileObject]
	if err := decode(body, &answer); err != nil {
		return nil, false, err
	}
	if !answer.JSON.Data.Valid() && answer.JSON.Data.Raw() != "null" {
		return nil, false, errors.New("it has no list of files")
	}
	for _, file := range answer.Data {
		if err := checkObjectID("file", file.ID); err != nil {
			return nil, false, err
		}
		files = append(files, uploadOf(file))
	}
	finished := answer.JSON.HasMore.Valid() && !answer.HasMore
	return files, finished || len(files) == 0, nil
}

func uploadOf(file sdk.FileObject) upstream.UploadedFile {
	return upstream.UploadedFile{ID: file.ID, Name: file.Filename, Size: file.Bytes, CreatedAt: timeOf(file.CreatedAt)}
}
