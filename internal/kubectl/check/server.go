// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// Server examines the behavior of a server.
type Server struct {
	Client *openai.Client
	// BaseURL is the base URL of the Client. It defaults to that of OpenAI.
	BaseURL string
	// Write permits to create objects on the server.
	Write bool
	// Timeout bounds the processing of each batch. The Client bounds each request.
	Timeout time.Duration
	// Settle is the time to wait for an effect that may be delayed, such as that of a detach. Defaults
	// to 5 s.
	Settle time.Duration
	// RetryDelay is the time until a call to a server that is not available is repeated. Defaults to 1 s.
	RetryDelay time.Duration
	// CleanupTimeout bounds the removal of what was created. Defaults to 2 minutes.
	CleanupTimeout time.Duration
	// Progress reports what is done. It can be nil.
	Progress func(text string)
	// Now returns the current time.
	Now func() time.Time
}

// Findings are what was observed of a server.
type Findings struct {
	// Host is the host of the base URL.
	Host string `json:"host"`
	// Behaviors do not differ between two runs, nor between two servers that behave in the same way.
	Behaviors []Behavior `json:"behaviors"`
	// Timing are the Behaviors that can differ between two runs.
	Timing []Behavior `json:"timing"`
	// Details are messages of the server, by the ID of a Behavior.
	Details map[string]string `json:"details"`
	// NotRemoved describes what was created on the server and could not be removed.
	NotRemoved []string `json:"notRemoved"`
}

// probe is a run of a Server.
type probe struct {
	Server
	// token is a part of the names of everything that the run creates.
	token   string
	seen    map[string]Behavior
	details map[string]string
	created inventory
	// objects that several steps use.
	store, other string
	plain        upload
	second       upload
	failing      upload
	main         batch
}

// step is a part of the examination. Its error makes its questions that are not answered unknown.
type step struct {
	name  string
	ids   []string
	write bool
	run   func(*probe, context.Context) error
}

// Examine asks all questions. It removes everything that it created, also if the context is canceled or
// a step fails.
func (s Server) Examine(ctx context.Context) Findings {
	p := &probe{
		Server: s.withDefaults(), token: strings.ToLower(rand.Text()[:10]),
		seen: map[string]Behavior{}, details: map[string]string{},
	}
	selected := steps(s.Write)
	for i, step := range selected {
		if ctx.Err() != nil {
			break
		}
		p.Progress(fmt.Sprintf("%d of %d: %s", i+1, len(selected), step.name))
		err := step.run(p, ctx)
		for _, id := range step.ids {
			if _, answered := p.seen[id]; !answered {
				p.unknown(id, cmp.Or(reason(err), "no answer"))
			}
		}
	}
	return p.findings(p.cleanUp(ctx))
}

func (s Server) withDefaults() Server {
	s.BaseURL = cmp.Or(s.BaseURL, upstream.DefaultBaseURL)
	s.Timeout = cmp.Or(s.Timeout, time.Minute)
	s.Settle = cmp.Or(s.Settle, 5*time.Second)
	s.RetryDelay = cmp.Or(s.RetryDelay, time.Second)
	s.CleanupTimeout = cmp.Or(s.CleanupTimeout, 2*time.Minute)
	if s.Progress == nil {
		s.Progress = func(string) {}
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	return s
}

// steps returns the steps in their order. A step uses the objects of those before it.
func steps(write bool) []step {
	all := append(readSteps(), writeSteps()...)
	var selected []step
	for _, step := range all {
		if write || !step.write {
			selected = append(selected, step)
		}
	}
	return selected
}

// findings returns the Behaviors in the order of the questions.
func (p *probe) findings(notRemoved []string) Findings {
	f := Findings{Behaviors: []Behavior{}, Timing: []Behavior{}, Details: p.details, NotRemoved: notRemoved}
	if parsed, err := url.Parse(p.BaseURL); err == nil {
		f.Host = parsed.Host
	}
	for _, q := range questions {
		if q.write && !p.Write {
			continue
		}
		b, answered := p.seen[q.id]
		if !answered {
			b = Behavior{Status: Unknown, Answer: "interrupted"}
		}
		b.ID, b.Question = q.id, q.text
		if q.timing {
			f.Timing = append(f.Timing, b)
			continue
		}
		f.Behaviors = append(f.Behaviors, b)
	}
	return f
}

// see records the answer to a question.
func (p *probe) see(id string, observed bool, answer string) {
	status := NotObserved
	if observed {
		status = Observed
	}
	p.seen[id] = Behavior{Status: status, Answer: p.Client.Sanitize(answer)}
}

// unknown records that a question could not be answered.
func (p *probe) unknown(id, reason string) { p.seen[id] = Behavior{Status: Unknown, Answer: reason} }

// seeResponse is see with the status of a response as the answer, and its message as a detail.
func (p *probe) seeResponse(id string, observed bool, r response) {
	p.see(id, observed, r.describe())
	if r.Message != "" {
		p.details[id] = r.Message
	}
}

// seeStatus records whether the response for something missing is another one than a 404.
func (p *probe) seeStatus(id string, r response) {
	p.seeResponse(id, r.StatusCode != http.StatusNotFound, r)
}

// name returns the name of an object that the run creates.
func (p *probe) name(suffix string) string { return namePrefix + p.token + suffix }

// namePrefix begins the names of all objects that kubectl vsfb check creates.
const namePrefix = "vsfb-check-"

// unknownID returns an ID that no object has.
func unknownID(prefix string) string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	return prefix + hex.EncodeToString(random)
}

// similarID returns an ID of the same form as another, that no object has.
func similarID(id string) string {
	changed := []byte(id)
	for i := len(changed) - 1; i >= 0 && i >= len(changed)-12; i-- {
		const digits = "0123456789abcdef"
		if at := strings.IndexByte(digits, changed[i]); at >= 0 {
			changed[i] = digits[(at+7)%len(digits)]
		}
	}
	return string(changed)
}

// reason describes the error of a step without what differs between runs.
func reason(err error) string {
	if err == nil {
		return ""
	}
	failed := upstream.AsError(err)
	switch {
	case failed.StatusCode != 0:
		return fmt.Sprintf("HTTP %d", failed.StatusCode)
	case failed.Err == nil || failed.Kind == upstream.Rejected:
		return failed.Message
	}
	return "no response"
}
