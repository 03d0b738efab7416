// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	stdsync "sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// perform performs the actions of a plan. It returns false if there was nothing but to wait.
func (r *Runner) perform(ctx context.Context, plan fileset.Plan) (worked bool, err error) {
	// What is replaced is removed first: it is what a run that is killed now has finished.
	for _, step := range []struct {
		kind    fileset.Kind
		perform func(context.Context, []fileset.Action) error
	}{
		{fileset.UpdateAttributes, r.updateAttributes}, {fileset.DetachFile, r.detach}, {fileset.DeleteFile, r.deleteFiles},
	} {
		if actions := only(plan, step.kind); len(actions) > 0 {
			worked = true
			if err := step.perform(ctx, actions); err != nil {
				return true, err
			}
		}
	}
	if add := only(plan, fileset.UploadFile, fileset.AttachFile); len(add) > 0 {
		return true, r.add(ctx, add)
	}
	return worked, nil
}

// only returns the actions of some kinds.
func only(plan fileset.Plan, kinds ...fileset.Kind) []fileset.Action {
	return slices.DeleteFunc(slices.Clone(plan.Actions), func(a fileset.Action) bool { return !slices.Contains(kinds, a.Kind) })
}

// retry repeats an idempotent call as upload.Retry does, and shows why.
func (r *Runner) retry(ctx context.Context, call func(context.Context) error) error {
	attempt := 0
	return upload.Retry(ctx, r.Attempts, func(ctx context.Context) error {
		err := call(ctx)
		attempt++
		if err != nil && ctx.Err() == nil && attempt < r.Attempts && (upstream.IsTransient(err) || upstream.IsRateLimited(err)) {
			r.Progress.Logf("Retrying: %v", err)
		}
		return err
	})
}

// each calls call for each action, several at a time.
func (r *Runner) each(ctx context.Context, phase string, actions []fileset.Action, call func(context.Context, fileset.Action) error) error {
	r.Progress.Start(phase, len(actions), 0)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.Concurrency)
	for _, action := range actions {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := call(ctx, action); err != nil {
				return err
			}
			r.Progress.Add(1, 0)
			return nil
		})
	}
	return group.Wait()
}

// updateAttributes sets all attributes of files.
func (r *Runner) updateAttributes(ctx context.Context, actions []fileset.Action) error {
	var mu stdsync.Mutex
	return r.each(ctx, "Updating attributes", actions, func(ctx context.Context, a fileset.Action) error {
		attributes := r.documents[a.Path].AllAttributes(r.Owner)
		err := r.retry(ctx, func(ctx context.Context) error {
			_, err := r.API.UpdateAttributes(ctx, r.VectorStore, a.FileID, attributes)
			return err
		})
		if IsGone(err) {
			return nil // the next list shows what became of it
		}
		if err != nil {
			return fmt.Errorf("updating the attributes of %s (%s): %w", a.Path, a.FileID, err)
		}
		mu.Lock()
		defer mu.Unlock()
		r.updated[a.FileID] = time.Now()
		return nil
	})
}

// IsGone reports whether a call failed because its object does not exist. OGX reports that with 400.
func IsGone(err error) bool {
	if err == nil {
		return false
	}
	failure := upstream.AsError(err)
	return failure.Kind == upstream.NotFound || failure.StatusCode == http.StatusBadRequest && strings.Contains(failure.Message, "not found")
}

// leave records that files are about to be detached. The journal forgets them, so that a document that
// returns is uploaded again.
func (r *Runner) leave(actions []fileset.Action) error {
	var leaving []recorded
	var ids []string
	for _, a := range actions {
		f, exists := r.record.files[a.FileID]
		if !exists {
			now := time.Now()
			f = recorded{FileID: a.FileID, Path: a.Path, Version: a.Version, AttachedAt: &now, Seen: true}
		}
		f.Leaving = true
		leaving, ids = append(leaving, f), append(ids, a.FileID)
	}
	return errors.Join(r.record.put(leaving...), r.Journal.Forget(ids...))
}

// detach detaches files.
func (r *Runner) detach(ctx context.Context, actions []fileset.Action) error {
	if err := r.leave(actions); err != nil {
		return err
	}
	var mu stdsync.Mutex
	return r.each(ctx, "Detaching", actions, func(ctx context.Context, a fileset.Action) error {
		err := r.retry(ctx, func(ctx context.Context) error { return r.API.Detach(ctx, r.VectorStore, a.FileID) })
		if err != nil && !IsGone(err) {
			return fmt.Errorf("detaching %s (%s): %w", a.Path, a.FileID, err)
		}
		mu.Lock()
		defer mu.Unlock()
		r.detached[a.FileID] = time.Now()
		return nil
	})
}

