// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sync makes the files of a vector store equal to a folder. Package fileset plans; this package
// observes and performs, and repeats both until nothing is left to do. Everything that a run changes is
// recorded before, so that it can be killed at any moment.
package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// API is the part of the API that a run uses.
type API interface {
	upstream.Client
	upstream.Uploader
	upstream.StoreManager
}

// Document is a document of the folder.
type Document struct {
	fileset.Document
	// File is the file to upload. Its Path is the result of journalPath.
	File upload.File
}

// Options configure a Runner. All fields are required unless noted otherwise.
type Options struct {
	API         API
	VectorStore string
	Owner       string
	Documents   []Document
	// Protected are paths that are not pruned although the folder does not have them.
	Protected []string
	Policy    fileset.Policy
	// Chunking describes the chunking strategy as for fileset.Version. It can be empty.
	Chunking string
	// Attacher attaches files.
	Attacher Attacher
	// FilesPerBatch is the maximum number of files that are attached at once.
	FilesPerBatch int
	// Concurrency is the number of parallel requests, and Attempts the maximum number of attempts for each.
	Concurrency, Attempts int
	// SettleTime is the time after which the server lists every change.
	SettleTime time.Duration
	// RecordPath is the path of the record. The caller holds a lock on it.
	RecordPath string
	// Journal records uploads. It is nil in a dry run.
	Journal *upload.Journal
	// Uploaded are the uploaded files by their IDs in a dry run.
	Uploaded map[string]upload.Uploaded
	// OnPlan is called with the first plan, before anything is changed.
	OnPlan func(fileset.Plan)
	// Progress shows the progress.
	Progress Progress
}

// Progress shows the progress of a run. Its methods must be safe for concurrent use.
type Progress interface {
	// Start starts a phase with a number of files and bytes. It ends the phase before.
	Start(phase string, files int, bytes int64)
	// Add adds files and bytes to those of the phase that are done.
	Add(files int, bytes int64)
	// Logf prints a line.
	Logf(format string, args ...any)
}

// Wave is a set of files that are attached together.
type Wave struct {
	Files []WaveFile
	// Common is true if the server ignores the settings of single files: the files get the owner as a
	// common attribute, and the rest later.
	Common bool
}

// WaveFile is a file of a Wave.
type WaveFile struct {
	FileID string
	Path   string
	// Version and Attributes are those of the document.
	Version    string
	Attributes map[string]any
}

// BatchState is the state of a batch.
type BatchState struct {
	Counts   upstream.FileCounts
	Finished bool
	// Stuck is why the batch needs the attention of a user; empty if it does not.
	Stuck string
}

// Attacher attaches files to the vector store.
type Attacher interface {
	// Attach starts to attach files, and returns an ID of the batch. It returns an error of kind Rejected
	// if the server refuses all of them because of one.
	Attach(ctx context.Context, wave Wave) (string, error)
	// Poll returns the state of a batch. An error of kind NotFound means that there is none.
	Poll(ctx context.Context, id string) (BatchState, error)
	// Running returns the batches of the set that are running, of whichever run. known are the IDs of those
	// that this machine has a record of.
	Running(ctx context.Context, known []string) (Running, error)
}

// Running are the batches that are running.
type Running struct {
	// Batches are their IDs.
	Batches map[string]bool
	// Files are the files of those that another machine may have started.
	Files []fileset.Upload
}

// Guarded is the error of a run that a guard refused.
type Guarded struct{ Refused []fileset.Action }

// Error returns why the run was refused.
func (g *Guarded) Error() string {
	text := "refused, so nothing was removed"
	for i, action := range g.Refused {
		if i == maxReasons {
			return fmt.Sprintf("%s\n  and %d more", text, len(g.Refused)-i)
		}
		text += "\n  " + action.Reason + remedies[action.Guard]
	}
	return text
}

// maxReasons is the maximum number of reasons in an error.
const maxReasons = 5

var remedies = map[fileset.Guard]string{
	fileset.GuardEmpty:      ": set --allow-empty if that is right",
	fileset.GuardMaxPrune:   ": set --max-prune if that is right",
	fileset.GuardAttributes: ". Without its attributes, each run would upload the file again",
}

// Runner makes a vector store equal to documents.
type Runner struct {
	Options
	record    *record
	documents map[string]Document

	// The state of this run.
	fresh    map[string]bool      // files that it attached, by ID
	detached map[string]time.Time // files that it detached, by ID
	updated  map[string]time.Time // files whose attributes it updated, by ID
	active   map[string]time.Time // until when a listing may not have files, by ID
	missing  map[string]bool      // uploads that no longer exist, by ID
	rejected map[string]string    // why documents cannot be uploaded or attached, by path
	verified bool                 // the server keeps attributes
	bytes    int64                // uploaded
	lost     []string             // as in Outcome
}

