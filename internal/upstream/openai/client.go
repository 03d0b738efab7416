// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package openai implements the port in package upstream with the OpenAI SDK for Go. No other package
// imports the SDK. It sends every request at most once, limits the size of responses, classifies
// errors, and removes keys from everything that it returns.
package openai

import (
	"context"
	"net/http"
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	defaultRequestTimeout   = 30 * time.Second
	defaultMaxResponseBytes = 8 << 20

	// filesPerPage is the maximum page size of the API.
	filesPerPage = 100
	// filesPerBatch is the maximum number of files in a batch, and so in a list of its files.
	filesPerBatch = 2000
)

// Options configure a Client. The zero value is valid.
type Options struct {
	// RequestTimeout is the timeout of each call, from the name resolution to the end of the
	// response; for FailedFiles and Files, of all pages together. Defaults to 30 s. An earlier
	// deadline of the caller's context takes precedence.
	RequestTimeout time.Duration
	// MaxResponseBytes is the maximum size of the body of a response, after decompression. Defaults
	// to 8 MiB, which is sufficient for a page of 100 files with attributes of the maximum length.
	MaxResponseBytes int64
	// Endpoints restricts the endpoints that a connection can have.
	Endpoints upstream.EndpointPolicy
	// CABundle is a bundle of CA certificates, PEM-encoded, to trust in addition to those of the
	// system and of the connection. It can be empty.
	CABundle string
	// UserAgent is the User-Agent header. Defaults to that of the SDK.
	UserAgent string
	// Observer observes every request. It can be nil.
	Observer upstream.Observer
}

// Client is an upstream.Client and an upstream.Uploader with one pool of HTTP connections.
type Client struct {
	batches   sdk.VectorStoreFileBatchService
	files     sdk.VectorStoreFileService
	uploads   sdk.FileService
	transport *http.Transport
	timeout   time.Duration
	maxBytes  int64
	host      string
	// redact is a function rather than a list, so that printing a Client never shows a key.
	redact func(string) string
	// observer is never nil.
	observer upstream.Observer
}

var _ upstream.Client = (*Client)(nil)

// Dial returns a Client for a connection. It validates the connection, but sends no request. Every
// error is an *upstream.Error: of kind NoCredentials if there is no key, and of kind Unauthorized
// otherwise. Its message names the key of the Secret to fix, and never contains the value.
func Dial(connection upstream.Connection, options Options) (*Client, error) {
	settings, err := validate(connection, options)
	if err != nil {
		return nil, err
	}
	if options.RequestTimeout <= 0 {
		options.RequestTimeout = defaultRequestTimeout
	}
	if options.MaxResponseBytes <= 0 {
		options.MaxResponseBytes = defaultMaxResponseBytes
	}
	if options.Observer == nil {
		options.Observer = noObserver
	}
	transport := newTransport(settings.rootCAs)
	requestOptions := settings.requestOptions(transport, options.UserAgent)
	return &Client{
		// Unlike sdk.NewClient, the services do not read the environment, which does not belong to
		// the tenant.
		batches:   sdk.NewVectorStoreFileBatchService(requestOptions...),
		files:     sdk.NewVectorStoreFileService(requestOptions...),
		uploads:   sdk.NewFileService(requestOptions...),
		transport: transport,
		timeout:   options.RequestTimeout,
		maxBytes:  options.MaxResponseBytes,
		host:      settings.baseURL.Host,
		redact:    redactor(settings.key, settings.organization, settings.project),
		observer:  options.Observer,
	}, nil
}

// Close closes the idle connections. It does not affect calls in progress. Later calls open new
// connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// String returns a description that contains the host, but no credentials.
func (c *Client) String() string { return "OpenAI client for " + c.host }

// GoString implements fmt.GoStringer, so that %#v shows no credentials either.
func (c *Client) GoString() string { return c.String() }

// Create implements upstream.Client.
func (c *Client) Create(ctx context.Context, request upstream.CreateRequest) (upstream.Batch, error) {
	if err := validateStoreID(request.VectorStoreID); err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	body, err := createBody(request)
	if err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	return c.create(ctx, request.VectorStoreID, body)
}

// create sends a create request. It does not have what the body was encoded from, which takes many
// times as much memory, and a server can take long to answer.
func (c *Client) create(ctx context.Context, storeID string, body []byte) (upstream.Batch, error) {
	x := &exchange{operation: upstream.OperationCreate, notIdempotent: true}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		options = append(options, option.WithRequestBody("application/json", body))
		_, err := c.batches.New(ctx, storeID, sdk.VectorStoreFileBatchNewParams{}, options...)
		return err
	})
	if err != nil {
		return upstream.Batch{}, err
	}
	return c.decodeBatch(x, upstream.BatchRef{VectorStoreID: storeID})
}

// Retrieve implements upstream.Client.
func (c *Client) Retrieve(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	return c.callBatch(ctx, upstream.OperationRetrieve, ref, c.batches.Get)
}

// Cancel implements upstream.Client.
func (c *Client) Cancel(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	return c.callBatch(ctx, upstream.OperationCancel, ref, c.batches.Cancel)
}

type batchCall func(ctx context.Context, storeID, batchID string, options ...option.RequestOption) (*sdk.VectorStoreFileBatch, error)

