// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// createRun is the part of a run of create that changes something: the uploads, and the objects.
type createRun struct {
	*create
	client  apiClient
	journal *upload.Journal
	// before are the files that earlier runs uploaded.
	before map[string]upload.Uploaded

	mu   sync.Mutex
	lost []string
}

// cleanupTimeout bounds the time in which a run that ends deletes what it uploaded.
const cleanupTimeout = 5 * time.Minute

// uploadAndCreate uploads the files, creates the objects, and returns them with the number of files that
// the API refused. It holds the journal until the objects exist, so that no other run uses its uploads.
func (c *create) uploadAndCreate(ctx context.Context, client batchClient, p *plan) (objects []*v1alpha1.VectorStoreFileBatch, refused int, err error) {
	r, err := c.start(ctx, len(p.files))
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if len(r.lost) > 0 {
			c.notef("%s", lostUploads(r.lost))
		}
		err = errors.Join(err, r.journal.Close())
		r.client.Close()
	}()
	ids, refused, err := r.upload(ctx, p.files)
	if err == nil && refused == len(p.files) {
		return nil, 0, errors.New("no file was uploaded")
	}
	if err == nil {
		if objects, err = c.createObjects(ctx, client, p.objects(ids)); err == nil {
			c.explainUploads(len(p.files) - refused)
			return objects, refused, nil
		}
		err = fmt.Errorf("%w\n%s uploaded; the same command does not upload them again, also not with another NAME",
			interruption(ctx, err), counted(len(p.files)-refused, "file is", "files are"))
	}
	return nil, 0, r.end(ctx, client, p, err)
}

// explainUploads names the next step after --upload-only.
func (c *create) explainUploads(count int) {
	if c.uploadOnly {
		c.notef("%s uploaded. They are in no vector store until the manifest is applied.", counted(count, "file is", "files are"))
	}
}

