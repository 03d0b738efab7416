// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync_test

import (
	"flag"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

var (
	documentsFlag = flag.Int("documents", 3, "number of documents beside those that change in TestKilledEverywhere")
	strideFlag    = flag.Int("stride", 0, "kill at every n-th request only; 0 is 4, and 8 with -short")
)

// revision is a state of the folder and of the flags.
type revision struct {
	change     string
	documents  map[string]string
	attributes map[string]any
	flags      []string
}

// revisions returns the states of a folder that follow each other, and lead back to the first.
func revisions(count int) []revision {
	base := map[string]string{}
	for i := range count {
		base[fmt.Sprintf("part-%d/page.md", i)] = fmt.Sprintf("Page %d.", i)
	}
	base["guide.md"], base["faq.md"], base["old name.md"] = "First guide.", "Questions.", "Renamed."
	with := func(change map[string]string, without ...string) map[string]string {
		documents := maps.Clone(base)
		maps.Copy(documents, change)
		for _, path := range without {
			delete(documents, path)
		}
		base = documents
		return documents
	}
	none := map[string]any{}
	draft := map[string]any{"draft": true}
	return []revision{
		{"add", with(map[string]string{"new.md": "New.", "sub/new.txt": "New too."}), none, nil},
		{"change", with(map[string]string{"guide.md": "Second guide.", "faq.md": "Answers!!"}), none, nil},
		{"rename", with(map[string]string{"new name.md": "Renamed."}, "old name.md"), none, nil},
		{"attributes", with(nil), draft, []string{"--attribute=draft=true"}},
		{"delete", with(nil, "new.md", "sub/new.txt"), draft, []string{"--attribute=draft=true"}},
		{"revert", with(map[string]string{"guide.md": "First guide.", "faq.md": "Questions.", "old name.md": "Renamed."}, "new name.md"), none, nil},
	}
}

// TestKilledEverywhere kills a run of each change at each of its requests, before and after the request
// takes effect. The next run completes it: the vector store equals the folder, no uploaded file is left
// behind, and a search finds each document that stays at every moment.
func TestKilledEverywhere(t *testing.T) {
	eventual := emulator.Behaviors{
		DetachDelay: emulator.Duration(150 * time.Millisecond), BatchVisibleAfter: emulator.Duration(100 * time.Millisecond),
	}
	for name, options := range map[string]emulator.Options{
		"openai":   {},
		"eventual": {Settings: emulator.Settings{Behaviors: eventual}},
		"ogx":      {Profile: emulator.ProfileOGX},
	} {
		for _, after := range []bool{false, true} {
			const shards = 2
			for shard := range shards {
				t.Run(fmt.Sprintf("%s/after=%t/%d", name, after, shard), func(t *testing.T) {
					t.Parallel()
					killEverywhere(t, options, after, shard, shards)
				})
			}
		}
	}
}

func killEverywhere(t *testing.T, options emulator.Options, after bool, shard, shards int) {
	w := newWorld(t, options)
	changes := revisions(*documentsFlag)
	last := changes[len(changes)-1]
	w.write(last.documents)
	w.mustRun(last.flags...)
	w.wantEqual(last.documents, last.attributes)
	stride := *strideFlag
	if stride == 0 {
		stride = 4
		if testing.Short() {
			stride = 8
		}
	}
	kills := 0
	for at, more := 1+shard*stride, true; more; at += shards * stride {
		more = false
		for _, next := range changes {
			if w.killOnce(last, next, at, after) {
				more = true
				kills++
			}
			if last = next; t.Failed() {
				t.Fatalf("after a kill of %s at request %d, after its effect: %t", next.change, at, after)
			}
		}
	}
	t.Logf("%d kills", kills)
	if kills < len(changes) {
		t.Errorf("%d kills for %d changes", kills, len(changes))
	}
}

// killOnce makes a change in a run that is killed, completes it, and checks the result.
func (w *world) killOnce(before, next revision, at int, after bool) bool {
	w.Helper()
	stay := map[string]bool{}
	for path, content := range next.documents {
		if old, existed := before.documents[path]; existed {
			stay[path] = content != old
		}
	}
	w.require(stay)
	w.write(next.documents)
	killed, output := w.runKilled(at, after, next.flags...)
	if killed {
		output += "\n--- the next run:\n" + w.mustRun(next.flags...)
	}
	w.wantEqual(next.documents, next.attributes)
	if w.Failed() {
		w.Logf("output:\n%s", output)
	}
	return killed
}
