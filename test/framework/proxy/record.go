// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Hook is called for each request before the server has it, and again, with a Status, after the server
// has answered and before the manager has the answer. It may block. If it returns a status other than
// 0 before the server has the request, that is the answer, and the server never has the request. If it
// returns Cut, the connection is closed instead, before the request or the answer is forwarded.
type Hook func(r Request) (status int)

// Cut is what a Hook returns to close the connection of the manager without an answer.
const Cut = -1

// Recorder records requests, and calls a hook for each. Several proxies may share it.
type Recorder struct {
	mu       sync.Mutex
	hook     Hook
	requests []Request
}

// SetHook sets the hook; nil removes it.
func (c *Recorder) SetHook(hook Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

// AllRequests returns the requests that were answered, in the order of the answers.
func (c *Recorder) AllRequests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Requests returns those of one operation.
func (c *Recorder) Requests(operation Operation) []Request {
	return slices.DeleteFunc(c.AllRequests(), func(r Request) bool { return r.Operation != operation })
}

func (c *Recorder) add(r Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
}

func (c *Recorder) call(r Request) int {
	c.mu.Lock()
	hook := c.hook
	c.mu.Unlock()
	if hook == nil {
		return 0
	}
	return hook(r)
}

// serve answers a request with the answer to forward, and calls the hook before and after that.
func (c *Recorder) serve(ctx context.Context, w http.ResponseWriter, request Request, forward func(ctx context.Context) (*http.Response, error)) {
	if status := c.call(request); status != 0 {
		request.Status = status
		c.add(request)
		refuse(w, status)
		return
	}
	// A request that the server has takes effect, even if the manager is gone.
	response, err := forward(context.WithoutCancel(ctx))
	if err != nil {
		refuse(w, http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		refuse(w, http.StatusBadGateway)
		return
	}
	request.Status = response.StatusCode
	c.add(request)
	if c.call(request) == Cut {
		cut()
	}
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(answer) // the manager may be gone
}

// cut closes the connection of the request that is being served.
func cut() { panic(http.ErrAbortHandler) }

// refuse answers as the API server does, or cuts the connection.
func refuse(w http.ResponseWriter, status int) {
	if status == Cut {
		cut()
	}
	reasons := map[int]metav1.StatusReason{http.StatusConflict: metav1.StatusReasonConflict}
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: reasons[status], Code: int32(status), Message: "refused by the test",
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the manager may be gone
}

// Gate blocks the first request that arrives at it.
type Gate struct {
	reached, opened  chan struct{}
	reaching, opener sync.Once
}

// NewGate returns a closed gate, which opens at the end of the test.
func NewGate(t testing.TB) *Gate {
	g := &Gate{reached: make(chan struct{}), opened: make(chan struct{})}
	t.Cleanup(g.Open)
	return g
}

// Wait blocks its first caller until the gate opens. It returns at once for all others.
func (g *Gate) Wait() {
	first := false
	g.reaching.Do(func() { first = true; close(g.reached) })
	if first {
		<-g.opened
	}
}

// Open opens the gate.
func (g *Gate) Open() { g.opener.Do(func() { close(g.opened) }) }

// WaitReached waits until the gate blocks a request. The test ends if none arrives.
func (g *Gate) WaitReached(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	select {
	case <-g.reached:
	case <-ctx.Done():
		t.Fatal("no request arrived at the gate")
	}
}
