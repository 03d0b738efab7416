// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// pollInterval is the time between two requests for the API's list of files.
const pollInterval = time.Second

// future is later than every upload, so that a list since then reads the first page only.
var future = time.Unix(1<<38, 0)

func (u *Uploader) list(ctx context.Context, since time.Time) ([]upstream.UploadedFile, error) {
	var files []upstream.UploadedFile
	err := u.retry(ctx, "listing the uploaded files", func(ctx context.Context) error {
		var err error
		files, err = u.Client.Uploads(ctx, since)
		return err
	})
	return files, err
}

// snapshot returns a snapshot of the files that the API has now.
func (u *Uploader) snapshot(ctx context.Context) (snapshot, error) {
	files, err := u.list(ctx, future)
	if err != nil {
		return snapshot{}, err
	}
	var s snapshot
	for _, file := range files {
		if file.CreatedAt.After(s.Since) {
			s = snapshot{Since: file.CreatedAt}
		}
		if file.CreatedAt.Equal(s.Since) {
			s.Known = append(s.Known, file.ID)
		}
	}
	return s, nil
}

// precedes reports whether the snapshot was taken before a file was created.
func (s snapshot) precedes(file upstream.UploadedFile) bool {
	return !file.CreatedAt.Before(s.Since) && !slices.Contains(s.Known, file.ID)
}

// match returns the ID of the file that an upload created, or "" if it is not listed: the file has the
// same name and size, was created after the snapshot, and belongs to no other upload. A file whose name
// the server changed matches only if no file has the name itself.
func match(files []upstream.UploadedFile, c content, before snapshot, claimed map[string]bool) string {
	name := uploadName(c.Path)
	renamed := ""
	for _, file := range files {
		if file.Size != c.Size || !before.precedes(file) || claimed[file.ID] {
			continue
		}
		if file.Name == name {
			return file.ID
		}
		if renamed == "" && foldName(file.Name) == foldName(name) {
			renamed = file.ID
		}
	}
	return renamed
}

// uploadName returns the name that a file is uploaded under.
func uploadName(path string) string { return scan.File{Path: filepath.ToSlash(path)}.UploadName() }

// foldName returns what servers keep of the name of a file: they can replace or remove everything other
// than ASCII letters and digits, and add a path.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, path.Base(name))
}

// resume resolves the uploads that an earlier run left pending. Those that are not listed within
// SettleTime count as not uploaded.
func (u *Uploader) resume(ctx context.Context) error {
	pending := u.Journal.pending()
	if len(pending) == 0 {
		return nil
	}
	u.Logf("%d uploads were interrupted; waiting up to %s for their files to be listed", len(pending), u.SettleTime)
	if err := u.resolve(ctx, pending); err != nil {
		return err
	}
	for c := range pending {
		if err := u.Journal.void(c); err != nil {
			return err
		}
		u.OnLost(c.Path)
	}
	return nil
}

// resolve polls the list of files until it has the file of each pending upload, or SettleTime has
// passed. It records the files and deletes their uploads from pending.
func (u *Uploader) resolve(ctx context.Context, pending map[content]upload) error {
	for deadline := time.Now().Add(u.SettleTime); ; {
		if err := u.claim(ctx, pending); err != nil {
			return err
		}
		left := time.Until(deadline)
		if len(pending) == 0 || left <= 0 {
			return nil
		}
		if err := sleep(ctx, min(pollInterval, left)); err != nil {
			return err
		}
	}
}

// claim records the files of the pending uploads that are listed, and deletes those uploads from
// pending.
func (u *Uploader) claim(ctx context.Context, pending map[content]upload) error {
	since := future
	for _, p := range pending {
		if p.snapshot.Since.Before(since) {
			since = p.snapshot.Since
		}
	}
	files, err := u.list(ctx, since)
	if err != nil {
		return err
	}
	claimed := u.Journal.claimed()
	for c, p := range pending {
		id := match(files, c, p.snapshot, claimed)
		if id == "" {
			continue
		}
		claimed[id] = true
		if err := u.Journal.done(c, id); err != nil {
			return err
		}
		delete(pending, c)
	}
	return nil
}

// reconcile compares the journal with the files that the API has. It removes the files that were deleted
// from the API, and takes over those that another key of the same account uploaded.
func (u *Uploader) reconcile(ctx context.Context, jobs []job) error {
	recorded, others := map[content]string{}, map[content][]upload{}
	for _, j := range jobs {
		if id := u.Journal.fileID(j.content); id != "" {
			recorded[j.content] = id
		} else if of := u.Journal.ofOthers(j.content); len(of) > 0 {
			others[j.content] = of
		}
	}
	if len(recorded)+len(others) == 0 {
		return nil
	}
	files, err := u.list(ctx, time.Time{})
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, file := range files {
		listed[file.ID] = true
	}
	for c, id := range recorded {
		if listed[id] {
			continue
		}
		// The list can lag behind, so get the file itself before uploading it again.
		if err := u.forgetIfDeleted(ctx, c, id); err != nil {
			return err
		}
	}
	for c, of := range others {
		if err := u.takeOver(c, of, listed); err != nil {
			return err
		}
	}
	return nil
}

// takeOver records the upload of another key, if the API lists its file for this key or its outcome is
// unknown.
func (u *Uploader) takeOver(c content, others []upload, listed map[string]bool) error {
	for _, other := range others {
		if listed[other.fileID] {
			return u.Journal.done(c, other.fileID)
		}
	}
	for _, other := range others {
		if other.fileID == "" {
			return u.Journal.takeOver(c, other.snapshot)
		}
	}
	return nil
}

func (u *Uploader) forgetIfDeleted(ctx context.Context, c content, fileID string) error {
	err := u.retry(ctx, "getting the uploaded file "+fileID, func(ctx context.Context) error {
		_, err := u.Client.UploadedFile(ctx, fileID)
		return err
	})
	if upstream.IsNotFound(err) {
		u.Logf("%s was uploaded as %s, which no longer exists; uploading it again", terminal.Escape(c.Path), fileID)
		return u.Journal.void(c)
	}
	return err
}
