// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Operation names an operation of the API in faults and recorded calls.
type Operation string

// The operations. Create, Retrieve, Cancel and ListFiles act on file batches.
const (
	Create    Operation = "create"
	Retrieve  Operation = "retrieve"
	Cancel    Operation = "cancel"
	ListFiles Operation = "list_files"

	AttachFile          Operation = "attach_file"
	ListStoreFiles      Operation = "list_store_files"
	RetrieveFile        Operation = "retrieve_file"
	UpdateFile          Operation = "update_file"
	DetachFile          Operation = "detach_file"
	RetrieveFileContent Operation = "retrieve_file_content"

	CreateStore   Operation = "create_store"
	ListStores    Operation = "list_stores"
	RetrieveStore Operation = "retrieve_store"
	UpdateStore   Operation = "update_store"
	DeleteStore   Operation = "delete_store"
	SearchStore   Operation = "search_store"

	Upload          Operation = "upload"
	ListUploads     Operation = "list_uploads"
	RetrieveUpload  Operation = "retrieve_upload"
	DeleteUpload    Operation = "delete_upload"
	DownloadContent Operation = "download_content"

	// AnyOperation matches every operation in a Fault.
	AnyOperation Operation = "*"
	// UnknownOperation is the operation of a request whose URL is not part of the API.
	UnknownOperation Operation = "unknown"
)

// batchOperations act on file batches.
var batchOperations = []Operation{Create, Retrieve, Cancel, ListFiles}

type route struct {
	operation Operation
	method    string
	segments  []string
	handle    func(*Server, *exchange) (any, *apiError)
}

var routes = []route{
	at(Create, "POST /vector_stores/{store}/file_batches", (*Server).createBatch),
	at(Retrieve, "GET /vector_stores/{store}/file_batches/{batch}", (*Server).retrieveBatch),
	at(Cancel, "POST /vector_stores/{store}/file_batches/{batch}/cancel", (*Server).cancelBatch),
	at(ListFiles, "GET /vector_stores/{store}/file_batches/{batch}/files", (*Server).listBatchFiles),

	at(AttachFile, "POST /vector_stores/{store}/files", (*Server).attachFile),
	at(ListStoreFiles, "GET /vector_stores/{store}/files", (*Server).listStoreFiles),
	at(RetrieveFile, "GET /vector_stores/{store}/files/{file}", (*Server).retrieveStoreFile),
	at(UpdateFile, "POST /vector_stores/{store}/files/{file}", (*Server).updateStoreFile),
	at(DetachFile, "DELETE /vector_stores/{store}/files/{file}", (*Server).detachFile),
	at(RetrieveFileContent, "GET /vector_stores/{store}/files/{file}/content", (*Server).storeFileContent),

	at(CreateStore, "POST /vector_stores", (*Server).createStore),
	at(ListStores, "GET /vector_stores", (*Server).listStores),
	at(RetrieveStore, "GET /vector_stores/{store}", (*Server).retrieveStore),
	at(UpdateStore, "POST /vector_stores/{store}", (*Server).updateStore),
	at(DeleteStore, "DELETE /vector_stores/{store}", (*Server).deleteStore),
	at(SearchStore, "POST /vector_stores/{store}/search", (*Server).searchStore),

	at(Upload, "POST /files", (*Server).upload),
	at(ListUploads, "GET /files", (*Server).listUploads),
	at(RetrieveUpload, "GET /files/{file}", (*Server).retrieveUpload),
	at(DeleteUpload, "DELETE /files/{file}", (*Server).deleteUpload),
	at(DownloadContent, "GET /files/{file}/content", (*Server).downloadContent),
}

func at(operation Operation, pattern string, handle func(*Server, *exchange) (any, *apiError)) route {
	method, path, _ := strings.Cut(pattern, " ")
	return route{operation: operation, method: method, segments: strings.Split(path[1:], "/"), handle: handle}
}

// match reports whether the path matches the route, and returns the values of its variables.
func (r route) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(r.segments) {
		return nil, false
	}
	var variables map[string]string
	for i, want := range r.segments {
		if !strings.HasPrefix(want, "{") {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		if segments[i] == "" {
			return nil, false
		}
		if variables == nil {
			variables = map[string]string{}
		}
		variables[want[1:len(want)-1]] = segments[i]
	}
	return variables, true
}

// matchRoute returns the route of a request. It returns a 405 if only the method does not match.
func (s *Server) matchRoute(request *http.Request) (route, map[string]string, *apiError) {
	segments, ok := s.segments(request.URL)
	if !ok {
		return route{}, nil, invalidURL(request)
	}
	var allowed []string
	for _, r := range routes {
		variables, ok := r.match(segments)
		if !ok {
			continue
		}
		if r.method == request.Method {
			return r, variables, nil
		}
		allowed = append(allowed, r.method)
	}
	if len(allowed) == 0 {
		return route{}, nil, invalidURL(request)
	}
	slices.Sort(allowed)
	apiErr := badRequest("", "", "Not allowed to %s on %s.", request.Method, request.URL.EscapedPath())
	apiErr.status, apiErr.allow = http.StatusMethodNotAllowed, strings.Join(allowed, ", ")
	return route{}, nil, apiErr.as(kindMethod)
}

func invalidURL(request *http.Request) *apiError {
	return notFound("", "Invalid URL (%s %s)", request.Method, request.URL.EscapedPath()).as(kindPath)
}

// segments splits the path below the base path. It splits before it unescapes, so that an
// escaped slash in an ID cannot select another route.
func (s *Server) segments(u *url.URL) ([]string, bool) {
	path := u.EscapedPath()
	settings := s.Settings()
	below, ok := strings.CutPrefix(path, settings.BasePath+"/")
	switch {
	case ok:
		path = "/" + below
	case settings.StrictPath:
		return nil, false
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, raw := range segments {
		segment, err := url.PathUnescape(raw)
		if err != nil {
			return nil, false
		}
		segments[i] = segment
	}
	return segments, true
}
