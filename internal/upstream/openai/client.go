// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package openai is the adapter of the upstream port on OpenAI's SDK for Go, and the only
// importer of it. It makes every call at most once, bounds what it reads, classifies what went
// wrong, and keeps keys out of everything that it returns.
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

	// filesPerPage is the most that the upstream lists at once.
	filesPerPage = 100
	// filesPerBatch is the most that a batch holds, so also the most that are read of a list.
	filesPerBatch = 2000
)

// Options are the limits under which a Client calls. The zero value has sensible ones.
type Options struct {
	// RequestTimeout bounds each call of the port, from resolving the name to the end of the
	// answer; FailedFiles is bounded as a whole. 30 s by default. A deadline of the caller's
	// that is sooner stays in force.
	RequestTimeout time.Duration
	// MaxResponseBytes bounds the body of an answer, after decompression. 8 MiB by default,
	// which is enough for a page of 100 files with attributes of the greatest length.
	MaxResponseBytes int64
	// Endpoints says which endpoints may be called.
	Endpoints upstream.EndpointPolicy
	// CABundle is certificate authorities, in PEM, to trust beside the system's and those of a
	// connection. Empty for none.
	CABundle string
	// UserAgent is sent with every request; empty sends the SDK's.
	UserAgent string
	// Observer is told of every request; nil where nobody wants to know.
	Observer upstream.Observer
}

// Client makes calls on one connection, over one pool of HTTP connections.
type Client struct {
	batches   sdk.VectorStoreFileBatchService
	files     sdk.VectorStoreFileService
	uploads   sdk.FileService
	transport *http.Transport
	timeout   time.Duration
	maxBytes  int64
	host      string
	// redact is a function and not a list, so that no way of printing a Client shows a key.
	redact func(string) string
	// observer is never nil.
	observer upstream.Observer
}

var _ upstream.Client = (*Client)(nil)

// Dial makes a Client. It checks the connection but does not use it: no request is made. Its
// errors are *upstream.Error, of kind NoCredentials where there is no key and of kind
// Unauthorized otherwise, and name the key of the Secret that has to change, never its value.
func Dial(connection upstream.Connection, options Options) (*Client, error) {
	settings, err := check(connection, options)
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
		options.Observer = unobserved
	}
	transport := newTransport(settings.authorities)
	requestOptions := settings.requestOptions(transport, options.UserAgent)
	return &Client{
		// The services, unlike sdk.NewClient, read nothing from the environment, where another
		// tenant's settings may stand.
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

// Close drops the idle connections. Calls under way go on, and later ones connect anew.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// String names the host and nothing else.
func (c *Client) String() string { return "openai client of " + c.host }

// GoString is String, for %#v.
func (c *Client) GoString() string { return c.String() }

// Create implements upstream.Client.
func (c *Client) Create(ctx context.Context, request upstream.CreateRequest) (upstream.Batch, error) {
	if err := checkStoreID(request.VectorStoreID); err != nil {
		return upstream.Batch{}, c.refusal(err)
	}
	params, err := createParams(request)
	if err != nil {
		return upstream.Batch{}, c.refusal(err)
	}
	x := &exchange{operation: upstream.OperationCreate, creates: true}
	err = c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.batches.New(ctx, request.VectorStoreID, params, options...)
		return err
	})
	if err != nil {
		return upstream.Batch{}, err
	}
	return c.batch(x, upstream.BatchRef{VectorStoreID: request.VectorStoreID})
}

// Retrieve implements upstream.Client.
func (c *Client) Retrieve(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	return c.onBatch(ctx, upstream.OperationRetrieve, ref, c.batches.Get)
}

// Cancel implements upstream.Client.
func (c *Client) Cancel(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	return c.onBatch(ctx, upstream.OperationCancel, ref, c.batches.Cancel)
}

type batchCall func(ctx context.Context, storeID, batchID string, options ...option.RequestOption) (*sdk.VectorStoreFileBatch, error)

func (c *Client) onBatch(ctx context.Context, operation upstream.Operation, ref upstream.BatchRef, call batchCall) (upstream.Batch, error) {
	if err := checkRef(ref); err != nil {
		return upstream.Batch{}, c.refusal(err)
	}
	x := &exchange{operation: operation}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := call(ctx, ref.VectorStoreID, ref.BatchID, options...)
		return err
	})
	if err != nil {
		return upstream.Batch{}, err
	}
	return c.batch(x, ref)
}

func (c *Client) batch(x *exchange, ref upstream.BatchRef) (upstream.Batch, error) {
	batch, err := decodeBatch(x.body, ref)
	if err != nil {
		return upstream.Batch{}, c.badAnswer(x, err)
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

// eachFile shows the files of a batch, each of them once, until it has shown all of them or is
// told that it is enough. The request timeout bounds the whole of it.
func (c *Client) eachFile(ctx context.Context, ref upstream.BatchRef, filter sdk.VectorStoreFileBatchListFilesParamsFilter, more func(sdk.VectorStoreFile) bool) error {
	if err := checkRef(ref); err != nil {
		return c.refusal(err)
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
			if !more(file) {
				return nil
			}
		}
		// A page of nothing new comes from a server that ignores the cursor.
		if page.last || len(seen) == before {
			return nil
		}
		query.After = param.NewOpt(page.files[len(page.files)-1].ID)
	}
	return nil
}

func (c *Client) page(ctx context.Context, ref upstream.BatchRef, query sdk.VectorStoreFileBatchListFilesParams) (filePage, error) {
	x := &exchange{operation: listing(query.Filter)}
	err := c.do(ctx, x, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.batches.ListFiles(ctx, ref.VectorStoreID, ref.BatchID, query, options...)
		return err
	})
	if err != nil {
		return filePage{}, err
	}
	page, err := decodePage(x.body)
	if err != nil {
		return filePage{}, c.badAnswer(x, err)
	}
	return page, nil
}

// listing is what a list of files with that filter is for.
func listing(filter sdk.VectorStoreFileBatchListFilesParamsFilter) upstream.Operation {
	if filter == "" {
		return upstream.OperationListFiles
	}
	return upstream.OperationListFailedFiles
}

func (c *Client) failedFile(file sdk.VectorStoreFile) upstream.FailedFile {
	return upstream.FailedFile{
		FileID:  file.ID,
		Code:    c.text(file.LastError.Code, maxCode),
		Message: c.text(file.LastError.Message, maxMessage),
	}
}

// File implements upstream.Client.
func (c *Client) File(ctx context.Context, vectorStoreID, fileID string) (upstream.File, error) {
	if err := checkStoreID(vectorStoreID); err != nil {
		return upstream.File{}, c.refusal(err)
	}
	if err := checkObjectID("file", fileID); err != nil {
		return upstream.File{}, c.refusal(err)
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
		return upstream.File{}, c.badAnswer(x, err)
	}
	return file, nil
}

// Detach implements upstream.Client.
func (c *Client) Detach(ctx context.Context, vectorStoreID, fileID string) error {
	if err := checkStoreID(vectorStoreID); err != nil {
		return c.refusal(err)
	}
	if err := checkObjectID("file", fileID); err != nil {
		return c.refusal(err)
	}
	// What the answer says beside its status is of no interest: it is safe to repeat.
	return c.do(ctx, &exchange{operation: upstream.OperationDetachFile}, func(ctx context.Context, options ...option.RequestOption) error {
		_, err := c.files.Delete(ctx, vectorStoreID, fileID, options...)
		return err
	})
}
