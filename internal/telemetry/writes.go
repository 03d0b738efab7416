// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// requests reads what a request to the API server is about from its path, as the server does.
var requests = request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

// CountWrites makes a transport count the requests that write to the API server.
func CountWrites(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return next.RoundTrip(r)
		}
		response, err := next.RoundTrip(r)
		code := "none"
		if err == nil {
			code = strconv.Itoa(response.StatusCode)
		}
		resource, verb := "other", "other"
		if info, err := requests.NewRequestInfo(r); err == nil && info.IsResourceRequest {
			resource, verb = info.Resource, info.Verb
			if info.Subresource != "" {
				resource += "/" + info.Subresource
			}
		}
		Writes.WithLabelValues(resource, verb, code).Inc()
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
