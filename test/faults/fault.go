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

// fault is something that goes wrong with one request.
type fault struct {
	name string
	// only is the beginning of the points that it can meet; empty for all of them.
	only []string
	// forward lets the server have the request, so that it takes effect.
	forward bool
	// kills says that it ends the managers.
	kills bool
	// streams says that it can meet a watch although it lets the server have it; writes, that it
	// meets no read.
	streams, writes bool
	// answer is what the manager gets in place of the server's answer, which is empty where the
	// request was not forwarded.
	answer func(x *exchange)
}

// injection is a fault that meets one request.
type injection struct {
	point string
	fault fault
}

// hangTime is how long a request hangs at most: past the manager's time limits for a call and
// for a write.
const hangTime = 17 * time.Second

// How long an outage lasts: that of the API server outlasts the time for which the manager waits
// for a write of the batch's ID.
const apiServerOutage, upstreamOutage = 20 * time.Second, 5 * time.Second

// bodied are the calls that are answered with a batch.
var bodied = []string{"up.create", "up.retrieve", "up.cancel"}

var faults = []fault{
	{name: "kill-before", kills: true, answer: (*exchange).kill},
	{name: "kill-unanswered", forward: true, kills: true, answer: (*exchange).kill},
	{name: "kill-answered", forward: true, kills: true, answer: func(x *exchange) { x.deliver(); x.kill() }},
	{name: "terminate", forward: true, answer: (*exchange).terminate},
	{name: "cut-before", answer: (*exchange).cut},
	{name: "cut-after", forward: true, answer: (*exchange).cut},
	{name: "outage", only: []string{"api."}, answer: func(x *exchange) { x.outage(apiServerOutage) }},
	{name: "outage", only: []string{"up."}, answer: func(x *exchange) { x.outage(upstreamOutage) }},
	{name: "timeout", forward: true, answer: (*exchange).hang},
	{name: "500", only: []string{"up."}, answer: func(x *exchange) {
		x.send(http.StatusInternalServerError, nil, `{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}`)
	}},
	{name: "429-seconds", only: []string{"up."}, answer: func(x *exchange) { x.slowDown("1") }},
	{name: "429-date", only: []string{"up."}, answer: func(x *exchange) {
		x.slowDown(time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat))
	}},
	{name: "truncated", only: []string{"up.", "api.secret", "api.list"}, forward: true, answer: (*exchange).truncate},
	{name: "foreign-body", only: []string{"up."}, forward: true, answer: (*exchange).foreignBody},
	{name: "unknown-status", only: bodied, forward: true, answer: (*exchange).unknownStatus},
	{name: "html", only: []string{"up."}, forward: true, answer: func(x *exchange) {
		x.send(http.StatusBadGateway, http.Header{"Content-Type": {"text/html"}}, "<html><body><h1>502 Bad Gateway</h1></body></html>")
	}},
	{name: "html-200", only: []string{"up."}, forward: true, answer: func(x *exchange) {
		x.send(http.StatusOK, http.Header{"Content-Type": {"text/html"}}, "<html><body>Please sign in.</body></html>")
	}},
	{name: "500", only: []string{"api."}, answer: func(x *exchange) { x.refuse(http.StatusInternalServerError, "InternalError") }},
	{name: "conflict", only: []string{"api."}, writes: true, answer: func(x *exchange) { x.refuse(http.StatusConflict, "Conflict") }},
	{name: "429", only: reads, answer: func(x *exchange) {
		x.w.Header().Set("Retry-After", "1")
		x.refuse(http.StatusTooManyRequests, "TooManyRequests")
	}},
	{name: "stale", only: []string{"api.list"}, answer: (*exchange).stale},
	{name: "cut-in-event", only: []string{"api.watch"}, streams: true, answer: func(x *exchange) { x.stream(watching{truncate: true}) }},
	{name: "cut-after-event", only: []string{"api.watch"}, streams: true, answer: func(x *exchange) { x.stream(watching{cut: true}) }},
	{name: "late", only: []string{"api.watch"}, streams: true, answer: func(x *exchange) { x.stream(watching{lag: watchLag}) }},
	{name: "expired", only: []string{"api.watch"}, answer: (*exchange).expire},
}

