// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// status implements the command status.
type status struct {
	*plugin
	output  formatFlag
	journal string
}

const statusExample = `  # Show everything that is known about a batch
  kubectl vsfb status handbook

  # Print the ID of the trace of a batch
  kubectl vsfb status handbook -o json | jq -r .traceID`

func (p *plugin) newStatus() *cobra.Command {
	s := &status{plugin: p, output: newFormatFlag("text")}
	command := &cobra.Command{
		Use:   "status NAME",
		Short: "Show one batch in detail",
		Long: `Show one batch in detail: its settings, progress and conditions, its failed files by error code, its
Events, and the ID of its trace.

The operator writes the status when something changes, and not at each poll. The last poll is known if the
batch is finished; otherwise, the operator polled at the time of the last change or later.

The command reads from the cluster only. The failed files are the first 100, with the paths of those
that this machine uploaded; "kubectl vsfb failures" lists all, with the names of all.`,
		Example:           statusExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeNames(false),
		RunE: func(command *cobra.Command, args []string) error {
			return s.run(command.Context(), args[0])
		},
	}
	s.output.addFlag(command)
	command.Flags().StringVar(&s.journal, "journal", "", "Advanced: path of the file that records uploads. Defaults to those in $XDG_STATE_HOME/kubectl-vsfb.")
	return command
}

// statusReport is the output of the command.
type statusReport struct {
	Namespace     string                            `json:"namespace"`
	Name          string                            `json:"name"`
	VectorStoreID string                            `json:"vectorStoreID"`
	BatchID       string                            `json:"batchID,omitempty"`
	Status        string                            `json:"status,omitempty"`
	FileCounts    v1alpha1.FileCounts               `json:"fileCounts"`
	Spec          v1alpha1.VectorStoreFileBatchSpec `json:"spec"`
	Conditions    []metav1.Condition                `json:"conditions"`
	// FailuresByCode counts the failed files in FailedFiles by their codes.
	FailuresByCode map[string]int `json:"failuresByCode"`
	FailedFiles    []failedFile   `json:"failedFiles"`
	Events         []eventReport  `json:"events"`
	TraceID        string         `json:"traceID"`
	// CreationTime is that of the object, and LastChangeTime that of its status.
	CreationTime   metav1.Time  `json:"creationTime"`
	LastChangeTime *metav1.Time `json:"lastChangeTime,omitempty"`
	// LastPoll is what the object shows of the operator's last poll of the batch.
	LastPoll *lastPoll `json:"lastPoll,omitempty"`
}

// lastPoll is what an object shows of the operator's last poll. A poll that finds no change writes nothing.
type lastPoll struct {
	// NotBefore is a time at which the operator polled.
	NotBefore metav1.Time `json:"notBefore"`
	// Final is true if that was the last poll, which found the batch finished.
	Final bool `json:"final"`
}

// lastPollOf returns what an object shows of the last poll; nil if it shows none.
func lastPollOf(b *v1alpha1.VectorStoreFileBatch) *lastPoll {
	if batch.ID(b) == "" || b.Status.FileCounts == nil {
		return nil
	}
	if b.Status.CompletionTime != nil {
		return &lastPoll{NotBefore: *b.Status.CompletionTime, Final: true}
	}
	polled := lastChange(b)
	if batch.Reason(b.Status) != v1alpha1.ReasonInProgress || polled == nil {
		return nil // the last change may be something else, such as a suspension
	}
	// The operator polls when it handles a request. By convention, the value is the time of the request.
	if requested, err := time.Parse(time.RFC3339, b.Status.LastHandledReconcileAt); err == nil && requested.After(polled.Time) && !requested.After(time.Now()) {
		polled = &metav1.Time{Time: requested}
	}
	return &lastPoll{NotBefore: *polled}
}

// text describes the poll.
func (p *lastPoll) text(now time.Time) string {
	if p == nil {
		return "-"
	}
	text := duration.HumanDuration(now.Sub(p.NotBefore.Time)) + " ago"
	if p.Final {
		return text + ", when the batch was finished"
	}
	return text + " or later; a poll without a change is not recorded"
}

type eventReport struct {
	Time    metav1.Time `json:"time"`
	Type    string      `json:"type"`
	Reason  string      `json:"reason"`
	Message string      `json:"message"`
}