// deleteFiles deletes uploaded files, and forgets them.
func (r *Runner) deleteFiles(ctx context.Context, actions []fileset.Action) error {
	var mu stdsync.Mutex
	var ids []string
	var gone []recorded
	err := r.each(ctx, "Deleting files", actions, func(ctx context.Context, a fileset.Action) error {
		err := r.retry(ctx, func(ctx context.Context) error { return r.API.DeleteUpload(ctx, a.FileID) })
		if err != nil && !IsGone(err) {
			return fmt.Errorf("deleting the uploaded file of %s (%s): %w", a.Path, a.FileID, err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids, gone = append(ids, a.FileID), append(gone, recorded{FileID: a.FileID, Gone: true})
		return nil
	})
	return errors.Join(err, r.Journal.Forget(ids...), r.record.put(gone...))
}

// cleanUp removes what this run attached, after the plan was refused.
func (r *Runner) cleanUp(ctx context.Context, plan fileset.Plan) error {
	actions := only(plan, fileset.DetachFile)
	if len(actions) == 0 {
		return nil
	}
	if err := r.detach(ctx, actions); err != nil {
		return err
	}
	err := r.each(ctx, "Waiting until the files are detached", actions, func(ctx context.Context, a fileset.Action) error {
		for deadline := time.Now().Add(r.SettleTime); time.Now().Before(deadline); {
			if _, err := r.API.File(ctx, r.VectorStore, a.FileID); IsGone(err) {
				return nil
			}
			if err := sleep(ctx, minPoll); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.deleteFiles(ctx, actions)
}

// add uploads and attaches documents in waves. The first wave of a run shows whether the server keeps
// attributes, so the caller lists the files after it.
func (r *Runner) add(ctx context.Context, actions []fileset.Action) error {
	if err := r.forgetMissing(ctx, actions); err != nil {
		return err
	}
	var batches []string
	for _, wave := range r.waves(actions) {
		id, files, err := r.addWave(ctx, wave)
		if err != nil {
			return err
		}
		if id != "" {
			batches = append(batches, id)
		}
		if !r.verified {
			r.verified = len(files) > 0
			break
		}
	}
	return r.await(ctx, batches)
}

// maxWaveBytes is the maximum size of the settings of a wave. A Kubernetes object has at most 1.5 MB.
const maxWaveBytes = 512 << 10

// waves cuts actions into waves.
func (r *Runner) waves(actions []fileset.Action) [][]fileset.Action {
	var waves [][]fileset.Action
	size := 0
	for _, a := range actions {
		const id = 600 // the length of a file ID, and of the frame
		encoded, _ := json.Marshal(r.documents[a.Path].AllAttributes(r.Owner))
		size += len(encoded) + id
		last := len(waves) - 1
		if last < 0 || len(waves[last]) == r.FilesPerBatch || size > maxWaveBytes {
			waves, size = append(waves, nil), len(encoded)+id
			last++
		}
		waves[last] = append(waves[last], a)
	}
	return waves
}

// forgetMissing forgets uploads that no longer exist, so that they are uploaded again. Uploads of this
// run exist.
func (r *Runner) forgetMissing(ctx context.Context, actions []fileset.Action) error {
	var known []fileset.Action
	for _, a := range actions {
		if a.Kind == fileset.AttachFile && !r.fresh[a.FileID] {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return nil
	}
	var mu stdsync.Mutex
	var ids []string
	var gone []recorded
	err := r.each(ctx, "Checking earlier uploads", known, func(ctx context.Context, a fileset.Action) error {
		err := r.retry(ctx, func(ctx context.Context) error {
			_, err := r.API.UploadedFile(ctx, a.FileID)
			return err
		})
		if !upstream.IsNotFound(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		r.missing[a.FileID] = true
		ids, gone = append(ids, a.FileID), append(gone, recorded{FileID: a.FileID, Gone: true})
		return nil
	})
	return errors.Join(err, r.Journal.Forget(ids...), r.record.put(gone...))
}

// addWave uploads and attaches a wave. It returns the ID of the batch, and the files in it.
func (r *Runner) addWave(ctx context.Context, actions []fileset.Action) (string, []WaveFile, error) {
	wave := Wave{Common: r.record.common}
	files, err := r.uploadWave(ctx, actions)
	if err != nil || len(files) == 0 {
		return "", nil, err
	}
	wave.Files = files
	id, attached, err := r.attach(ctx, wave)
	return id, attached, err
}

// uploadWave uploads the documents that have no file yet.
func (r *Runner) uploadWave(ctx context.Context, actions []fileset.Action) ([]WaveFile, error) {
	var files []WaveFile
	var uploads []upload.File
	var pending []fileset.Action
	var bytes int64
	for _, a := range actions {
		if a.Kind == fileset.AttachFile && !r.missing[a.FileID] {
			files = append(files, r.waveFile(a.FileID, a))
			continue
		}
		d := r.documents[a.Path]
		uploads, pending, bytes = append(uploads, d.File), append(pending, a), bytes+d.Size
	}
	if len(uploads) == 0 {
		return files, nil
	}
	r.Progress.Start("Uploading", len(uploads), bytes)
	ids, err := r.uploader().Run(ctx, uploads)
	uploaded := r.Journal.Uploaded()
	var added []recorded
	for i, id := range ids {
		switch a := pending[i]; {
		case id == "":
		case !r.hasVersion(uploaded[id], a.Version):
			r.rejected[a.Path] = "it changed during the run: run again when no process writes to it"
			added = append(added, recorded{FileID: id, Path: a.Path, Version: "changed"})
		default:
			files = append(files, r.waveFile(id, a))
			added = append(added, recorded{FileID: id, Path: a.Path, Version: a.Version})
		}
	}
	return files, errors.Join(err, r.record.put(added...))
}

func (r *Runner) waveFile(id string, a fileset.Action) WaveFile {
	return WaveFile{FileID: id, Path: a.Path, Version: a.Version, Attributes: r.documents[a.Path].AllAttributes(r.Owner)}
}

func (r *Runner) uploader() *upload.Uploader {
	var mu stdsync.Mutex
	return &upload.Uploader{
		Client: r.API, Journal: r.Journal, Concurrency: r.Concurrency, Attempts: r.Attempts, SettleTime: r.SettleTime,
		OnUploaded: func(f upload.File, reused bool) {
			mu.Lock()
			defer mu.Unlock()
			if !reused {
				r.bytes += f.Size
			}
			r.Progress.Add(1, f.Size)
		},
		OnRefused: func(f upload.File, err error) {
			mu.Lock()
			defer mu.Unlock()
			if _, path, ok := parseJournalPath(f.Path); ok {
				r.rejected[path] = err.Error()
			}
			r.Progress.Logf("%s: %v", f.Name, err)
		},
		OnLost: func(journaled string) {
			mu.Lock()
			defer mu.Unlock()
			if _, path, ok := parseJournalPath(journaled); ok {
				journaled = path
			}
			r.lost = append(r.lost, journaled)
		},
		Logf: r.Progress.Logf,
	}
}

// attach attaches a wave. If the server refuses the wave because of one file, it attaches the others.
func (r *Runner) attach(ctx context.Context, wave Wave) (string, []WaveFile, error) {
	r.Progress.Start("Attaching", len(wave.Files), 0)
	now := time.Now()
	if err := r.recordWave(wave, &now, ""); err != nil {
		return "", nil, err
	}
	id, err := r.tryAttach(ctx, wave)
	var failure *upstream.Error
	switch {
	case err == nil:
	case errors.As(err, &failure) && failure.Kind == upstream.UnknownOutcome:
		r.Progress.Logf("Lost the response to the request that attaches %d files (%v); checking whether it succeeded", len(wave.Files), err)
		r.mark(wave)
		return "", wave.Files, nil // the files count as attached until SettleTime has passed
	case errors.As(err, &failure) && (failure.Kind == upstream.Rejected || failure.Kind == upstream.NotFound):
		if err := r.recordWave(wave, nil, ""); err != nil {
			return "", nil, err
		}
		return r.attachParts(ctx, wave, failure)
	default:
		return "", nil, errors.Join(fmt.Errorf("attaching %d files: %w", len(wave.Files), err), r.recordUnsent(wave, failure))
	}
	r.mark(wave)
	return id, wave.Files, r.recordWave(wave, &now, id)
}

// tryAttach attaches a wave. A new upload may not be found at first.
func (r *Runner) tryAttach(ctx context.Context, wave Wave) (string, error) {
	for deadline := time.Now().Add(r.SettleTime); ; {
		id, err := r.Attacher.Attach(ctx, wave)
		if !upstream.IsNotFound(err) || time.Now().After(deadline) {
			return id, err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return "", err
		}
	}
}

// recordUnsent records that a wave was not attached, if that is certain.
func (r *Runner) recordUnsent(wave Wave, failure *upstream.Error) error {
	if failure == nil {
		return nil
	}
	return r.recordWave(wave, nil, "")
}

// mark records that this run attached the files of a wave.
func (r *Runner) mark(wave Wave) {
	for _, f := range wave.Files {
		r.fresh[f.FileID] = true
	}
}

func (r *Runner) recordWave(wave Wave, at *time.Time, batchID string) error {
	var files []recorded
	for _, f := range wave.Files {
		files = append(files, recorded{FileID: f.FileID, Path: f.Path, Version: f.Version, AttachedAt: at, BatchID: batchID})
	}
	return r.record.put(files...)
}

// attachParts attaches both halves of a wave that the server refused, and awaits them. A file that is
// refused alone is left out.
func (r *Runner) attachParts(ctx context.Context, wave Wave, failure *upstream.Error) (string, []WaveFile, error) {
	if len(wave.Files) == 1 {
		f := wave.Files[0]
		r.rejected[f.Path] = failure.Message
		r.Progress.Logf("%s: %s", f.Path, failure.Message)
		return "", nil, nil
	}
	half := len(wave.Files) / 2
	first, attached, err := r.attach(ctx, Wave{Files: wave.Files[:half], Common: wave.Common})
	if err != nil {
		return "", nil, err
	}
	second, more, err := r.attach(ctx, Wave{Files: wave.Files[half:], Common: wave.Common})
	if err != nil {
		return "", nil, err
	}
	attached = append(attached, more...)
	switch {
	case first == "":
		return second, attached, nil
	case second == "":
		return first, attached, nil
	}
	return second, attached, r.await(ctx, []string{first})
}

// await waits until batches are finished. If a batch has none of its files, the server ignores the
// settings of single files, and the files are attached again with common ones.
func (r *Runner) await(ctx context.Context, ids []string) error {
	for _, id := range ids {
		state, err := r.awaitOne(ctx, id)
		if err != nil {
			return err
		}
		files := r.inBatch(id)
		now := time.Now()
		if state.Counts.Total == 0 && !r.record.common && state.Finished {
			r.Progress.Logf("The server ignores the settings of single files; attaching with common settings.")
			r.verified = false
			if err := r.record.put(recorded{Common: true}); err != nil {
				return err
			}
			for i := range files {
				files[i].AttachedAt, files[i].BatchID = nil, ""
			}
			if err := r.record.put(files...); err != nil {
				return err
			}
			continue
		}
		for _, f := range files {
			r.active[f.FileID] = now.Add(r.SettleTime)
		}
	}
	return nil
}

// inBatch returns the recorded files of a batch.
func (r *Runner) inBatch(id string) []recorded {
	var files []recorded
	for _, f := range r.record.files {
		if f.BatchID == id {
			files = append(files, f)
		}
	}
	return files
}

// maxPollFailures is the number of polls in a row that may fail. The list of the vector store's files
// shows the files too.
const maxPollFailures = 5

func (r *Runner) awaitOne(ctx context.Context, id string) (BatchState, error) {
	var last BatchState
	r.Progress.Start("Processing", len(r.inBatch(id)), 0)
	failures := 0
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		state, err := r.Attacher.Poll(ctx, id)
		switch {
		case ctx.Err() != nil:
			return BatchState{}, ctx.Err()
		case err != nil:
			if failures++; failures == maxPollFailures || upstream.IsNotFound(err) {
				r.Progress.Logf("Could not get batch %s (%v); reading the list of the vector store's files instead", id, err)
				return BatchState{Counts: upstream.FileCounts{Total: -1}}, nil
			}
		case state.Stuck != "":
			return BatchState{}, fmt.Errorf("batch %s: %s", id, state.Stuck)
		default:
			failures = 0
			r.Progress.Add(int(processed(state)-processed(last)), 0)
			last = state
			if state.Finished {
				return state, nil
			}
		}
		if err := sleep(ctx, delay); err != nil {
			return BatchState{}, err
		}
	}
}

func processed(s BatchState) int64 { return s.Counts.Completed + s.Counts.Failed + s.Counts.Cancelled }

// journalRoot begins the paths of the documents in the journal of uploads.
const journalRoot = "/sync/"

// journalPath identifies a version of a document in the journal of uploads.
func journalPath(version, path string) string { return journalRoot + version + "/" + path }

// IsDocument reports whether a path in a journal of uploads is that of a document.
func IsDocument(journaled string) bool {
	version, _, ok := parseJournalPath(journaled)
	hash, err := hex.DecodeString(version)
	return ok && err == nil && len(hash) == sha256.Size
}

// parseJournalPath returns the version and the path in a path of the journal.
func parseJournalPath(journaled string) (version, path string, ok bool) {
	rest, ok := strings.CutPrefix(journaled, journalRoot)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "/")
}
