// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	testFiles  = "/v1/vector_stores/" + testStore + "/files"
	testSearch = "/v1/vector_stores/" + testStore + "/search"
)

// found returns the names of the files that a search finds.
func (s *testServer) found(body fields) []string {
	s.t.Helper()
	names := []string{}
	for _, item := range s.want(http.StatusOK, http.MethodPost, testSearch, body).json["data"].([]any) {
		names = append(names, item.(map[string]any)["filename"].(string))
	}
	return names
}

// attach uploads a file and attaches it, and returns its ID.
func (s *testServer) attach(name, content string, attributes fields) string {
	s.t.Helper()
	id := s.upload(name, content, "purpose", "assistants").text("id")
	s.want(http.StatusOK, http.MethodPost, testFiles, fields{"file_id": id, "attributes": attributes})
	return id
}

func TestSearch(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	s.attach("vacation.md", "Employees have 30 days of vacation.", fields{"path": "hr/vacation.md", "year": 2026, "draft": false})
	s.attach("travel.md", "Travel costs are refunded after 30 days.", fields{"path": "hr/travel.md", "year": 2025, "draft": true})
	s.attach("broken.csv.md", "", fields{})
	equal(t, "in progress", s.found(fields{"query": "vacation"}), []string{})
	s.clock.advance(time.Minute)
	for query, want := range map[string][]string{
		"VACATION days": {"vacation.md", "travel.md"},
		"refunded?":     {"travel.md"},
		"vaca":          {},
		"":              {},
	} {
		equal(t, query, s.found(fields{"query": query}), want)
	}
	equal(t, "a limit", s.found(fields{"query": "days", "max_num_results": 1}), []string{"travel.md"})
	equal(t, "more", s.want(http.StatusOK, http.MethodPost, testSearch, fields{"query": []string{"days", "of"}, "max_num_results": 1}).json["has_more"], true)
	compare := func(kind, key string, value any) fields { return fields{"type": kind, "key": key, "value": value} }
	for i, test := range []struct {
		filter fields
		want   []string
	}{
		{compare("eq", "path", "hr/vacation.md"), []string{"vacation.md"}},
		{compare("ne", "path", "hr/vacation.md"), []string{"travel.md"}},
		{compare("gt", "year", 2025), []string{"vacation.md"}},
		{compare("gte", "year", 2025.0), []string{"travel.md", "vacation.md"}},
		{compare("lt", "year", 2025), []string{}},
		{compare("lte", "year", 2025), []string{"travel.md"}},
		{compare("lte", "none", 2025), []string{}},
		{compare("eq", "draft", true), []string{"travel.md"}},
		{compare("in", "year", []int{1, 2026}), []string{"vacation.md"}},
		{compare("nin", "year", []int{1, 2026}), []string{"travel.md"}},
		{fields{"type": "and", "filters": []fields{compare("eq", "year", 2025), compare("eq", "draft", false)}}, []string{}},
		{fields{"type": "or", "filters": []fields{compare("eq", "year", 2025), compare("eq", "draft", false)}}, []string{"travel.md", "vacation.md"}},
	} {
		equal(t, fmt.Sprint("filter ", i), s.found(fields{"query": "days", "filters": test.filter}), test.want)
	}
	for _, body := range []fields{
		{}, {"query": 1}, {"query": []any{"a", 1}}, {"query": "a", "max_num_results": 0}, {"query": "a", "unknown": 1},
		{"query": "a", "filters": fields{"type": "like", "key": "a", "value": "b"}}, {"query": "a", "filters": fields{"type": "eq", "key": "a"}},
		{"query": "a", "filters": fields{"type": "and", "filters": []any{1}}},
	} {
		s.want(http.StatusBadRequest, http.MethodPost, testSearch, body)
	}
	s.want(http.StatusNotFound, http.MethodPost, "/v1/vector_stores/vs_none/search", fields{"query": "a"})
}

func TestSearch_DetachedFile(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{DetachDelay: emulator.Duration(2 * time.Second)}})
	id := s.attach("a.md", "words", nil)
	s.want(http.StatusOK, http.MethodDelete, testFiles+"/"+id, nil)
	equal(t, "detached a moment ago", s.found(fields{"query": "words"}), []string{"a.md"})
	s.clock.advance(2 * time.Second)
	equal(t, "detached", s.found(fields{"query": "words"}), []string{})
}

func TestSearch_OwnIDs(t *testing.T) {
	s, _ := newProfileServer(t, emulator.ProfileOGX, false, emulator.Settings{})
	id := s.attach("a.md", "words", fields{"path": "a.md"})
	item := s.want(http.StatusOK, http.MethodPost, testSearch, fields{"query": "words"}).json["data"].([]any)[0].(map[string]any)
	equal(t, "attribute", item["attributes"].(map[string]any)["file_id"], any(id))
	equal(t, "file_id is another one", item["file_id"] != id, true)
}

// TestStoreFiles_Attributes shows what servers can do with attributes.
func TestStoreFiles_Attributes(t *testing.T) {
	for name, test := range map[string]struct {
		behaviors         emulator.Behaviors
		attached, updated fields
	}{
		"kept":            {emulator.Behaviors{}, fields{"a": "X", "n": 1}, fields{"a": "Y"}},
		"dropped":         {emulator.Behaviors{AttributesDropped: true}, fields{}, fields{}},
		"lower case":      {emulator.Behaviors{AttributesLowered: true}, fields{"a": "x", "n": 1}, fields{"a": "y"}},
		"updates dropped": {emulator.Behaviors{UpdatesDropped: true}, fields{"a": "X", "n": 1}, fields{"a": "X", "n": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, emulator.Settings{Behaviors: test.behaviors})
			id := s.attach("a.md", "words", fields{"a": "X", "n": 1})
			listed := func() string {
				return fmt.Sprint(s.want(http.StatusOK, http.MethodGet, testFiles, nil).json["data"].([]any)[0].(map[string]any)["attributes"])
			}
			equal(t, "attached", listed(), fmt.Sprint(test.attached))
			s.want(http.StatusOK, http.MethodPost, testFiles+"/"+id, fields{"attributes": fields{"a": "Y"}})
			equal(t, "updated", listed(), fmt.Sprint(test.updated))
		})
	}
}

// TestStoreFiles_EventualList shows that a file is listed and searched some time after it was attached, and
// that all pages together have each file once.
func TestStoreFiles_EventualList(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{BatchVisibleAfter: emulator.Duration(3 * time.Second)}})
	for i := range 5 {
		s.attach(fmt.Sprintf("%d.md", i), "words", nil)
	}
	equal(t, "listed at once", len(s.want(http.StatusOK, http.MethodGet, testFiles, nil).ids()), 0)
	equal(t, "counted at once", s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil).json["file_counts"].(map[string]any)["total"], 5.0)
	s.clock.advance(3 * time.Second)
	var all []string
	for after := ""; len(all) < 5; after = all[len(all)-1] {
		all = append(all, s.want(http.StatusOK, http.MethodGet, testFiles+"?limit=2&after="+after, nil).ids()...)
	}
	slices.Sort(all)
	equal(t, "listed later", len(slices.Compact(all)), 5)
}