// rendezvous holds a write of the intent back until another manager comes with one: both have
// then seen an object for which nothing was started.
var rendezvous = fault{name: "rendezvous", answer: func(x *exchange) {
	x.await("api.intent", 2)
	if err := x.forward(x.r.Context()); err != nil {
		x.cut()
		return
	}
	x.deliver()
}}

// await waits until so many requests of a kind were received, or the manager gives up.
func (x *exchange) await(op string, number int) {
	for {
		count, changed := x.proxy.journal.count(op)
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

// meets reports whether the fault can meet a point. A watch has no end, so it cannot be forwarded
// before it is answered.
func (f fault) meets(point string) bool {
	reading := slices.ContainsFunc(reads, func(op string) bool { return strings.HasPrefix(point, op) })
	if reading && f.writes || strings.HasPrefix(point, "api.watch") && f.forward {
		return false
	}
	for _, prefix := range f.only {
		if strings.HasPrefix(point, prefix) {
			return true
		}
	}
	return len(f.only) == 0
}

// faultNamed is the fault of a name that can meet a point.
func faultNamed(name, point string) fault {
	for _, f := range faults {
		if f.name == name && f.meets(point) {
			return f
		}
	}
	panic("there is no fault " + name + " for " + point)
}

// kill ends the managers at once, and starts others.
func (x *exchange) kill() {
	x.proxy.managers.restart()
	x.cut()
}

// terminate asks the managers to end, gives the answer, and starts others when they have ended.
func (x *exchange) terminate() {
	// What they still have to send must not queue behind this request, which waits for their end.
	x.w.Header().Set("Connection", "close")
	x.proxy.managers.terminate(x.deliver)
}

// cut ends the connection without another word.
func (x *exchange) cut() {
	connection, _, err := http.NewResponseController(x.w).Hijack()
	if err == nil {
		_ = connection.Close() // there is nobody to tell
	}
}

// outage makes the server take no request for a while. Watches that are open go on.
func (x *exchange) outage(lasts time.Duration) {
	x.proxy.journal.note(func() { x.proxy.downUntil = time.Now().Add(lasts) })
	x.cut()
}

// hang lets the manager wait until it gives up.
func (x *exchange) hang() {
	timer := time.NewTimer(hangTime)
	defer timer.Stop()
	select {
	case <-x.r.Context().Done():
	case <-timer.C:
	}
	x.cut()
}

func (x *exchange) slowDown(retryAfter string) {
	x.send(http.StatusTooManyRequests, http.Header{"Retry-After": {retryAfter}},
		`{"error":{"message":"Rate limit reached.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`)
}

// refuse answers as the API server does.
func (x *exchange) refuse(status int, reason string) {
	x.send(status, nil, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"injected","reason":%q,"code":%d}`, reason, status))
}

// truncate announces the whole answer, and breaks off in the middle of it.
func (x *exchange) truncate() {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Length", fmt.Sprint(len(x.answer.body)))
	x.w.WriteHeader(x.answer.status)
	_, _ = x.w.Write(x.answer.body[:len(x.answer.body)/2]) // the manager may be gone
	_ = http.NewResponseController(x.w).Flush()            // likewise
	x.cut()
}

// foreignBody answers with the vector store, as a known fault of the upstream does. It says that
// it is completed, which must not be taken for the batch's word.
func (x *exchange) foreignBody() {
	store, err := x.proxy.vectorStore(x.r)
	if err == nil {
		store, err = withStatus(store, "completed")
	}
	if err != nil {
		x.send(http.StatusBadGateway, nil, err.Error())
		return
	}
	x.send(http.StatusOK, nil, string(store))
}

// unknownStatus puts a word into the answer that is newer than the operator.
func (x *exchange) unknownStatus() {
	if body, err := withStatus(x.answer.body, "validating"); err == nil {
		x.answer.body = body
	}
	x.deliver()
}

func withStatus(body []byte, status string) ([]byte, error) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("reading the object: %w", err)
	}
	object["status"] = status
	return json.Marshal(object)
}
