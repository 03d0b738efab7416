// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"io"
	"time"
)

// The documented limits of the API.
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
	// adminBodyBytes bounds a body sent to the admin side.
	adminBodyBytes = 1 << 20
)

// Options is what a Server is made with. The zero value works: any key is taken, files are
// processed at once, and there is no vector store yet.
type Options struct {
	// APIKeys are the bearer tokens that are let in. With none, any that is not empty is.
	APIKeys []string
	// Organization is sent as the openai-organization header, where it is set.
	Organization string
	// BasePath comes before every path of the API; /v1 by default. Requests without it are
	// served as well.
	BasePath string
	// VectorStores are the IDs of stores that exist from the start.
	VectorStores []string
	// Clock tells the time; time.Now by default. What was processed is worked out from it
	// whenever somebody asks, so a clock that is set by hand makes everything repeatable.
	Clock func() time.Time
	// Seed makes the generated IDs the same in every run. Empty means different ones.
	Seed string
	// Log gets one line a request, without the key; nil means none.
	Log io.Writer
	// MaxBodyBytes bounds the body of a request; beyond it the answer is 413. 64 MiB by default.
	MaxBodyBytes int64
	// MaxCalls is how many received requests are remembered; 100 000 by default. The oldest go
	// first.
	MaxCalls int
	// Settings are those that can be changed later too.
	Settings
}

// Settings are the options that can be changed while the Server runs, by Server.Configure or
// by a PATCH of /_emulator/settings.
type Settings struct {
	// Pace is how long the processing of one file takes. Zero: everything that was attached is
	// processed when it is next looked at. A change applies to what is still to be processed.
	Pace time.Duration `json:"-"`
	// Parallel is how many files of a batch are processed at a time; 1 by default.
	Parallel int `json:"parallel"`
	// CancelDelay is how long a cancel takes to have its effect. Processing goes on meanwhile,
	// so a batch can still complete.
	CancelDelay time.Duration `json:"-"`
	// CancellingStatus is a batch's status between a cancel and its effect; in_progress by
	// default. Older documents of the API said cancelling.
	CancellingStatus string `json:"cancelling_status"`
	// RejectLateCancel answers 400 to the cancel of a finished batch, as some compatible
	// servers do. OpenAI answers 200 and changes nothing.
	RejectLateCancel bool `json:"reject_late_cancel"`
	// StrictFiles answers 404 to attaching a file that was not uploaded. Otherwise such a file
	// springs into being, so that example manifests work as they are.
	StrictFiles bool `json:"strict_files"`
	// EnforceLimits turns the rate limits on: AttachRequests a vector store and AttachedFiles
	// altogether, in every Minute.
	EnforceLimits bool `json:"enforce_limits"`
	// Minute is the length of the window in which the rate limits count; a minute by default.
	Minute time.Duration `json:"-"`
	// AttachRequests is how many attaching requests a vector store takes in a Minute; 300 by
	// default.
	AttachRequests int `json:"attach_requests"`
	// AttachedFiles is how many files may be attached in a Minute, all stores together; 2000
	// by default.
	AttachedFiles int `json:"attached_files"`
	// BatchIDPrefix begins the ID of every new batch; vsfb_ by default. Up to its first
	// underscore it is also demanded of the IDs in requests.
	BatchIDPrefix string `json:"batch_id_prefix"`
	// BatchObject is the object field of a batch; vector_store.file_batch by default, which is
	// what OpenAI sends although its schema says otherwise.
	BatchObject string `json:"batch_object"`
	// ExtraFields puts a field that no client knows into every object.
	ExtraFields bool `json:"extra_fields"`
	// DriftingCreation reports a batch's created_at one second later than its creation did, as
	// was seen of OpenAI.
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
