// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package openai implements the port in package upstream over HTTP. It sends every request at most once,
// decodes responses as a stream within limits, classifies errors, and removes keys from everything that
// it returns. Uploads are for the kubectl plugin.
package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	defaultRequestTimeout   = 30 * time.Second
	defaultMaxResponseBytes = 8 << 20

	// filesPerPage is the maximum page size of the API.
	filesPerPage = 100
	// filesPerBatch is the maximum number of files in a batch, and so in a list of its files.
	filesPerBatch = 2000
	// pagesPerBatch is the maximum number of pages of such a list. It permits servers with small pages.
	pagesPerBatch = 100

	// maxObjectBytes is the maximum size of the body of a response with one object.
	maxObjectBytes = 256 << 10
	// maxObjectTokens and tokensPerItem are many times what an API sends: a file in a list has 75 tokens
	// if all of its fields are set.
	maxObjectTokens = 5000
	tokensPerItem   = 500

	// maxOrganization is the maximum length of the name of an organization, in bytes.
	maxOrganization = 64
)

// Options configure a Client. The zero value is valid.
type Options struct {
	// RequestTimeout is the timeout of each call, from the name resolution to the end of the
	// response; for FailedFiles and Files, of all pages together. Defaults to 30 s. An earlier
	// deadline of the caller's context takes precedence.
	RequestTimeout time.Duration
	// MaxResponseBytes is the maximum size of the body of a list, compressed and after decompression.
	// Defaults to 8 MiB, which is sufficient for 100 files with attributes of the maximum length. It
	// limits the time to decode a list: the memory that it takes is bounded by its fields.
	MaxResponseBytes int64
	// Endpoints restricts the endpoints that a connection can have.
	Endpoints upstream.EndpointPolicy
	// Addresses restricts the addresses that the endpoints can have. It does not apply to a proxy.
	Addresses upstream.AddressPolicy
	// CABundle is a bundle of CA certificates, PEM-encoded, to trust in addition to those of the
	// system and of the connection. It can be empty.
	CABundle string
	// UserAgent is the User-Agent header. Defaults to that of the HTTP client.
	UserAgent string
	// Observer observes every request. It can be nil.
	Observer upstream.Observer
}

// Client is an upstream.Client and an upstream.Uploader with one pool of HTTP connections.
type Client struct {
	http     *http.Client
	baseURL  *url.URL
	header   http.Header
	timeout  time.Duration
	maxBytes int64
	host     string
	// redact and exposes are functions rather than lists, so that printing a Client never shows a key.
	redact  func(string) string
	exposes func(string) bool
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
	client := &http.Client{Transport: newTransport(settings.rootCAs, options.Addresses), CheckRedirect: checkRedirect}
	return &Client{
		http:     client,
		baseURL:  settings.baseURL,
		header:   settings.header(options.UserAgent),
		timeout:  options.RequestTimeout,
		maxBytes: options.MaxResponseBytes,
		host:     settings.baseURL.Host,
		redact:   redactor(settings.key, settings.organization, settings.project),
		exposes:  exposes(settings.key),
		observer: options.Observer,
	}, nil
}

// Close closes the idle connections. It does not affect calls in progress. Later calls open new
// connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// String returns a description that contains the host, but no credentials.
func (c *Client) String() string { return "OpenAI client for " + c.host }

// GoString implements fmt.GoStringer, so that %#v shows no credentials either.
func (c *Client) GoString() string { return c.String() }

// objectLimits returns the limits of a response with one object.
func (c *Client) objectLimits() limits {
	return limits{bytes: min(maxObjectBytes, c.maxBytes), tokens: maxObjectTokens}
}

// listLimits returns the limits of a response with a list.
func (c *Client) listLimits(items int) limits {
	return limits{bytes: c.maxBytes, tokens: items * tokensPerItem}
}

// Create implements upstream.Client.
func (c *Client) Create(ctx context.Context, request upstream.CreateRequest) (upstream.Batch, error) {
	if err := validateStoreID(request.VectorStoreID); err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	body, err := encodeCreate(request)
	if err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	to := target{method: http.MethodPost, path: "vector_stores/" + request.VectorStoreID + "/file_batches"}
	x := &exchange{operation: upstream.OperationCreate, notIdempotent: true}
	return c.callBatch(ctx, x, upstream.BatchRef{VectorStoreID: request.VectorStoreID}, to, body)
}

