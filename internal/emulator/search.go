// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a search.
const (
	defaultSearchResults = 10
	maxSearchResults     = 50
	// maxPassage is the maximum length of the text in a result, in bytes.
	maxPassage = 2000
)

type searchPage struct {
	Object      string         `json:"object"`
	SearchQuery []string       `json:"search_query"`
	Data        []searchResult `json:"data"`
	HasMore     bool           `json:"has_more"`
	NextPage    *string        `json:"next_page"`
}

type searchResult struct {
	FileID     string         `json:"file_id"`
	Filename   string         `json:"filename"`
	Score      float64        `json:"score"`
	Attributes map[string]any `json:"attributes"`
	Content    []contentText  `json:"content"`
}

// searchStore finds the files that contain words of the query. The score of a file is the share of the
// words that it contains.
func (s *Server) searchStore(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(&s.settings.Behaviors, x.body, "query", "rewrite_query", "max_num_results", "filters", "ranking_options")
	if apiErr != nil {
		return nil, apiErr
	}
	queries, apiErr := o.queries()
	if apiErr != nil {
		return nil, apiErr
	}
	limit := defaultSearchResults
	if o.has("max_num_results") {
		if limit, apiErr = o.integer("max_num_results", 1, maxSearchResults); apiErr != nil {
			return nil, apiErr
		}
	}
	matches := func(map[string]any) bool { return true }
	if o.has("filters") {
		if matches, apiErr = o.filter("filters"); apiErr != nil {
			return nil, apiErr
		}
	}
	v.advance(s.now(), s.settings)
	page := searchPage{Object: "vector_store.search_results.page", SearchQuery: queries, Data: []searchResult{}}
	words := wordsOf(strings.Join(queries, " "))
	for _, a := range s.visibleFiles(v) {
		if !matches(a.attributes) {
			continue
		}
		if score := a.score(words); score > 0 {
			page.Data = append(page.Data, s.searchResult(a, score))
		}
	}
	slices.SortFunc(page.Data, func(a, b searchResult) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Filename, b.Filename), strings.Compare(a.FileID, b.FileID))
	})
	page.HasMore = len(page.Data) > limit
	page.Data = page.Data[:min(limit, len(page.Data))]
	return page, nil
}

// queries returns the query, which is a text or a list of texts.
func (o object) queries() ([]string, *apiError) {
	if _, isList := o.fields["query"].([]any); !isList {
		query, apiErr := o.text("query")
		return []string{query}, apiErr
	}
	items, apiErr := o.array("query", -1)
	if apiErr != nil {
		return nil, apiErr
	}
	var queries []string
	for i, item := range items {
		query, ok := item.(string)
		if !ok {
			return nil, wrongType(indexed(o.at("query"), i), "a string", item)
		}
		queries = append(queries, query)
	}
	return queries, nil
}

// wordsOf returns the words of a text, in lower case.
func wordsOf(text string) map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		words[word] = true
	}
	return words
}

// score returns the share of the words that a file contains; 0 for a file that cannot be searched.
func (a *attachment) score(words map[string]bool) float64 {
	if a.status != statusCompleted || len(words) == 0 {
		return 0
	}
	contained := wordsOf(string(a.file.content))
	found := 0
	for word := range words {
		if contained[word] {
			found++
		}
	}
	return float64(found) / float64(len(words))
}

func (s *Server) searchResult(a *attachment, score float64) searchResult {
	o := s.storeFileObject(a)
	text := a.file.content[:min(len(a.file.content), maxPassage)]
	r := searchResult{
		FileID: o.ID, Filename: a.file.name, Score: score, Attributes: o.Attributes,
		Content: []contentText{{Type: "text", Text: strings.ToValidUTF8(string(text), string(utf8.RuneError))}},
	}
	if s.settings.SearchOwnIDs {
		sum := sha256.Sum256([]byte("search " + o.ID))
		r.FileID, r.Attributes = filePrefix+hex.EncodeToString(sum[:16]), maps.Clone(o.Attributes)
		if r.Attributes == nil {
			r.Attributes = map[string]any{}
		}
		r.Attributes["file_id"] = o.ID
	}
	return r
}

// filter parses a filter by attributes: a comparison, or "and" or "or" of filters.
func (o object) filter(name string) (func(map[string]any) bool, *apiError) {
	f, apiErr := o.object(name)
	if apiErr != nil {
		return nil, apiErr
	}
	kind, apiErr := f.text("type")
	if apiErr != nil {
		return nil, apiErr
	}
	if kind == "and" || kind == "or" {
		return f.compound(kind)
	}
	if apiErr := oneOf(f.at("type"), kind, "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"); apiErr != nil {
		return nil, apiErr
	}
	key, apiErr := f.text("key")
	if apiErr != nil {
		return nil, apiErr
	}
	want := f.fields["value"]
	if want == nil {
		return nil, missing(f.at("value"))
	}
	return func(attributes map[string]any) bool { return compares(kind, attributes[key], want) }, nil
}

// compound parses the filters of "and" and "or".
func (o object) compound(kind string) (func(map[string]any) bool, *apiError) {
	items, apiErr := o.array("filters", -1)
	if apiErr != nil {
		return nil, apiErr
	}
	var all []func(map[string]any) bool
	for i, item := range items {
		// The path of the filter is in the messages of its errors.
		name := indexed("filters", i)
		part, apiErr := object{path: o.path, fields: map[string]any{name: item}, rules: o.rules}.filter(name)
		if apiErr != nil {
			return nil, apiErr
		}
		all = append(all, part)
	}
	return func(attributes map[string]any) bool {
		for _, part := range all {
			if part(attributes) != (kind == "and") {
				return kind == "or"
			}
		}
		return kind == "and"
	}, nil
}

// compares reports whether an attribute has a relation to a value.
func compares(kind string, got, want any) bool {
	order, sameType := compareValues(got, want)
	switch kind {
	case "eq":
		return sameType && order == 0
	case "ne":
		return !sameType || order != 0
	case "gt":
		return sameType && order > 0
	case "gte":
		return sameType && order >= 0
	case "lt":
		return sameType && order < 0
	case "lte":
		return sameType && order <= 0
	}
	values, _ := want.([]any)
	contains := slices.ContainsFunc(values, func(value any) bool {
		order, sameType := compareValues(got, value)
		return sameType && order == 0
	})
	return contains == (kind == "in")
}

// compareValues compares two numbers, or two other values by their text, and reports whether they have
// the same type.
func compareValues(a, b any) (int, bool) {
	x, isNumber := a.(json.Number)
	y, alsoNumber := b.(json.Number)
	if isNumber && alsoNumber {
		left, _ := x.Float64()
		right, _ := y.Float64()
		return cmp.Compare(left, right), true
	}
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)), fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b)
}
