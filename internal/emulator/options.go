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
)

// Options configure a Server. The zero value accepts any key, processes files immediately, and
// has no vector store.
type Options struct {
	// APIKeys are the bearer tokens that are accepted. If empty, every non-empty token is.
	APIKeys []string
	// Organization is the value of the openai-organization response header; empty omits it.
	Organization string
	// BasePath is the prefix of the API's paths; /v1 by default. Paths without it work too.
	BasePath string
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
	// Settings can also be changed while the Server runs.
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
	// CancellingStatus is the status of a batch until its cancel takes effect; in_progress by
	// default. Older versions of the API documentation have cancelling.
	CancellingStatus string `json:"cancelling_status"`
	// RejectLateCancel responds with 400 to the cancel of a finished batch, as some compatible
	// servers do. OpenAI responds with 200 and changes nothing.
	RejectLateCancel bool `json:"reject_late_cancel"`
	// StrictFiles responds with 404 if a file to attach was never uploaded. Otherwise attaching
	// creates the file, so that example manifests work unchanged.
	StrictFiles bool `json:"strict_files"`
	// EnforceLimits enables the rate limits: AttachRequests per vector store and AttachedFiles
	// across all stores, per Minute.
	EnforceLimits bool `json:"enforce_limits"`
	// Minute is the window of the rate limits; a minute by default.
	Minute time.Duration `json:"-"`
	// AttachRequests is the number of requests per Minute that attach files to one vector store;
	// 300 by default.
	AttachRequests int `json:"attach_requests"`
	// AttachedFiles is the number of files attached per Minute, across all stores; 2000 by
	// default.
	AttachedFiles int `json:"attached_files"`
	// BatchIDPrefix is the prefix of the IDs of new batches; vsfb_ by default. The IDs in requests
	// must begin with it too, up to its first underscore.
	BatchIDPrefix string `json:"batch_id_prefix"`
	// BatchObject is the object field of a batch; vector_store.file_batch by default, which is
	// what OpenAI sends in contradiction to its schema.
	BatchObject string `json:"batch_object"`
	// ExtraFields adds an undocumented field to every object.
	ExtraFields bool `json:"extra_fields"`
	// DriftingCreation adds a second to the created_at of a retrieved batch, as observed on
	// OpenAI's API.
	DriftingCreation bool `json:"drifting_creation"`
}

func (o Options) withDefaults() Options {
	if o.BasePath == "" {
		o.BasePath = "/v1"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = defaultMaxBodyBytes
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = defaultMaxCalls
	}
	o.Settings = o.Settings.withDefaults()
	return o
}

func (s Settings) withDefaults() Settings {
	s.Pace = max(s.Pace, 0)
	s.CancelDelay = max(s.CancelDelay, 0)
	if s.Parallel <= 0 {
		s.Parallel = 1
	}
	if s.CancellingStatus == "" {
		s.CancellingStatus = statusInProgress
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
	if s.BatchIDPrefix == "" {
		s.BatchIDPrefix = "vsfb_"
	}
	if s.BatchObject == "" {
		s.BatchObject = "vector_store.file_batch"
	}
	return s
}