// interruption returns the error of a run, in short if the user interrupted it.
func interruption(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// start opens the journal after the endpoint is confirmed and the vector store checked.
func (c *create) start(ctx context.Context, files int) (*createRun, error) {
	// The environment needs no cluster, so the namespace is determined only for the Secret.
	namespace := ""
	if !c.credentials.fromEnv {
		var err error
		if namespace, err = c.namespace(); err != nil {
			return nil, err
		}
	}
	client, err := c.newAPIClient(ctx, c.credentials, namespace, c.secret, uploadTimeout)
	if err != nil {
		return nil, err
	}
	r := &createRun{create: c, client: client}
	if err = c.confirmEndpoint(ctx, client, c.endpoint, files); err == nil && c.checkStore {
		err = c.checkVectorStore(ctx, client, c.vectorStore)
	}
	if err == nil {
		r.journal, err = c.openJournal(client, c.journal)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	r.before = r.journal.Uploaded()
	return r, nil
}

// upload uploads the files and returns their IDs. The ID of a file that is refused is "".
func (r *createRun) upload(ctx context.Context, files []upload.File) (ids []string, refused int, err error) {
	var bytes int64
	for _, f := range files {
		bytes += f.Size
	}
	shown := r.newProgress()
	shown.Logf("Uploading %s to %s.", counted(len(files), "file", "files"), r.client.target)
	shown.Start("Uploading", len(files), bytes)
	u, count := r.uploader(shown)
	ids, err = u.Run(ctx, files)
	shown.close()
	if err = interruption(ctx, err); errors.Is(err, upload.ErrQuota) {
		err = fmt.Errorf("%w\ndelete files that you no longer need, or set --expires-after: servers accept more files that expire", err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w\n%d of %d files uploaded; run the same command again to continue", err, count.uploaded.Load(), len(files))
	}
	return ids, int(count.refused.Load()), nil
}

// uploadCount are the numbers of files of a run.
type uploadCount struct{ uploaded, refused atomic.Int64 }

func (r *createRun) uploader(shown *progress) (*upload.Uploader, *uploadCount) {
	count := &uploadCount{}
	return &upload.Uploader{
		Client: r.client, Journal: r.journal, ExpiresAfter: r.expiresAfter,
		Concurrency: r.concurrency, Attempts: r.attempts, SettleTime: r.settleTime,
		OnUploaded: func(f upload.File, reused bool) {
			count.uploaded.Add(1)
			if reused {
				shown.Reuse(f.Size)
				return
			}
			shown.Add(1, f.Size)
		},
		OnRefused: func(f upload.File, err error) {
			count.refused.Add(1)
			shown.Logf("Leaving out %s: %v", f.Name, err)
			shown.Omit(f.Size)
		},
		OnLost: r.lose, Logf: shown.Logf,
	}, count
}

// lose records an upload whose response was lost.
func (r *createRun) lose(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = append(r.lost, relative(path))
}

// relative returns a path of the journal relative to the working directory, if it is below it.
func relative(path string) string {
	workingDir, err := os.Getwd()
	if err != nil {
		workingDir = "" // the path remains absolute
	}
	return upload.Key(workingDir, path)
}

// end returns the error of a run that did not create all objects, with what to do about its uploads. With
// --delete-unused-uploads, it deletes those that nothing uses, even if the user interrupted the run.
func (r *createRun) end(ctx context.Context, client batchClient, p *plan, cause error) error {
	const remedy = `"kubectl vsfb uploads --delete-unused" deletes the uploads that nothing uses`
	if !r.deleteUnused {
		if len(r.uploaded()) == 0 && !r.journal.Interrupted() {
			return cause
		}
		return fmt.Errorf("%w\n%s", cause, remedy)
	}
	r.notef("Deleting the uploads of this run that nothing uses.")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	deleted, err := r.removeUploads(ctx, client, p)
	if err != nil {
		return fmt.Errorf("%w\ndeleted %s; then: %w\n%s", cause, counted(deleted, "upload", "uploads"), err, remedy)
	}
	return fmt.Errorf("%w\ndeleted %s that nothing used", cause, counted(deleted, "upload of this run", "uploads of this run"))
}

// uploaded returns the IDs of the files that this run uploaded.
func (r *createRun) uploaded() []string {
	uploaded := r.journal.Uploaded()
	maps.DeleteFunc(uploaded, func(id string, _ upload.Uploaded) bool {
		_, existed := r.before[id]
		return existed
	})
	return slices.Sorted(maps.Keys(uploaded))
}

// removeUploads deletes the files that this run uploaded, except those of objects that exist and those that
// a vector store has.
func (r *createRun) removeUploads(ctx context.Context, client batchClient, p *plan) (deleted int, err error) {
	if err := r.resolveUploads(ctx, r.client, r.journal, r.attempts, r.settleTime, r.lose); err != nil {
		return 0, err
	}
	ids := r.uploaded()
	inObjects, err := r.inObjects(ctx, client, p)
	if err != nil {
		return 0, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return inObjects[id] })
	if len(ids) == 0 {
		return 0, nil
	}
	stores, err := newStoreUses(ctx, r.client)
	if err != nil {
		return 0, err
	}
	removed, err := stores.deleteUnused(ctx, r.journal, ids)
	return len(removed), err
}

// resolveUploads finds the files of uploads that were in flight when a run ended. It calls onLost for those that
// it does not find.
func (p *plugin) resolveUploads(ctx context.Context, client apiClient, journal *upload.Journal, attempts int, settleTime time.Duration, onLost func(path string)) error {
	if !journal.Interrupted() {
		return nil
	}
	u := &upload.Uploader{
		Client: client, Journal: journal, Attempts: attempts, SettleTime: settleTime,
		OnUploaded: func(upload.File, bool) {}, OnRefused: func(upload.File, error) {}, OnLost: onLost, Logf: p.notef,
	}
	_, err := u.Run(ctx, nil)
	return err
}

// inObjects returns the files of the objects of a plan that exist: the response to a create can be lost.
func (r *createRun) inObjects(ctx context.Context, client batchClient, p *plan) (map[string]bool, error) {
	files := map[string]bool{}
	if r.uploadOnly {
		return files, nil
	}
	for i := range p.cuts {
		b, err := client.get(ctx, p.nameOf(i))
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, id := range fileIDsOf(b) {
			files[id] = true
		}
	}
	return files, nil
}

// fileIDsOf returns the IDs of the files in the spec of an object.
func fileIDsOf(b *v1alpha1.VectorStoreFileBatch) []string {
	ids := slices.Clone(b.Spec.FileIDs)
	for _, f := range b.Spec.Files {
		ids = append(ids, f.FileID)
	}
	return ids
}
