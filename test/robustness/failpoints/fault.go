// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fault is an error that is injected into one request.
type fault struct {
	name string
	// only are prefixes of the failpoints that it applies to; empty means all of them.
	only []string
	// forward sends the request to the server first, so that it takes effect.
	forward bool
	// kills means that it kills the managers.
	kills bool
	// streams means that it applies to a watch although it forwards it; writes means that it
	// applies to no read.
	streams, writes bool
	// respond responds to the manager in place of the server. The server's response is empty if
	// the request was not forwarded.
	respond func(x *exchange)
}

// injection is a fault at one failpoint.
type injection struct {
	failpoint string
	fault     fault
}

// hangTime is how long a request hangs at most: longer than the manager's timeouts for a call and
// for a write.
const hangTime = 17 * time.Second

// The length of an outage. That of the API server exceeds the time for which the manager retries a
// write of the batch's ID.
const apiServerOutage, openAIOutage = 20 * time.Second, 5 * time.Second

// batchResponses are the calls whose response is a batch.
var batchResponses = []string{"openai.create-batch", "openai.retrieve-batch", "openai.cancel-batch"}

var faults = []fault{
	{name: "kill-before", kills: true, respond: (*exchange).kill},
	{name: "kill-unanswered", forward: true, kills: true, respond: (*exchange).kill},
	{name: "kill-answered", forward: true, kills: true, respond: func(x *exchange) { x.deliver(); x.kill() }},
	{name: "terminate", forward: true, respond: (*exchange).terminate},
	{name: "cut-before", respond: (*exchange).cut},
	{name: "cut-after", forward: true, respond: (*exchange).cut},
	{name: "outage", only: []string{"kube."}, respond: func(x *exchange) { x.outage(apiServerOutage) }},
	{name: "outage", only: []string{"openai."}, respond: func(x *exchange) { x.outage(openAIOutage) }},
	{name: "timeout", forward: true, respond: (*exchange).hang},
	{name: "500", only: []string{"openai."}, respond: func(x *exchange) {
		x.send(http.StatusInternalServerError, nil, `{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}`)
	}},
	{name: "429-seconds", only: []string{"openai."}, respond: func(x *exchange) { x.tooManyRequests("1") }},
	{name: "429-date", only: []string{"openai."}, respond: func(x *exchange) {
		x.tooManyRequests(time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat))
	}},
	{name: "truncated", only: []string{"openai.", "kube.read-secret", "kube.list-objects"}, forward: true, respond: (*exchange).truncate},
	{name: "foreign-body", only: []string{"openai."}, forward: true, respond: (*exchange).foreignBody},
	{name: "unknown-status", only: batchResponses, forward: true, respond: (*exchange).unknownStatus},
	{name: "html", only: []string{"openai."}, forward: true, respond: func(x *exchange) {
		x.send(http.StatusBadGateway, http.Header{"Content-Type": {"text/html"}}, "<html><body><h1>502 Bad Gateway</h1></body></html>")
	}},
	{name: "html-200", only: []string{"openai."}, forward: true, respond: func(x *exchange) {
		x.send(http.StatusOK, http.Header{"Content-Type": {"text/html"}}, "<html><body>Please sign in.</body></html>")
	}},
	{name: "500", only: []string{"kube."}, respond: func(x *exchange) { x.refuse(http.StatusInternalServerError, "InternalError") }},
	{name: "conflict", only: []string{"kube."}, writes: true, respond: func(x *exchange) { x.refuse(http.StatusConflict, "Conflict") }},
	{name: "429", only: reads, respond: func(x *exchange) {
		x.w.Header().Set("Retry-After", "1")
		x.refuse(http.StatusTooManyRequests, "TooManyRequests")
	}},
	{name: "stale", only: []string{"kube.list-objects"}, respond: (*exchange).stale},
	{name: "cut-in-event", only: []string{"kube.watch-objects"}, streams: true, respond: func(x *exchange) { x.stream(watchFault{truncate: true}) }},
	{name: "cut-after-event", only: []string{"kube.watch-objects"}, streams: true, respond: func(x *exchange) { x.stream(watchFault{cut: true}) }},
	{name: "late", only: []string{"kube.watch-objects"}, streams: true, respond: func(x *exchange) { x.stream(watchFault{lag: watchLag}) }},
	{name: "expired", only: []string{"kube.watch-objects"}, respond: (*exchange).expire},
}