func (s *status) run(ctx context.Context, name string) error {
	b, err := s.getBatch(ctx, name)
	if err != nil {
		return err
	}
	r := s.report(b)
	if r.Events, err = s.events(ctx, b); err != nil {
		s.notef("Could not read the Events: %v", err)
	}
	return s.output.write(s.Streams.Out, r, func() string { return s.text(b, r) })
}

func (s *status) report(b *v1alpha1.VectorStoreFileBatch) statusReport {
	r := statusReport{
		Namespace: b.Namespace, Name: b.Name, VectorStoreID: b.Spec.VectorStoreID, BatchID: batch.ID(b),
		Status: b.Status.Status, FileCounts: fileCounts(b), Spec: b.Spec, Conditions: b.Status.Conditions,
		FailuresByCode: map[string]int{}, Events: []eventReport{},
		TraceID: traceID(b.UID), CreationTime: b.CreationTimestamp, LastChangeTime: lastChange(b), LastPoll: lastPollOf(b),
	}
	failed := reportOf(b)
	failed.addStatus(b)
	r.FailedFiles = failed.FailedFiles
	for _, file := range r.FailedFiles {
		r.FailuresByCode[file.Code]++
	}
	s.addPaths(s.journal, r.FailedFiles)
	return r
}

// traceID returns the ID of the trace of an object, which docs/observability.md defines.
func traceID(uid types.UID) string {
	sum := sha256.Sum256([]byte(uid))
	return hex.EncodeToString(sum[:16])
}

// lastChange returns the time at which the operator last changed the status. A poll that changes nothing
// writes nothing.
func lastChange(b *v1alpha1.VectorStoreFileBatch) *metav1.Time {
	var last *metav1.Time
	for _, managed := range b.ManagedFields {
		if managed.Subresource == "status" && managed.Time != nil && (last == nil || last.Before(managed.Time)) {
			last = managed.Time
		}
	}
	return last
}

// events returns the Events of an object, oldest first.
func (s *status) events(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) ([]eventReport, error) {
	events := []eventReport{}
	client, err := s.newCoreClient()
	if err != nil {
		return events, err
	}
	list, err := client.Events(b.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(b.UID)})
	if err != nil {
		return events, err
	}
	for _, e := range list.Items {
		events = append(events, eventReport{Time: timeOf(e), Type: e.Type, Reason: e.Reason, Message: e.Message})
	}
	slices.SortStableFunc(events, func(a, b eventReport) int { return a.Time.Compare(b.Time.Time) })
	return events, nil
}

// timeOf returns the last time of an Event, which depends on the API that created it.
func timeOf(e corev1.Event) metav1.Time {
	if e.Series != nil {
		return metav1.Time(e.Series.LastObservedTime)
	}
	for _, t := range []metav1.Time{e.LastTimestamp, metav1.Time(e.EventTime)} {
		if !t.IsZero() {
			return t
		}
	}
	return e.CreationTimestamp
}

