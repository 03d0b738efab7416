// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// firstObjects is how many objects the first page has, when nothing is known of their size.
	firstObjects = 50
	// pageSize is how many bytes the pages that follow come to: enough that what a request costs
	// does not matter, and little beside what the objects take.
	pageSize = 2 << 20
	// unclaimed is for how long a page is kept that nobody asks for.
	unclaimed = time.Minute
)

// ReadAhead wraps the transport of a client that lists in pages. As soon as it has a page, it asks
// for the next one, so that the API server writes that while the client decodes this. It asks for
// as many objects, at most what the client allows, as make pages of about 2 MiB.
func ReadAhead(next http.RoundTripper) http.RoundTripper {
	return &readAhead{next: next, ahead: map[string]<-chan page{}}
}

type readAhead struct {
	next http.RoundTripper

	mu    sync.Mutex
	ahead map[string]<-chan page // by what they are asked for with
}

// page is the answer to a request for one, read to its end.
type page struct {
	response *http.Response
	body     []byte
	limit    int // of objects
	err      error
}

// RoundTrip answers a request, and one for a page with what was asked for ahead.
func (a *readAhead) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || request.Method != http.MethodGet {
		return a.next.RoundTrip(request)
	}
	p, err := a.page(request, min(limit, firstObjects))
	if err != nil {
		return nil, err
	}
	if token := following(p.body); token != "" {
		query.Set("continue", token)
		query.Del("resourceVersion") // is part of the token
		query.Del("resourceVersionMatch")
		a.ask(request, query, min(limit, sized(p)))
	}
	p.response.Body = io.NopCloser(bytes.NewReader(p.body))
	return p.response, nil
}

// page gives the page that a request is for: the one that was asked for ahead, if there is one.
func (a *readAhead) page(request *http.Request, limit int) (page, error) {
	ahead := a.take(name(request.URL, request.URL.Query()))
	if ahead == nil {
		p := a.fetch(request, request.URL.Query(), limit)
		return p, p.err
	}
	select {
	case p := <-ahead:
		return p, p.err
	case <-request.Context().Done():
		return page{}, request.Context().Err()
	}
}

// ask begins to fetch the page that the client will want next.
func (a *readAhead) ask(request *http.Request, query url.Values, limit int) {
	arrived := make(chan page, 1)
	key := name(request.URL, query)
	a.mu.Lock()
	a.ahead[key] = arrived
	a.mu.Unlock()
	time.AfterFunc(unclaimed, func() { a.take(key) })
	// The request that this page is for has not been made yet, and the last one may end before.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), unclaimed)
	go func() {
		defer cancel()
		arrived <- a.fetch(request.WithContext(ctx), query, limit)
	}()
}

// take gives away what was asked for ahead, or nil.
func (a *readAhead) take(key string) <-chan page {
	a.mu.Lock()
	defer a.mu.Unlock()
	ahead := a.ahead[key]
	delete(a.ahead, key)
	return ahead
}

// fetch asks the API server for a page.
func (a *readAhead) fetch(request *http.Request, query url.Values, limit int) page {
	query.Set("limit", strconv.Itoa(limit))
	request = request.Clone(request.Context())
	request.URL.RawQuery = query.Encode()
	response, err := a.next.RoundTrip(request)
	if err != nil {
		return page{err: err}
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return page{err: fmt.Errorf("reading a page: %w", err)}
	}
	return page{response: response, body: body, limit: limit}
}

// name is what a page is known by, however many objects it is asked to have.
func name(at *url.URL, query url.Values) string {
	rest := maps.Clone(query)
	rest.Del("limit")
	return at.Path + "?" + rest.Encode()
}

// following is the token for the page after this one, or empty. API servers write the fields of a
// list of custom resources in the order of the alphabet, so it stands behind the items. Where it
// does not, nothing is asked for ahead.
func following(body []byte) string {
	last := bytes.LastIndex(body, []byte(`"metadata":`))
	if last < 0 {
		return ""
	}
	var list struct {
		Metadata metav1.ListMeta `json:"metadata"`
	}
	if err := json.Unmarshal(append([]byte{'{'}, body[last:]...), &list); err != nil {
		return ""
	}
	return list.Metadata.Continue
}

// sized is how many objects, of the size of those of a page, make one of the size that is wanted.
func sized(p page) int {
	const growth = 8 // the next ones may be larger
	return max(1, min(p.limit*pageSize/max(1, len(p.body)), p.limit*growth))
}