// rendezvous delays the create-pending write until another manager sends one too: both managers
// have then read an object without a create in progress.
var rendezvous = fault{name: "rendezvous", respond: func(x *exchange) {
	x.await("kube.set-create-pending", 2)
	if err := x.forward(x.r.Context()); err != nil {
		x.cut()
		return
	}
	x.deliver()
}}

// await waits until the proxy has received a number of requests of one operation, or the manager gives up.
func (x *exchange) await(op string, number int) {
	for {
		count, changed := x.injector.history.count(op)
		if count >= number {
			return
		}
		select {
		case <-x.r.Context().Done():
			return
		case <-changed:
		}
	}
}

// appliesTo reports whether the fault can be injected at a failpoint. A watch has no end, so it
// cannot be forwarded before it is answered.
func (f fault) appliesTo(failpoint string) bool {
	reading := slices.ContainsFunc(reads, func(op string) bool { return strings.HasPrefix(failpoint, op) })
	if reading && f.writes || strings.HasPrefix(failpoint, "kube.watch-objects") && f.forward {
		return false
	}
	for _, prefix := range f.only {
		if strings.HasPrefix(failpoint, prefix) {
			return true
		}
	}
	return len(f.only) == 0
}

// loses returns the injection of a fault that loses the response at a failpoint.
func loses(failpoint string) injection {
	for _, f := range faults {
		if f.name == "cut-after" && f.appliesTo(failpoint) {
			return injection{failpoint, f}
		}
	}
	panic("no fault cut-after applies to " + failpoint)
}

// kill kills the managers and starts new ones.
func (x *exchange) kill() {
	x.injector.managers.restart()
	x.cut()
}

// terminate sends SIGTERM to the managers, delivers the response, and starts new managers when they have exited.
func (x *exchange) terminate() {
	// Other requests of the managers must not queue behind this one, which waits for their exit.
	x.w.Header().Set("Connection", "close")
	x.injector.managers.terminate(x.deliver)
}

// cut closes the client's connection without a response.
func (x *exchange) cut() {
	connection, _, err := http.NewResponseController(x.w).Hijack()
	if err == nil {
		_ = connection.Close() // the client may be gone
	}
}

// outage makes the server refuse requests for a while. Open watches continue.
func (x *exchange) outage(lasts time.Duration) {
	x.injector.history.update(func() { x.injector.downUntil = time.Now().Add(lasts) })
	x.cut()
}

// hang blocks until the manager gives up.
func (x *exchange) hang() {
	timer := time.NewTimer(hangTime)
	defer timer.Stop()
	select {
	case <-x.r.Context().Done():
	case <-timer.C:
	}
	x.cut()
}

func (x *exchange) tooManyRequests(retryAfter string) {
	x.send(http.StatusTooManyRequests, http.Header{"Retry-After": {retryAfter}},
		`{"error":{"message":"Rate limit reached.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`)
}

// refuse responds with an error as the API server does.
func (x *exchange) refuse(status int, reason string) {
	x.send(status, nil, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"injected","reason":%q,"code":%d}`, reason, status))
}

// truncate announces the whole response and sends half of it.
func (x *exchange) truncate() {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Length", fmt.Sprint(len(x.response.body)))
	x.w.WriteHeader(x.response.status)
	_, _ = x.w.Write(x.response.body[:len(x.response.body)/2]) // the manager may be gone
	_ = http.NewResponseController(x.w).Flush()                // likewise
	x.cut()
}

// foreignBody responds with the vector store, as the OpenAI API is known to do. Its status is
// completed, which the manager must not take for the batch's status.
func (x *exchange) foreignBody() {
	store, err := x.injector.vectorStore(x.r)
	if err == nil {
		store, err = withStatus(store, "completed")
	}
	if err != nil {
		x.send(http.StatusBadGateway, nil, err.Error())
		return
	}
	x.send(http.StatusOK, nil, string(store))
}

// unknownStatus puts a status into the response that the operator does not know.
func (x *exchange) unknownStatus() {
	if body, err := withStatus(x.response.body, "validating"); err == nil {
		x.response.body = body
	}
	x.deliver()
}

func withStatus(body []byte, status string) ([]byte, error) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("decoding the object: %w", err)
	}
	object["status"] = status
	return json.Marshal(object)
}
