// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// Folder is what a folder contains.
type Folder struct {
	Documents []Document
	LeftOut   []scan.LeftOut
}

// Hash hashes the files of a folder. chunking describes the chunking strategy as for fileset.Version, and
// attributes are those of every document. Files that cannot be read are left out.
func Hash(ctx context.Context, result *scan.Result, chunking string, attributes map[string]any, progress Progress) (Folder, error) {
	var bytes int64
	for _, f := range result.Files {
		bytes += f.Size
	}
	progress.Start("Hashing", len(result.Files), bytes)
	hashed := make([]*Document, len(result.Files))
	failed := make([]error, len(result.Files))
	group, groupContext := errgroup.WithContext(ctx)
	group.SetLimit(max(runtime.GOMAXPROCS(0), 2))
	for i, f := range result.Files {
		group.Go(func() error {
			sum, size, err := f.SHA256(groupContext)
			switch {
			case groupContext.Err() != nil:
				return groupContext.Err()
			case err != nil:
				failed[i] = err
			case size == 0:
				failed[i] = fmt.Errorf("it became empty")
			default:
				hashed[i] = newDocument(f, fileset.Version(sum, chunking), size, attributes)
			}
			progress.Add(1, f.Size)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Folder{}, err
	}
	folder := Folder{LeftOut: result.LeftOut}
	for i, d := range hashed {
		if d == nil {
			folder.LeftOut = append(folder.LeftOut, scan.LeftOut{Path: result.Files[i].Path, Reason: scan.Unreadable, Detail: failed[i].Error()})
			continue
		}
		folder.Documents = append(folder.Documents, *d)
	}
	return folder, nil
}

func newDocument(f scan.File, version string, size int64, attributes map[string]any) *Document {
	return &Document{
		Document: fileset.Document{Path: f.Key, Version: version, Size: size, Attributes: attributes},
		File: upload.File{
			Path: journalPath(version, f.Key), Key: f.Key, Name: terminal.Escape(f.Key), UploadName: f.UploadName(), Size: size, Open: f.Open,
		},
	}
}

// Protected returns the paths that must not be pruned, because the folder has them, but not in a form that
// can be uploaded. What users hide or exclude is not among them.
func (f Folder) Protected() []string {
	var paths []string
	for _, l := range f.LeftOut {
		if !l.Reason.Expected() {
			paths = append(paths, scan.KeyOf(l.Path))
		}
	}
	return paths
}