// Retrieve implements upstream.Client.
func (c *Client) Retrieve(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	if err := validateRef(ref); err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	x := &exchange{operation: upstream.OperationRetrieve}
	return c.callBatch(ctx, x, ref, batchTarget(http.MethodGet, ref, ""), nil)
}

// Cancel implements upstream.Client.
func (c *Client) Cancel(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	if err := validateRef(ref); err != nil {
		return upstream.Batch{}, c.rejected(err)
	}
	x := &exchange{operation: upstream.OperationCancel}
	return c.callBatch(ctx, x, ref, batchTarget(http.MethodPost, ref, "/cancel"), nil)
}

// callBatch sends a request whose response is a batch.
func (c *Client) callBatch(ctx context.Context, x *exchange, ref upstream.BatchRef, to target, body []byte) (upstream.Batch, error) {
	var batch upstream.Batch
	x.limits = c.objectLimits()
	x.decode = func(s *scanner) (err error) {
		batch, err = c.decodeBatch(s, ref)
		return err
	}
	if err := c.call(ctx, x, to, body); err != nil {
		return upstream.Batch{}, err
	}
	batch.PollAfter = pollAfter(x.header)
	batch.Organization = c.organization(x.header)
	return batch, nil
}

// organization returns the organization that a response names, or an empty string if it names none.
func (c *Client) organization(header http.Header) string {
	name := header.Get("Openai-Organization")
	if len(name) > maxOrganization || invalidText(name) || c.exposes(name) {
		return ""
	}
	return name
}

// FailedFiles implements upstream.Client.
func (c *Client) FailedFiles(ctx context.Context, ref upstream.BatchRef, limit int) ([]upstream.FailedFile, error) {
	var failed []upstream.FailedFile
	if limit <= 0 {
		return failed, nil
	}
	err := c.eachFile(ctx, ref, upstream.OperationListFailedFiles, func(file listedFile) bool {
		// Some servers ignore the filter.
		if file.failed() {
			failed = append(failed, file.FailedFile)
		}
		return len(failed) < limit
	})
	return failed, err
}

// Files implements upstream.Client.
func (c *Client) Files(ctx context.Context, ref upstream.BatchRef) ([]string, error) {
	var ids []string
	err := c.eachFile(ctx, ref, upstream.OperationListFiles, func(file listedFile) bool {
		ids = append(ids, file.FileID)
		return true
	})
	return ids, err
}

// CountFiles implements upstream.Client.
func (c *Client) CountFiles(ctx context.Context, ref upstream.BatchRef) (upstream.FileCounts, error) {
	var counts upstream.FileCounts
	err := c.eachFile(ctx, ref, upstream.OperationListFiles, func(file listedFile) bool {
		counts.Total++
		switch file.status {
		case upstream.Completed:
			counts.Completed++
		case upstream.Failed:
			counts.Failed++
		case upstream.Cancelled:
			counts.Cancelled++
		case upstream.InProgress:
			counts.InProgress++
		}
		return true
	})
	if err != nil {
		return upstream.FileCounts{}, err
	}
	return counts, nil
}

