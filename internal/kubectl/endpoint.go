// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// validID matches the IDs that a VectorStoreFileBatch accepts.
var validID = regexp.MustCompile(`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]{0,511}$`)

// confirmEndpoint returns an error unless files may be sent to the endpoint of a client. A Secret chooses
// the endpoint, and not everyone who can write the Secret may have the files of the user.
func (p *plugin) confirmEndpoint(ctx context.Context, client apiClient, permitted string, files int) error {
	switch {
	case permitted != "" && !client.isAt(permitted):
		return fmt.Errorf("files would be sent to %s, which is not --endpoint %s", client.target, permitted)
	case permitted != "", client.baseURL == upstream.DefaultBaseURL:
		return nil
	}
	yes, asked, err := p.ask(ctx, fmt.Sprintf("Send %s to %s?", counted(files, "file", "files"), client.target))
	switch {
	case err != nil:
		return fmt.Errorf("%w; nothing was uploaded", err)
	case !asked:
		return fmt.Errorf("files would be sent to %s: set --endpoint=%s to permit it", client.target, hostOf(client.baseURL))
	case !yes:
		return errors.New("not confirmed; nothing was uploaded")
	}
	return nil
}

// ask asks a question. It reports whether the answer is yes, and whether there is a terminal to ask on.
func (p *plugin) ask(ctx context.Context, question string) (yes, asked bool, err error) {
	if _, isTerminal := terminal.FromStream(p.Streams.In, ""); !isTerminal {
		return false, false, nil
	}
	_, _ = fmt.Fprintf(p.Streams.ErrOut, "%s [y/N] ", terminal.Escape(question))
	answers := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(p.Streams.In).ReadString('\n') // no answer is no
		answers <- answer
	}()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(p.Streams.ErrOut)
		return false, true, errors.New("interrupted")
	case answer := <-answers:
		return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))), true, nil
	}
}

// isAt reports whether the client's endpoint has a host or a base URL.
func (c apiClient) isAt(endpoint string) bool {
	if strings.Contains(endpoint, "://") {
		return (upstream.Connection{BaseURL: endpoint}).Identity().BaseURL == c.baseURL
	}
	return strings.EqualFold(endpoint, hostOf(c.baseURL))
}

// storeAttempts is the number of attempts to get a vector store.
const storeAttempts = 4

// checkVectorStore returns an error if the vector store does not exist or is expired, so that nothing is
// uploaded for it.
func (p *plugin) checkVectorStore(ctx context.Context, client apiClient, id string) error {
	var response openai.RawResponse
	err := upload.Retry(ctx, storeAttempts, func(ctx context.Context) (err error) {
		if response, err = client.Raw(ctx, openai.RawRequest{Method: http.MethodGet, Path: "vector_stores/" + id}); err != nil {
			return err
		}
		return storeError(response)
	})
	switch {
	case err == nil:
	case upstream.IsNotFound(err):
		return fmt.Errorf("vector store %s not found at %s, so nothing was uploaded: %w", id, client.target, err)
	case response.StatusCode == http.StatusForbidden, response.StatusCode == http.StatusMethodNotAllowed, response.StatusCode == http.StatusNotImplemented:
		p.notef("Could not check vector store %s: %v", id, err)
		return nil
	default:
		return fmt.Errorf("getting vector store %s from %s, before anything was uploaded: %w; --check-vector-store=false omits this", id, client.target, err)
	}
	body, isObject := response.Body.(map[string]any)
	if _, hasID := body["id"].(string); !isObject || !hasID {
		return fmt.Errorf("%s did not respond with vector store %s, so nothing was uploaded: check the base URL and the key", client.target, id)
	}
	if body["status"] == "expired" {
		return fmt.Errorf("vector store %s is expired, so nothing was uploaded", id)
	}
	return nil
}

// storeError returns the error that a response to the request for a vector store is.
func storeError(r openai.RawResponse) error {
	failure := &upstream.Error{StatusCode: r.StatusCode, Code: r.Code, Message: cmp.Or(r.Message, http.StatusText(r.StatusCode))}
	switch {
	case r.StatusCode < http.StatusMultipleChoices:
		return nil
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusBadRequest: // the latter is OGX
		failure.Kind = upstream.NotFound
	case r.StatusCode == http.StatusTooManyRequests:
		failure.Kind = upstream.RateLimited
	case r.StatusCode >= http.StatusInternalServerError && r.StatusCode != http.StatusNotImplemented:
		failure.Kind = upstream.Transient
	case r.StatusCode == http.StatusUnauthorized:
		failure.Kind = upstream.Unauthorized
	default:
		failure.Kind = upstream.Rejected
	}
	return failure
}

// openJournal opens the journal of uploads to the endpoint of a client. path overrides its path.
func (p *plugin) openJournal(client apiClient, path string) (*upload.Journal, error) {
	path, err := p.journalPath(client, path)
	if err != nil {
		return nil, err
	}
	journal, err := upload.OpenJournal(path, client.account)
	if errors.Is(err, upload.ErrInUse) {
		return nil, fmt.Errorf("another kubectl vsfb uses the journal %s: wait until it is finished, or set --journal", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; set --journal to use another file", err)
	}
	return journal, nil
}

// journalPath returns the path of the journal. Each endpoint, organization and project has its own
// journal, because file IDs are not valid elsewhere.
func (p *plugin) journalPath(client apiClient, path string) (string, error) {
	if path != "" {
		return path, nil
	}
	directory, err := p.journalDirectory()
	return filepath.Join(directory, "uploads-"+client.scope+".jsonl"), err
}

func (p *plugin) journalDirectory() (string, error) {
	directory := p.Env("XDG_STATE_HOME")
	if !filepath.IsAbs(directory) {
		home := p.Env("HOME")
		if !filepath.IsAbs(home) {
			return "", errors.New("no directory for the journal, because $HOME is not set: set --journal")
		}
		directory = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(directory, "kubectl-vsfb"), nil
}

// digest returns a short hash of strings.
func digest(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:8])
}
