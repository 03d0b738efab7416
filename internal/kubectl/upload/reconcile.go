// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// lookEvery is how often the upstream's list is read while an upload is looked for in it.
const lookEvery = time.Second

// future is after everything that was uploaded, so that only the first page is read of a list.
var future = time.Unix(1<<38, 0)

func (u *Uploader) list(ctx context.Context, since time.Time) ([]upstream.UploadedFile, error) {
	var files []upstream.UploadedFile
	err := u.patiently(ctx, "listing what was uploaded", func(ctx context.Context) error {
		var err error
		files, err = u.Client.Uploads(ctx, since)
		return err
	})
	return files, err
}

// snapshot notes what is there now, so that what comes later can be told from it.
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

// cameAfter says whether a file was not there when the snapshot was taken.
func (s snapshot) cameAfter(file upstream.UploadedFile) bool {
	return !file.CreatedAt.Before(s.Since) && !slices.Contains(s.Known, file.ID)
}

// match gives the file that an upload made, if it is in the list: one that looks like it, came
// after the upload began, and belongs to no other.
func match(files []upstream.UploadedFile, c content, before snapshot, claimed map[string]bool) string {
	for _, file := range files {
		alike := file.Name == filepath.Base(c.Path) && file.Size == c.Size
		if alike && before.cameAfter(file) && !claimed[file.ID] {
			return file.ID
		}
	}
	return ""
}

// lookFor finds out whether an upload took effect. It gives an empty ID where its file has not
// shown up in time.
func (u *Uploader) lookFor(ctx context.Context, c content, before snapshot) (string, error) {
	for deadline := time.Now().Add(u.Settle); ; {
		files, err := u.list(ctx, before.Since)
		if err != nil {
			return "", err
		}
		id := match(files, c, before, u.Journal.claimed())
		left := time.Until(deadline)
		if id != "" || left <= 0 {
			return id, nil
		}
		if err := sleep(ctx, min(lookEvery, left)); err != nil {
			return "", err
		}
	}
}

// settle finds out what became of the uploads that an earlier run did not see the end of.
func (u *Uploader) settle(ctx context.Context) error {
	deadline := time.Now().Add(u.Settle)
	for announced := false; ; announced = true {
		open := u.Journal.open()
		if len(open) == 0 {
			return nil
		}
		if err := u.claim(ctx, open); err != nil {
			return err
		}
		if open = u.Journal.open(); len(open) == 0 {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return u.giveUp(open)
		}
		if !announced {
			u.Note("%d uploads were cut off: waiting %s at most for them to show up", len(open), u.Settle)
		}
		if err := sleep(ctx, min(lookEvery, left)); err != nil {
			return err
		}
	}
}

// claim writes down which of the open uploads took effect.
func (u *Uploader) claim(ctx context.Context, open map[content]upload) error {
	since := future
	for _, o := range open {
		if o.snapshot.Since.Before(since) {
			since = o.snapshot.Since
		}
	}
	files, err := u.list(ctx, since)
	if err != nil {
		return err
	}
	claimed := u.Journal.claimed()
	for c, o := range open {
		id := match(files, c, o.snapshot, claimed)
		if id == "" {
			continue
		}
		claimed[id] = true
		if err := u.Journal.done(c, id); err != nil {
			return err
		}
	}
	return nil
}

func (u *Uploader) giveUp(open map[content]upload) error {
	for c := range open {
		if err := u.Journal.void(c); err != nil {
			return err
		}
	}
	return nil
}

// forgetWhatIsGone makes sure that the upstream still has what the journal says it has.
func (u *Uploader) forgetWhatIsGone(ctx context.Context, contents []content) error {
	var known []content
	for _, c := range contents {
		if k, is := u.Journal.find(c); is && k.fileID != "" {
			known = append(known, c)
		}
	}
	if len(known) == 0 {
		return nil
	}
	files, err := u.list(ctx, time.Time{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, file := range files {
		there[file.ID] = true
	}
	for _, c := range known {
		k, _ := u.Journal.find(c)
		if there[k.fileID] {
			continue
		}
		// The list may lag behind; the file itself is asked for before it is sent again.
		if err := u.forgetIfGone(ctx, c, k.fileID); err != nil {
			return err
		}
	}
	return nil
}

func (u *Uploader) forgetIfGone(ctx context.Context, c content, fileID string) error {
	err := u.patiently(ctx, "looking for the uploaded file "+fileID, func(ctx context.Context) error {
		_, err := u.Client.UploadedFile(ctx, fileID)
		return err
	})
	var failure *upstream.Error
	if errors.As(err, &failure) && failure.Kind == upstream.NotFound {
		u.Note("%s was uploaded as %s, which is gone: uploading it again", c.Path, fileID)
		return u.Journal.void(c)
	}
	return err
}