func (s *status) text(b *v1alpha1.VectorStoreFileBatch, r statusReport) string {
	t, _ := s.newTable(s.Streams.Out)
	now := time.Now()
	lines := append(t.summary(b, r, now), "", "Conditions:")
	lines = append(lines, indent(t.section(conditionRows(r.Conditions, now)))...)
	if len(r.FailedFiles) > 0 {
		lines = append(lines, "", "Failed files: "+byCode(r))
		lines = append(lines, indent(t.section(failedFileRows(r.FailedFiles)))...)
	}
	if len(r.Events) > 0 {
		lines = append(lines, "", "Events:")
		lines = append(lines, indent(t.section(eventRows(r.Events, now)))...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// summary returns the lines with the settings and the progress.
func (t table) summary(b *v1alpha1.VectorStoreFileBatch, r statusReport, now time.Time) []string {
	counts := r.FileCounts
	rows := [][]string{
		{"Name:", r.Name},
		{"Namespace:", r.Namespace},
		{"Vector store:", r.VectorStoreID},
		{"Batch:", cmp.Or(r.BatchID, "-")},
		{"Status:", cmp.Or(r.Status, "-")},
		{"Files:", fmt.Sprintf("%d/%d completed, %d failed, %d cancelled, %d in progress", counts.Completed, counts.Total, counts.Failed, counts.Cancelled, counts.InProgress)},
		{"Settings:", cmp.Or(settings(b), "-")},
		{"Credentials:", "Secret " + credentialsSecret(b)},
		{"Created:", age(b, now) + " ago"},
	}
	if r.LastChangeTime != nil {
		rows = append(rows, []string{"Last change:", duration.HumanDuration(now.Sub(r.LastChangeTime.Time)) + " ago"})
	}
	rows = append(rows, []string{"Last poll:", r.LastPoll.text(now)}, []string{"Trace ID:", r.TraceID})
	lines := align(escaped(rows))
	progress := t.bar(counts)
	for i, row := range rows {
		if row[0] == "Files:" {
			lines[i] = strings.Replace(lines[i], row[1], progress+" "+row[1], 1)
		}
	}
	return lines
}

// settings describes the settings of a batch that differ from the defaults.
func settings(b *v1alpha1.VectorStoreFileBatch) string {
	var set []string
	for _, setting := range []struct {
		isSet bool
		text  string
	}{
		{b.Spec.BatchID != "", "adopted"},
		{ptr.Deref(b.Spec.Cancel, false), "cancel"},
		{ptr.Deref(b.Spec.Suspend, false), "suspend"},
		{b.Spec.ActiveDeadlineSeconds != nil, "deadline " + seconds(ptr.Deref(b.Spec.ActiveDeadlineSeconds, 0))},
		{ptr.Deref(b.Spec.MaxFailedFiles, 0) > 0, fmt.Sprintf("at most %d failed files", ptr.Deref(b.Spec.MaxFailedFiles, 0))},
		{b.Spec.TTLSecondsAfterFinished != nil, "deleted " + seconds(int64(ptr.Deref(b.Spec.TTLSecondsAfterFinished, 0))) + " after it is finished"},
		{b.Spec.DeletionPolicy != "", "deletion policy " + string(b.Spec.DeletionPolicy)},
		{b.Spec.ChunkingStrategy != nil, "chunking " + chunking(b.Spec.ChunkingStrategy)},
		{len(b.Spec.Attributes) > 0, "attributes " + attributeText(b.Spec.Attributes)},
	} {
		if setting.isSet {
			set = append(set, setting.text)
		}
	}
	return strings.Join(set, "; ")
}

func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }

func chunking(c *v1alpha1.ChunkingStrategy) string {
	if c == nil || c.Static == nil {
		return "Auto"
	}
	return fmt.Sprintf("%d tokens with an overlap of %d", c.Static.MaxChunkSizeTokens, ptr.Deref(c.Static.ChunkOverlapTokens, 0))
}

func attributeText(attributes v1alpha1.Attributes) string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		texts = append(texts, key+"="+string(attributes[key].Raw))
	}
	return strings.Join(texts, ", ")
}

func conditionRows(conditions []metav1.Condition, now time.Time) [][]string {
	rows := [][]string{{"TYPE", "STATUS", "REASON", "AGE", "MESSAGE"}}
	for _, c := range conditions {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, duration.HumanDuration(now.Sub(c.LastTransitionTime.Time)), c.Message})
	}
	return rows
}

func eventRows(events []eventReport, now time.Time) [][]string {
	rows := [][]string{{"AGE", "TYPE", "REASON", "MESSAGE"}}
	for _, e := range events {
		rows = append(rows, []string{duration.HumanDuration(now.Sub(e.Time.Time)), e.Type, e.Reason, e.Message})
	}
	return rows
}

// byCode describes the numbers of failed files by code.
func byCode(r statusReport) string {
	var texts []string
	for _, code := range slices.Sorted(maps.Keys(r.FailuresByCode)) {
		texts = append(texts, fmt.Sprintf("%d %s", r.FailuresByCode[code], cmp.Or(code, "without a code")))
	}
	text := strings.Join(texts, ", ")
	if listed := len(r.FailedFiles); int(r.FileCounts.Failed) > listed {
		text += fmt.Sprintf(" (the first %d of %d)", listed, r.FileCounts.Failed)
	}
	return text
}

func indent(lines []string) []string {
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	return lines
}
