// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestOnlyUsableIDsAreUsed(t *testing.T) {
	for id, usable := range map[string]bool{
		"vsfb_0123456789abcdef":                      true,
		"vsfb_ibj_0123456789abcdef":                  true,
		"batch_2f1e0a4c-7d55-4b0e-9f0e-7b8f1c2d3e4f": true,
		"a.b:c":                  true,
		strings.Repeat("a", 128): true,
		strings.Repeat("a", 129): false,
		"":                       false,
		".":                      false,
		"..":                     false,
		"../../files/file-a":     false,
		"a/b":                    false,
		`a\b`:                    false,
		"a%2fb":                  false,
		"a?b":                    false,
		"a#b":                    false,
		"a b":                    false,
		"a\n":                    false,
		"é":                      false,
		"a\x00":                  false,
	} {
		b := fresh(annotated(v1alpha1.AnnotationBatchID, id))
		if got := batch.ID(b); got != "" && !usable || usable && got != id {
			t.Errorf("BatchID is %q of an annotation %q", got, id)
		}
		statusID(id)(b)
		annotated(v1alpha1.AnnotationBatchID, "batch_2")(b)
		if got := batch.ID(b); !usable && got != "batch_2" || usable && got != id {
			t.Errorf("BatchID is %q of a status %q and an annotation batch_2", got, id)
		}
		if batch.UsableID(id) != usable {
			t.Errorf("UsableID(%q) = %t", id, !usable)
		}
	}
}

func TestRefNamesTheBatch(t *testing.T) {
	for name, b := range map[string]*object{"created": created(), "adopted": fresh(adopted, statusID("batch_2"))} {
		if got, want := batch.Ref(b), (upstream.BatchRef{VectorStoreID: "vs_1", BatchID: "batch_1"}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestUrgent(t *testing.T) {
	for name, test := range map[string]struct {
		b    *object
		want bool
	}{
		"new":                        {fresh(), false},
		"followed":                   {followed(), false},
		"to be cancelled":            {followed(wantsCancel), true},
		"cancelled before created":   {fresh(wantsCancel), true},
		"cancel false":               {followed(func(b *object) { b.Spec.Cancel = ptr(false) }), false},
		"cancel taken":               {followed(wantsCancel, latched), false},
		"over, and to be cancelled":  {withChange(run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)}).object, wantsCancel), false},
		"deleted":                    {followed(deletedAt(epoch)), true},
		"suspended":                  {followed(suspends), false},
		"suspended, to be cancelled": {followed(suspends, wantsCancel), true},
	} {
		if got := batch.Urgent(test.b); got != test.want {
			t.Errorf("%s: Urgent is %t", name, got)
		}
	}
}

func TestActionsHaveNames(t *testing.T) {
	names := make(map[string]bool)
	for action := batch.Rest; action <= batch.Release; action++ {
		names[action.String()] = true
	}
	if len(names) != 12 || names["Action(?)"] || (batch.Release+1).String() != "Action(?)" {
		t.Errorf("the names are %v", names)
	}
}

func TestCreateStartedAt(t *testing.T) {
	for text, want := range map[string]time.Time{
		epoch.Format(time.RFC3339Nano):                       epoch,
		epoch.Add(9 * time.Second).Format(time.RFC3339Nano):  epoch.Add(9 * time.Second),
		epoch.Add(11 * time.Second).Format(time.RFC3339Nano): {},
		"":          {},
		"yesterday": {},
	} {
		if got, intent := batch.CreateStartedAt(fresh(annotated(v1alpha1.AnnotationCreateStartedAt, text)), epoch); !intent || !got.Equal(want) {
			t.Errorf("CreateStartedAt of %q is %s, %t", text, got, intent)
		}
	}
	if _, intent := batch.CreateStartedAt(fresh(), epoch); intent {
		t.Error("an intent without an annotation")
	}
}

// FuzzAnnotations lets anybody write anything into the annotations.
func FuzzAnnotations(f *testing.F) {
	for _, seed := range [][2]string{
		{"batch_1", "2026-03-01T12:00:00Z"}, {"../../files", "yesterday"}, {"a/b", "9999-12-31T23:59:59.999999999Z"}, {"", "0000-01-01T00:00:00Z"}, {"..", "2026-03-01T12:00:00+23:59"},
	} {
		f.Add(seed[0], seed[1], true)
	}
	f.Fuzz(func(t *testing.T, id, startedAt string, deleted bool) {
		b := fresh(held, annotated(v1alpha1.AnnotationBatchID, id), annotated(v1alpha1.AnnotationCreateStartedAt, startedAt))
		if deleted {
			deletedAt(epoch)(b)
		}
		if got := batch.ID(b); got != "" && (got != id || len(got) > 128 || url.PathEscape(got) != got || strings.Trim(got, ".") == "") {
			t.Errorf("BatchID is %q of an annotation %q", got, id)
		}
		if got, intent := batch.CreateStartedAt(b, epoch); !intent || got.After(epoch.Add(batch.ClockSkew)) {
			t.Errorf("CreateStartedAt is %s, %t of an annotation %q", got, intent, startedAt)
		}
		if err := newWalker(0).visit(question{b: b, now: epoch}); err != nil {
			t.Error(err)
		}
	})
}
