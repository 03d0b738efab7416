// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// requestInfo parses the path of a request to the Kubernetes API, as the API server does.
var requestInfo = request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

// CountWrites returns a transport that counts the write requests to the Kubernetes API.
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
		if info, err := requestInfo.NewRequestInfo(r); err == nil && info.IsResourceRequest {
			resource, verb = info.Resource, info.Verb
			if info.Subresource != "" {
				resource += "/" + info.Subresource
			}
		}
		KubernetesWrites.WithLabelValues(resource, verb, code).Inc()
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
