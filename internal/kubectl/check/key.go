// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// KeyAccepted checks with one read whether the server accepts the key.
func KeyAccepted(ctx context.Context, client *openai.Client) Row {
	row := func(status Status, format string, args ...any) Row {
		return Row{Check: "key_accepted", Status: status, Message: fmt.Sprintf(format, args...)}
	}
	raw, err := client.Raw(ctx, openai.RawRequest{Method: http.MethodGet, Path: "vector_stores", Query: queryOf([]string{"limit", "1"})})
	if err != nil {
		return row(Failed, "%s. If only the cluster reaches the server, run the check there.", capitalized(strings.TrimSuffix(upstream.AsError(err).Message, ".")))
	}
	r := response{raw}
	message := r.describe()
	if r.Message != "" {
		message += ": " + strings.TrimSuffix(r.Message, ".")
	}
	switch {
	case r.HTML:
		return row(Failed, "The server returned an HTML page (HTTP %d), not JSON. Set OPENAI_BASE_URL to the base URL of an API; a gateway may show a login page for a key that it rejects.", r.StatusCode)
	case r.ok() && r.Body == nil:
		return row(Failed, "The response of the server is not JSON (HTTP %d). Set OPENAI_BASE_URL to the base URL of an API.", r.StatusCode)
	case r.ok():
		return row(OK, "The server accepts the key.")
	case r.StatusCode == http.StatusUnauthorized:
		return row(Failed, "The server rejected the key (%s). Replace OPENAI_API_KEY.", message)
	case r.StatusCode == http.StatusForbidden:
		return row(Failed, "The server does not permit the key to list vector stores (%s). Give it permissions for vector stores and files, and see OPENAI_ORG_ID and OPENAI_PROJECT_ID.", message)
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusMethodNotAllowed:
		return row(Failed, "The server has no list of vector stores (%s). See the path of OPENAI_BASE_URL: it is often /v1.", message)
	case r.StatusCode == http.StatusTooManyRequests:
		return row(Warning, "The server limits the rate, or the quota is exhausted (%s). Try again later, or see the plan and billing of the account.", message)
	case r.StatusCode >= 500:
		return row(Warning, "The server is not available (%s). Try again later.", message)
	}
	return row(Failed, "The server refused a list of vector stores (%s). See the values of the credentials.", message)
}

// capitalized returns a message as the beginning of a sentence, unless it begins with the name of a host.
func capitalized(message string) string {
	word, _, _ := strings.Cut(message, " ")
	if message == "" || strings.ContainsAny(word, ".:_") {
		return message
	}
	return strings.ToUpper(message[:1]) + message[1:]
}