// NewestFiles implements upstream.Client.
func (c *Client) NewestFiles(ctx context.Context, vectorStoreID string, after time.Time) ([]upstream.File, error) {
	if err := validateStoreID(vectorStoreID); err != nil {
		return nil, c.rejected(err)
	}
	to := target{method: http.MethodGet, path: "vector_stores/" + vectorStoreID + "/files", query: url.Values{"order": {"desc"}}}
	var files []upstream.File
	var newest time.Time
	err := c.eachListed(ctx, to, upstream.OperationListStoreFiles, func(file listedFile) bool {
		if file.createdAt.After(after) {
			files = append(files, upstream.File{ID: file.FileID, CreatedAt: file.createdAt, Status: file.status})
		}
		if file.createdAt.After(newest) {
			newest = file.createdAt
		}
		// The list descends, unless the server ignores the order.
		return file.createdAt.After(after) || !newest.After(file.createdAt)
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// eachFile calls yield for each file of a batch, as eachListed does.
func (c *Client) eachFile(ctx context.Context, ref upstream.BatchRef, operation upstream.Operation, yield func(listedFile) bool) error {
	if err := validateRef(ref); err != nil {
		return c.rejected(err)
	}
	to := batchTarget(http.MethodGet, ref, "/files")
	if operation == upstream.OperationListFailedFiles {
		to.query = url.Values{"filter": {string(upstream.Failed)}}
	}
	return c.eachListed(ctx, to, operation, yield)
}

// eachListed calls yield for each file of a list, once per file, until yield returns false. The request
// timeout applies to all pages together. It reads no more files and pages than a batch can have.
func (c *Client) eachListed(ctx context.Context, list target, operation upstream.Operation, yield func(listedFile) bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	seen := make(map[string]bool)
	cursor := ""
	for number := 0; len(seen) < filesPerBatch; number++ {
		if number == pagesPerBatch {
			return c.rejected(fmt.Errorf("the list of files has more than %d pages", pagesPerBatch))
		}
		page, err := c.filePage(ctx, list, operation, cursor)
		if err != nil {
			return err
		}
		before := len(seen)
		for _, file := range page.items {
			if seen[file.FileID] {
				continue
			}
			seen[file.FileID] = true
			if !yield(file) {
				return nil
			}
		}
		// A server that ignores the cursor returns a page without new files.
		if page.last || len(seen) == before {
			return c.checkEnd(page)
		}
		cursor = page.items[len(page.items)-1].FileID
	}
	return nil
}

// checkEnd returns an error if the last page of a list has files that were not read.
func (c *Client) checkEnd(last pageOf[listedFile]) error {
	if last.partial {
		return &upstream.Error{
			Kind: upstream.Transient, Host: c.host,
			Message: fmt.Sprintf("%s returned a page of more than %d files, and the same one again", c.host, filesPerPage),
		}
	}
	return nil
}

// filePage returns the page of a list of files that follows the file with the ID cursor, or the first
// one.
func (c *Client) filePage(ctx context.Context, to target, operation upstream.Operation, cursor string) (pageOf[listedFile], error) {
	to.query = maps.Clone(to.query)
	if to.query == nil {
		to.query = url.Values{}
	}
	to.query.Set("limit", strconv.Itoa(filesPerPage))
	if cursor != "" {
		to.query.Set("after", cursor)
	}
	var result pageOf[listedFile]
	x := &exchange{operation: operation, limits: c.listLimits(filesPerPage)}
	x.decode = func(s *scanner) (err error) {
		result, err = decodePage(s, filesPerPage, func(first json.Token) (listedFile, error) { return c.decodeListedFile(s, first) })
		return err
	}
	err := c.call(ctx, x, to, nil)
	return result, err
}

// File implements upstream.Client.
func (c *Client) File(ctx context.Context, vectorStoreID, fileID string) (upstream.File, error) {
	if err := validateFile(vectorStoreID, fileID); err != nil {
		return upstream.File{}, c.rejected(err)
	}
	var file upstream.File
	x := &exchange{operation: upstream.OperationReadFile, limits: c.objectLimits()}
	x.decode = func(s *scanner) (err error) {
		file, err = c.decodeFile(s, vectorStoreID, fileID)
		return err
	}
	err := c.call(ctx, x, fileTarget(http.MethodGet, vectorStoreID, fileID), nil)
	return file, err
}

// Store implements upstream.Client.
func (c *Client) Store(ctx context.Context, vectorStoreID string) (exists bool, err error) {
	if err := validateStoreID(vectorStoreID); err != nil {
		return false, c.rejected(err)
	}
	x := &exchange{operation: upstream.OperationReadStore, limits: c.objectLimits()}
	x.decode = func(s *scanner) error { return decodeStore(s, vectorStoreID) }
	to := target{method: http.MethodGet, path: "vector_stores/" + vectorStoreID}
	err = c.call(ctx, x, to, nil)
	if upstream.IsNotFound(err) && x.failure.statesMissing(vectorStoreID) {
		return false, nil
	}
	return err == nil, err
}

// Detach implements upstream.Client.
func (c *Client) Detach(ctx context.Context, vectorStoreID, fileID string) error {
	if err := validateFile(vectorStoreID, fileID); err != nil {
		return c.rejected(err)
	}
	x := &exchange{operation: upstream.OperationDetachFile, limits: c.objectLimits(), optional: true}
	x.decode = func(s *scanner) error { return decodeDetached(s, fileID) }
	return c.call(ctx, x, fileTarget(http.MethodDelete, vectorStoreID, fileID), nil)
}
