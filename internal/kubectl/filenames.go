// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"path/filepath"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// addPaths adds the paths of the files that this machine uploaded, as recorded in a journal; without one,
// in all that the plugin keeps.
func (p *plugin) addPaths(journal string, files []failedFile) {
	if len(files) == 0 {
		return
	}
	journals := []string{journal}
	if journal == "" {
		directory, err := p.journalDirectory()
		if err != nil {
			return // no upload was recorded
		}
		journals, _ = filepath.Glob(filepath.Join(directory, "uploads-*.jsonl")) // the pattern is valid
	}
	for _, journal := range journals {
		paths, err := upload.PathsIn(journal)
		if err != nil {
			p.notef("Could not read the names of files: %v", err)
			continue
		}
		for i := range files {
			if path := paths[files[i].FileID]; path != "" {
				files[i].Name = relative(path)
			}
		}
	}
}

// failedFileRows returns the rows of a table of failed files.
func failedFileRows(files []failedFile) [][]string {
	rows := [][]string{{"FILE", "NAME", "CODE", "MESSAGE"}}
	for _, file := range files {
		rows = append(rows, []string{file.FileID, file.Name, file.Code, file.Message})
	}
	return rows
}
