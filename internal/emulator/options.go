// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"io"
	"time"
)

// Limits that the API documents.
const (
	maxBatchFiles       = 2000
	maxStoreFiles       = 500
	maxAttributes       = 16
	maxAttributeKey     = 64
	maxAttributeValue   = 512
	minChunkTokens      = 100
	maxChunkTokens      = 4096
	autoChunkTokens     = 800
	autoOverlapTokens   = 400
	maxPageSize         = 100
	defaultPageSize     = 20
	maxUploadPageSize   = 10000
	defaultFilesMinute  = 2000
	defaultAttachMinute = 300
)

const (
	defaultMaxBodyBytes = 64 << 20
	defaultMaxCalls     = 100_000
	// maxAdminBodyBytes limits the body of a request to the admin API.
	maxAdminBodyBytes = 1 << 20
	// maxFormBytes is the room for the fields of a form around an upload.
	maxFormBytes = 1 << 20
)

// Options configure a Server. The zero value accepts any key, processes files immediately, and
// has no vector store.
type Options struct {
	// APIKeys are the bearer tokens that are accepted. If empty, every non-empty token is.
	APIKeys []string
	// Organization is the value of the openai-organization response header; empty omits it.
	Organization string
	// Profile is the name of the Profile to show; ProfileOpenAI by default. New panics if there is no
	// such profile.
	Profile string
	// Strict adds the lines of the profile that are marked as strict.
	Strict bool
	// VectorStores are the IDs of the stores that exist at the start.
	VectorStores []string
	// Clock returns the current time; time.Now by default. Processing depends on nothing else, so
	// a test that sets the clock is repeatable.
	Clock func() time.Time
	// Seed makes the generated IDs the same in every run. Empty makes them random.
	Seed string
	// Log receives one line per request, without the key; nil disables it.
	Log io.Writer
	// MaxBodyBytes limits the body of a request; a longer one gets a 413. 64 MiB by default.
	MaxBodyBytes int64
	// MaxCalls is the number of recorded calls; 100 000 by default. The oldest are dropped first.
	MaxCalls int
	// Settings can also be changed while the Server runs. Behaviors that are not zero replace those
	// of the profile.
	Settings
}

// Settings are the options that can be changed while the Server runs, with Server.Configure or
// PATCH /_emulator/settings.
type Settings struct {
	// Pace is the time to process one file. With zero, the next request finds every file
	// processed. A change applies to the files that are not processed yet.
	Pace time.Duration `json:"-"`
	// Parallel is the number of files of a batch that are processed at a time; 1 by default.
	Parallel int `json:"parallel"`
	// CancelDelay is the time until a cancel takes effect. Processing continues until then, so a
	// batch can still complete.
	CancelDelay time.Duration `json:"-"`
	// Minute is the window of the rate limits; a minute by default.
	Minute time.Duration `json:"-"`
	// AttachRequests is the number of requests per Minute that attach files to one vector store;
	// 300 by default.
	AttachRequests int `json:"attach_requests"`
	// AttachedFiles is the number of files attached per Minute, across all stores; 2000 by
	// default.
	AttachedFiles int `json:"attached_files"`
	// Behaviors are those of the profile, and the changes to them.
	Behaviors
}

func (o Options) withDefaults(p Profile) (Options, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = defaultMaxBodyBytes
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = defaultMaxCalls
	}
	selected, err := p.Select(o.Strict)
	if err != nil {
		return Options{}, err
	}
	overlay(&selected, o.Behaviors)
	o.Behaviors = selected.clone()
	o.Settings = o.Settings.withDefaults()
	return o, nil
}

func (s Settings) withDefaults() Settings {
	s.Pace = max(s.Pace, 0)
	s.CancelDelay = max(s.CancelDelay, 0)
	if s.Parallel <= 0 {
		s.Parallel = 1
	}
	if s.Minute <= 0 {
		s.Minute = time.Minute
	}
	if s.AttachRequests <= 0 {
		s.AttachRequests = defaultAttachMinute
	}
	if s.AttachedFiles <= 0 {
		s.AttachedFiles = defaultFilesMinute
	}
	s.Behaviors = s.Behaviors.withDefaults()
	return s
}
