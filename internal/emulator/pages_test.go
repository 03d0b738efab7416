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

// walk follows the cursors of a list and returns all IDs and the number of pages.
func (s *testServer) walk(path string, size int) (ids []string, pages int) {
	s.t.Helper()
	after := ""
	for {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		r := s.want(http.StatusOK, http.MethodGet, fmt.Sprintf("%s%slimit=%d&after=%s", path, separator, size, after), nil)
		got := r.ids()
		ids = append(ids, got...)
		pages++
		if r.json["has_more"] != true {
			return ids, pages
		}
		if pages == 1000 {
			s.t.Fatalf("%s has more than 1000 pages", path)
		}
		if len(got) != size || r.text("first_id") != got[0] || r.text("last_id") != got[size-1] {
			s.t.Fatalf("page %d has %d items, from %s to %s", pages, len(got), r.text("first_id"), r.text("last_id"))
		}
		after = r.text("last_id")
	}
}

func TestListBatchFiles_Pages(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	want := numbered(250)
	path, _ := s.create(want...)
	for _, order := range []string{"asc", "desc"} {
		ids, pages := s.walk(path+"/files?order="+order, 100)
		equal(t, order+" pages", pages, 3)
		equal(t, order, ids, want)
	}
	ids, pages := s.walk(path+"/files", 50)
	equal(t, "pages of 50", pages, 5)
	equal(t, "IDs", ids, want)
	equal(t, "default page", len(s.want(http.StatusOK, http.MethodGet, path+"/files", nil).ids()), 20)
	equal(t, "before", s.want(http.StatusOK, http.MethodGet, path+"/files?before=file-0003", nil).ids(), want[:3])
	equal(t, "between", s.want(http.StatusOK, http.MethodGet, path+"/files?after=file-0003&before=file-0006", nil).ids(), want[4:6])
	last := s.want(http.StatusOK, http.MethodGet, path+"/files?after=file-0249", nil)
	equal(t, "after the last", last.raw, `{"object":"list","data":[],"first_id":"","last_id":"","has_more":false}`+"\n")
}

func TestListBatchFiles_FiltersByStatus(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	ids := numbered(200)
	for i := range ids {
		if i%2 == 0 {
			ids[i] = "file-fail-" + ids[i]
		}
	}
	path, _ := s.create(ids...)
	s.clock.advance(150 * time.Second)
	for filter, want := range map[string]int{"completed": 75, "failed": 75, "in_progress": 50, "cancelled": 0} {
		got, _ := s.walk(path+"/files?filter="+filter, 20)
		equal(t, filter, len(got), want)
		if filter == "failed" && slices.ContainsFunc(got, func(id string) bool { return !strings.HasPrefix(id, "file-fail-") }) {
			t.Errorf("got %v, want failed files only", got)
		}
	}
	s.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	got, _ := s.walk(path+"/files?filter=cancelled", 100)
	equal(t, "cancelled", got, ids[150:])
}

func TestListBatchFiles_CursorOutsideFilter(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	path, _ := s.create(numbered(4)...)
	s.clock.advance(2 * time.Second)
	// The cursor was in progress when the client got its page, and is finished now.
	got := s.want(http.StatusOK, http.MethodGet, path+"/files?filter=in_progress&after=file-0001", nil).ids()
	equal(t, "in progress", got, []string{"file-0002", "file-0003"})
}

func TestList_RejectsInvalidQueries(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, _ := s.create("file-a")
	for query, param := range map[string]string{
		"limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "limit=-1": "limit", "order=up": "order",
		"filter=done": "filter", "after=file-none": "after", "before=file-none": "before",
	} {
		for _, list := range []string{path + "/files", "/v1/vector_stores/" + testStore + "/files"} {
			r := s.want(http.StatusBadRequest, http.MethodGet, list+"?"+query, nil)
			equal(t, query, r.json["error"].(map[string]any)["param"], any(param))
		}
	}
	for _, query := range []string{"limit=1", "limit=100", "order=asc", "order=desc", "filter=failed", "after=file-a"} {
		s.want(http.StatusOK, http.MethodGet, path+"/files?"+query, nil)
	}
}

func TestListStoreFiles_SortsByCreatedAt(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.create("file-a", "file-b")
	s.clock.advance(time.Second)
	s.create("file-c", "file-d")
	path := "/v1/vector_stores/" + testStore + "/files"
	equal(t, "asc", s.want(http.StatusOK, http.MethodGet, path+"?order=asc", nil).ids(), []string{"file-a", "file-b", "file-c", "file-d"})
	// Files of the same age keep their order.
	equal(t, "desc", s.want(http.StatusOK, http.MethodGet, path, nil).ids(), []string{"file-c", "file-d", "file-a", "file-b"})
	ids, pages := s.walk(path, 1)
	equal(t, "one by one", ids, []string{"file-c", "file-d", "file-a", "file-b"})
	equal(t, "pages", pages, 4)
}