func (c *Client) callBatch(ctx context.Context, operation upstream.Operation, ref upstream.BatchRef, call batchCall) (upstream.Batch, error) {
	if err := validateRef(ref); err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	x := &exchange{operation: operation}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := call(ctx, ref.VectorStoreID, ref.BatchID, options...)
		return err
	})
	if err != nil {
		return upstream.Batch{}, err
	}
	return c.decodeBatch(x, ref)
}

func (c *Client) decodeBatch(x *exchange, ref upstream.BatchRef) (upstream.Batch, error) {
	batch, err := decodeBatch(x.body, ref)
	if err != nil {
		return upstream.Batch{}, c.invalidResponse(x, err)
	}
	batch.PollAfter = pollAfter(x.header)
	return batch, nil
}

// FailedFiles implements upstream.Client.
func (c *Client) FailedFiles(ctx context.Context, ref upstream.BatchRef, limit int) ([]upstream.FailedFile, error) {
	var failed []upstream.FailedFile
	if limit <= 0 {
		return failed, nil
	}
	filter := sdk.VectorStoreFileBatchListFilesParamsFilterFailed
	err := c.eachFile(ctx, ref, filter, func(file sdk.VectorStoreFile) bool {
		// Some servers ignore the filter.
		if file.Status == sdk.VectorStoreFileStatusFailed {
			failed = append(failed, c.failedFile(file))
		}
		return len(failed) < limit
	})
	if err != nil {
		return nil, err
	}
	return failed, nil
}

// Files implements upstream.Client.
func (c *Client) Files(ctx context.Context, ref upstream.BatchRef) ([]string, error) {
	var ids []string
	err := c.eachFile(ctx, ref, "", func(file sdk.VectorStoreFile) bool {
		ids = append(ids, file.ID)
		return true
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// eachFile calls yield for each file of a batch, once per file, until yield returns false. The request
// timeout applies to all pages together.
func (c *Client) eachFile(ctx context.Context, ref upstream.BatchRef, filter sdk.VectorStoreFileBatchListFilesParamsFilter, yield func(sdk.VectorStoreFile) bool) error {
	if err := validateRef(ref); err != nil {
		return c.rejected(err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	seen := map[string]bool{}
	query := sdk.VectorStoreFileBatchListFilesParams{Filter: filter, Limit: param.NewOpt[int64](filesPerPage)}
	for len(seen) < filesPerBatch {
		page, err := c.page(ctx, ref, query)
		if err != nil {
			return err
		}
		before := len(seen)
		for _, file := range page.files {
			if seen[file.ID] {
				continue
			}
			seen[file.ID] = true
			if !yield(file) {
				return nil
			}
		}
		// A server that ignores the cursor returns a page without new files.
		if page.last || len(seen) == before {
			return nil
		}
		query.After = param.NewOpt(page.files[len(page.files)-1].ID)
	}
	return nil
}

func (c *Client) page(ctx context.Context, ref upstream.BatchRef, query sdk.VectorStoreFileBatchListFilesParams) (filePage, error) {
	x := &exchange{operation: listOperation(query.Filter)}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.batches.ListFiles(ctx, ref.VectorStoreID, ref.BatchID, query, options...)
		return err
	})
	if err != nil {
		return filePage{}, err
	}
	page, err := decodePage(x.body)
	if err != nil {
		return filePage{}, c.invalidResponse(x, err)
	}
	return page, nil
}

// listOperation returns the operation of a list request with the given filter.
func listOperation(filter sdk.VectorStoreFileBatchListFilesParamsFilter) upstream.Operation {
	if filter == "" {
		return upstream.OperationListFiles
	}
	return upstream.OperationListFailedFiles
}

func (c *Client) failedFile(file sdk.VectorStoreFile) upstream.FailedFile {
	return upstream.FailedFile{
		FileID:  file.ID,
		Code:    c.sanitize(file.LastError.Code, maxCode),
		Message: c.sanitize(file.LastError.Message, maxMessage),
	}
}

// File implements upstream.Client.
func (c *Client) File(ctx context.Context, vectorStoreID, fileID string) (upstream.File, error) {
	if err := validateStoreID(vectorStoreID); err != nil {
		return upstream.File{}, c.rejected(err)
	}
	if err := validateObjectID("file", fileID); err != nil {
		return upstream.File{}, c.rejected(err)
	}
	x := &exchange{operation: upstream.OperationReadFile}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.files.Get(ctx, vectorStoreID, fileID, options...)
		return err
	})
	if err != nil {
		return upstream.File{}, err
	}
	file, err := decodeFile(x.body, vectorStoreID, fileID)
	if err != nil {
		return upstream.File{}, c.invalidResponse(x, err)
	}
	return file, nil
}

// Detach implements upstream.Client.
func (c *Client) Detach(ctx context.Context, vectorStoreID, fileID string) error {
	if err := validateStoreID(vectorStoreID); err != nil {
		return c.rejected(err)
	}
	if err := validateObjectID("file", fileID); err != nil {
		return c.rejected(err)
	}
	// Ignore the body of the response: the request is safe to repeat.
	return c.do(ctx, &exchange{operation: upstream.OperationDetachFile}, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.files.Delete(ctx, vectorStoreID, fileID, options...)
		return err
	})
}