// Outcome is the result of a run.
type Outcome struct {
	// First and Last are the first plan and the last one.
	First, Last fileset.Plan
	// Rejected is why documents cannot be uploaded or attached, by path.
	Rejected map[string]string
	// Bytes is the number of uploaded bytes.
	Bytes int64
	// Lost are the paths of uploads whose response was lost and whose file is not listed. The API can have
	// another file for each.
	Lost []string
}

// Run runs until the vector store is in step. It returns the plans that it made, even with an error.
func (o Options) Run(ctx context.Context) (Outcome, error) {
	r := &Runner{
		Options: o, documents: map[string]Document{}, fresh: map[string]bool{}, detached: map[string]time.Time{},
		updated: map[string]time.Time{}, active: map[string]time.Time{}, rejected: map[string]string{}, missing: map[string]bool{},
	}
	for _, d := range o.Documents {
		r.documents[d.Path] = d
	}
	outcome := Outcome{Rejected: r.rejected}
	err := r.open(ctx)
	if err == nil {
		err = r.loop(ctx, &outcome)
		err = errors.Join(err, r.record.close())
	}
	outcome.Bytes, outcome.Lost = r.bytes, r.lost
	return outcome, err
}

// DryRun returns the first plan, and changes nothing.
func (o Options) DryRun(ctx context.Context) (fileset.Plan, error) {
	r := &Runner{Options: o}
	var err error
	if r.record, err = openRecord(o.RecordPath, true); err != nil {
		return fileset.Plan{}, err
	}
	r.merge(o.Uploaded)
	input, err := r.observe(ctx)
	if err != nil {
		return fileset.Plan{}, err
	}
	return fileset.New(input), nil
}

// open opens the record, and resolves what an earlier run left open.
func (r *Runner) open(ctx context.Context) (err error) {
	if r.record, err = openRecord(r.RecordPath, false); err != nil {
		return err
	}
	if r.Journal.Interrupted() {
		// An upload that is no longer wanted is resolved too, so that its file is deleted.
		if _, err := r.uploader().Run(ctx, nil); err != nil {
			return err
		}
	}
	return r.record.put(r.merge(r.Journal.Uploaded())...)
}

// merge adds uploaded files to the record that it does not have, and returns them.
func (r *Runner) merge(uploaded map[string]upload.Uploaded) []recorded {
	var added []recorded
	for id, journaled := range uploaded {
		if _, exists := r.record.files[id]; exists {
			continue
		}
		if version, path, ok := parseJournalPath(journaled.Path); ok {
			f := recorded{FileID: id, Path: path, Version: version}
			if !r.hasVersion(journaled, version) {
				f.Version = "changed" // it is deleted
			}
			r.record.apply(f)
			added = append(added, f)
		}
	}
	return added
}

// hasVersion reports whether an uploaded file has the content of a version. A document can change between
// the scan and its upload.
func (r *Runner) hasVersion(u upload.Uploaded, version string) bool {
	return u.SHA256 == "" || fileset.Version(u.SHA256, r.Chunking) == version
}

const (
	minPoll = 250 * time.Millisecond
	maxPoll = 10 * time.Second
)

// loop plans and performs until nothing is left to do.
func (r *Runner) loop(ctx context.Context, outcome *Outcome) error {
	delay := minPoll
	for round := 0; ; round++ {
		input, err := r.observe(ctx)
		if err != nil {
			return err
		}
		plan := fileset.New(input)
		if round == 0 {
			outcome.First = plan
			r.OnPlan(plan)
		}
		outcome.Last = plan
		if refused := plan.Refused(); len(refused) > 0 {
			return errors.Join(&Guarded{refused}, r.cleanUp(ctx, plan))
		}
		if plan.InStep() {
			return nil
		}
		worked, err := r.perform(ctx, plan)
		if err != nil {
			return err
		}
		if worked {
			delay = minPoll
			continue
		}
		r.reportWaiting(plan)
		if err := sleep(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, maxPoll)
	}
}

// reportWaiting shows how many files a plan waits for.
func (r *Runner) reportWaiting(plan fileset.Plan) {
	waiting := len(only(plan, fileset.Wait))
	r.Progress.Start("Waiting for the vector store", waiting, 0)
}

func sleep(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
