// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// walk pages through a list by its cursor and returns all IDs.
func (b *bench) walk(path string, size int) (ids []string, pages int) {
	b.t.Helper()
	after := ""
	for {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		r := b.want(http.StatusOK, http.MethodGet, fmt.Sprintf("%s%slimit=%d&after=%s", path, separator, size, after), nil)
		got := r.ids()
		ids = append(ids, got...)
		pages++
		if r.json["has_more"] != true {
			return ids, pages
		}
		if pages == 1000 {
			b.t.Fatalf("%s has no end", path)
		}
		if len(got) != size || r.text("first_id") != got[0] || r.text("last_id") != got[size-1] {
			b.t.Fatalf("page %d has %d items, from %s to %s", pages, len(got), r.text("first_id"), r.text("last_id"))
		}
		after = r.text("last_id")
	}
}

func TestFilesOfBatchAreListedPageByPage(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	want := numbered(250)
	path, _ := b.create(want...)
	for _, order := range []string{"asc", "desc"} {
		ids, pages := b.walk(path+"/files?order="+order, 100)
		equal(t, order+" pages", pages, 3)
		equal(t, order, ids, want)
	}
	ids, pages := b.walk(path+"/files", 50)
	equal(t, "pages of 50", pages, 5)
	equal(t, "IDs", ids, want)
	equal(t, "page by default", len(b.want(http.StatusOK, http.MethodGet, path+"/files", nil).ids()), 20)
	equal(t, "before", b.want(http.StatusOK, http.MethodGet, path+"/files?before=file-0003", nil).ids(), want[:3])
	equal(t, "between", b.want(http.StatusOK, http.MethodGet, path+"/files?after=file-0003&before=file-0006", nil).ids(), want[4:6])
	last := b.want(http.StatusOK, http.MethodGet, path+"/files?after=file-0249", nil)
	equal(t, "after the last", last.raw, `{"object":"list","data":[],"first_id":"","last_id":"","has_more":false}`+"\n")
}

func TestFilesOfBatchAreFilteredByStatus(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	ids := numbered(200)
	for i := range ids {
		if i%2 == 0 {
			ids[i] = "file-fail-" + ids[i]
		}
	}
	path, _ := b.create(ids...)
	b.clock.advance(150 * time.Second)
	for filter, want := range map[string]int{"completed": 75, "failed": 75, "in_progress": 50, "cancelled": 0} {
		got, _ := b.walk(path+"/files?filter="+filter, 20)
		equal(t, filter, len(got), want)
		if filter == "failed" && slices.ContainsFunc(got, func(id string) bool { return !strings.HasPrefix(id, "file-fail-") }) {
			t.Errorf("%v are not the failed ones", got)
		}
	}
	b.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	got, _ := b.walk(path+"/files?filter=cancelled", 100)
	equal(t, "cancelled", got, ids[150:])
}

func TestCursorSurvivesFilter(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	path, _ := b.create(numbered(4)...)
	b.clock.advance(2 * time.Second)
	// The cursor was in progress when its page was read, and no longer is.
	got := b.want(http.StatusOK, http.MethodGet, path+"/files?filter=in_progress&after=file-0001", nil).ids()
	equal(t, "in progress", got, []string{"file-0002", "file-0003"})
}

func TestBadPagesAreRefused(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	path, _ := b.create("file-a")
	for query, param := range map[string]string{
		"limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "limit=-1": "limit", "order=up": "order",
		"filter=done": "filter", "after=file-none": "after", "before=file-none": "before",
	} {
		for _, list := range []string{path + "/files", "/v1/vector_stores/" + testStore + "/files"} {
			r := b.want(http.StatusBadRequest, http.MethodGet, list+"?"+query, nil)
			equal(t, query, r.json["error"].(map[string]any)["param"], any(param))
		}
	}
	for _, query := range []string{"limit=1", "limit=100", "order=asc", "order=desc", "filter=failed", "after=file-a"} {
		b.want(http.StatusOK, http.MethodGet, path+"/files?"+query, nil)
	}
}

func TestFilesOfStoreAreListedByAgeAlone(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	b.create("file-a", "file-b")
	b.clock.advance(time.Second)
	b.create("file-c", "file-d")
	path := "/v1/vector_stores/" + testStore + "/files"
	equal(t, "asc", b.want(http.StatusOK, http.MethodGet, path+"?order=asc", nil).ids(), []string{"file-a", "file-b", "file-c", "file-d"})
	// Files of the same age keep their order.
	equal(t, "desc", b.want(http.StatusOK, http.MethodGet, path, nil).ids(), []string{"file-c", "file-d", "file-a", "file-b"})
	ids, pages := b.walk(path, 1)
	equal(t, "one by one", ids, []string{"file-c", "file-d", "file-a", "file-b"})
	equal(t, "pages", pages, 4)
}
