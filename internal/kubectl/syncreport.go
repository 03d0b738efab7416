// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/sync"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// syncReport is the output of sync as JSON and YAML.
type syncReport struct {
	VectorStoreID string `json:"vectorStoreID"`
	Owner         string `json:"owner"`
	DryRun        bool   `json:"dryRun"`
	// Result is "in step", "in step, except for some documents", "would change", "refused" or "failed".
	Result  string        `json:"result"`
	Changes []syncChange  `json:"changes"`
	LeftOut []syncLeftOut `json:"leftOut"`
	Refused []string      `json:"refused,omitempty"`
	// Withheld is why nothing is removed.
	Withheld string `json:"withheld,omitempty"`
	// LostUploads are the paths of uploads whose response was lost: the API can have another file for each.
	LostUploads []string    `json:"lostUploads"`
	Summary     syncSummary `json:"summary"`

	documents map[string]sync.Document
	plan      *fileset.Plan
}

// syncChange is what a run does about a path that is not as it should be.
type syncChange struct {
	Path string `json:"path"`
	// Change is added, updated, attributes, removed, kept or failed.
	Change string `json:"change"`
	Bytes  int64  `json:"bytes,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// syncLeftOut is a file of the folder that is left out.
type syncLeftOut struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
	// Expected is true for what the user hid or excluded.
	Expected bool `json:"expected,omitempty"`
}

// syncSummary are the numbers of documents.
type syncSummary struct {
	Added             int     `json:"added"`
	Updated           int     `json:"updated"`
	AttributesChanged int     `json:"attributesChanged"`
	Unchanged         int     `json:"unchanged"`
	Removed           int     `json:"removed"`
	Kept              int     `json:"kept"`
	Failed            int     `json:"failed"`
	LeftOut           int     `json:"leftOut"`
	LostUploads       int     `json:"lostUploads"`
	BytesToUpload     int64   `json:"bytesToUpload"`
	BytesUploaded     int64   `json:"bytesUploaded"`
	Seconds           float64 `json:"seconds"`
}

func newSyncReport(s *syncFolder, folder sync.Folder) *syncReport {
	r := &syncReport{
		VectorStoreID: s.vectorStore, Owner: s.owner, DryRun: s.dryRun, Changes: []syncChange{}, LeftOut: []syncLeftOut{}, LostUploads: []string{},
		documents: map[string]sync.Document{},
	}
	for _, d := range folder.Documents {
		r.documents[d.Path] = d
	}
	for _, l := range folder.LeftOut {
		r.leaveOut(l)
	}
	return r
}

func (r *syncReport) leaveOut(l scan.LeftOut) {
	path, reason := scan.KeyOf(l.Path), string(l.Reason)
	if l.Dir {
		path += "/"
	}
	if l.Detail != "" {
		reason += " (" + scan.KeyOf(l.Detail) + ")"
	}
	r.LeftOut = append(r.LeftOut, syncLeftOut{Path: path, Reason: reason, Expected: l.Reason.Expected()})
	if !l.Reason.Expected() {
		r.Summary.LeftOut++
	}
}

// planned adds the first plan.
func (r *syncReport) planned(plan fileset.Plan) {
	r.plan, r.Withheld = &plan, plan.Withheld
	for _, action := range plan.Refused() {
		r.Refused = append(r.Refused, action.Reason)
	}
	for _, c := range plan.Changes {
		r.count(c.State, 1)
		if c.State == fileset.Unchanged {
			continue
		}
		change := syncChange{Path: c.Path, Change: string(c.State), Reason: c.Reason}
		if c.State == fileset.Added || c.State == fileset.Updated {
			change.Bytes = c.Size
		}
		r.Changes = append(r.Changes, change)
	}
	for _, action := range plan.Actions {
		if action.Kind == fileset.UploadFile {
			r.Summary.BytesToUpload += action.Size
		}
	}
}

func (r *syncReport) count(state fileset.State, n int) {
	switch state {
	case fileset.Added:
		r.Summary.Added += n
	case fileset.Updated:
		r.Summary.Updated += n
	case fileset.AttributesChanged:
		r.Summary.AttributesChanged += n
	case fileset.Unchanged:
		r.Summary.Unchanged += n
	case fileset.Removed:
		r.Summary.Removed += n
	case fileset.Kept:
		r.Summary.Kept += n
	case fileset.FailedState:
		r.Summary.Failed += n
	}
}

// finished replaces the changes that failed.
func (r *syncReport) finished(outcome sync.Outcome) {
	r.Summary.BytesUploaded, r.Summary.LostUploads = outcome.Bytes, len(outcome.Lost)
	r.LostUploads = append(r.LostUploads, slices.Sorted(slices.Values(outcome.Lost))...)
	failed := map[string]string{}
	for _, c := range outcome.Last.Changes {
		if c.State == fileset.FailedState {
			failed[c.Path] = c.Reason
		}
	}
	for path, reason := range outcome.Rejected {
		failed[path] = reason
	}
	for i, c := range r.Changes {
		reason, isFailed := failed[c.Path]
		if !isFailed || c.Change == string(fileset.FailedState) {
			continue
		}
		r.count(fileset.State(c.Change), -1)
		r.count(fileset.FailedState, 1)
		r.Changes[i].Change, r.Changes[i].Reason = string(fileset.FailedState), reason
	}
}

// changes returns the number of actions that the first plan has.
func (r *syncReport) changes() int {
	if r.plan == nil {
		return 0
	}
	return len(r.plan.Actions)
}

// incomplete returns the number of documents that are not in the vector store in their current version.
func (r *syncReport) incomplete() int { return r.Summary.Failed + r.Summary.LeftOut }

// changeMarks are the marks of the changes in the text.
var changeMarks = map[fileset.State]struct {
	mark  string
	style terminal.Style
}{
	fileset.Added: {"+", terminal.Green}, fileset.Updated: {"~", terminal.Yellow}, fileset.AttributesChanged: {"@", terminal.Yellow},
	fileset.Unchanged: {"=", terminal.Dim}, fileset.Removed: {"-", terminal.Red}, fileset.Kept: {"?", terminal.Dim}, fileset.FailedState: {"!", terminal.Red},
}

// printPlan prints the plan as a text, if the output is one.
func (s *syncFolder) printPlan(r *syncReport) {
	if !s.output.isText() {
		return
	}
	s.progress.pause(func() {
		s.printLeftOut(r)
		for _, c := range r.Changes {
			look := changeMarks[fileset.State(c.Change)]
			s.printChange(look.mark, look.style, c.Path, describeChange(c, s.prune))
		}
		if r.Withheld != "" {
			_, _ = fmt.Fprintf(s.Streams.Out, "Nothing is removed: %s.\n", r.Withheld)
		}
	})
}

// printLeftOut names what is left out, and why. It counts what patterns exclude, because the user chose it.
func (s *syncFolder) printLeftOut(r *syncReport) {
	excluded := 0
	for _, l := range r.LeftOut {
		switch {
		case !l.Expected:
			s.printChange("!", terminal.Red, l.Path, "left out: "+l.Reason)
		case strings.HasPrefix(l.Reason, string(scan.Excluded)):
			excluded++
		default:
			s.printChange(".", terminal.Dim, l.Path, "left out: "+l.Reason)
		}
	}
	if excluded > 0 {
		s.printChange(".", terminal.Dim, counted(excluded, "file or folder", "files or folders"), "left out: excluded by patterns")
	}
}

func (s *syncFolder) printChange(mark string, style terminal.Style, path, text string) {
	t, _ := s.newTable(s.Streams.Out)
	_, _ = fmt.Fprintln(s.Streams.Out, t.paint(style, mark+" "+terminal.Escape(path))+"  "+terminal.Escape(text))
}

// describeChange describes a change.
func describeChange(c syncChange, prune bool) string {
	switch fileset.State(c.Change) {
	case fileset.Added, fileset.Updated:
		return fmt.Sprintf("%s, %s", c.Change, formatBytes(c.Bytes))
	case fileset.AttributesChanged:
		return c.Reason
	case fileset.Kept:
		if !prune {
			return c.Reason + "; --prune removes it"
		}
		return "kept: " + c.Reason
	case fileset.FailedState:
		return "failed: " + c.Reason
	case fileset.Removed, fileset.Unchanged:
	}
	return c.Change + ": " + c.Reason
}

// printReport prints the summary, or the whole report in the output format.
func (s *syncFolder) printReport(r *syncReport, planned bool) error {
	return s.output.write(s.Streams.Out, r, func() string {
		switch {
		case planned:
			return r.summary() + "\n"
		case len(r.LostUploads) > 0:
			return lostUploads(r.LostUploads) + "\n"
		}
		return ""
	})
}

// summary describes the numbers in one line.
func (r *syncReport) summary() string {
	n := r.Summary
	var parts []string
	for _, part := range []struct {
		count int
		text  string
	}{
		{n.Added, "added"}, {n.Updated, "updated"}, {n.AttributesChanged, "with other attributes"}, {n.Removed, "removed"},
		{n.Unchanged, "unchanged"}, {n.Kept, "kept"}, {n.Failed, "failed"}, {n.LeftOut, "left out"},
	} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.text))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no documents"}
	}
	text := strings.ToUpper(r.Result[:1]) + r.Result[1:] + ": " + strings.Join(parts, ", ")
	if r.DryRun {
		return text + fmt.Sprintf(" (dry run, %s to upload).", formatBytes(n.BytesToUpload))
	}
	text += fmt.Sprintf("; %s uploaded in %.1fs.", formatBytes(n.BytesUploaded), n.Seconds)
	if len(r.LostUploads) > 0 {
		text += "\n" + lostUploads(r.LostUploads)
	}
	return text
}

// maxLostUploads is the maximum number of lost uploads that a text names.
const maxLostUploads = 10

// lostUploads describes uploads whose response was lost.
func lostUploads(paths []string) string {
	named := slices.Sorted(slices.Values(paths))
	more := ""
	if len(named) > maxLostUploads {
		more = fmt.Sprintf(" and %d more", len(named)-maxLostUploads)
		named = named[:maxLostUploads]
	}
	for i := range named {
		named[i] = terminal.Escape(named[i])
	}
	return fmt.Sprintf("The response to %s was lost, and no file was listed for it, so the list of files can have one more for each: %s%s.",
		counted(len(paths), "upload", "uploads"), strings.Join(named, ", "), more)
}
