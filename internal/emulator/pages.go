// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"net/url"
	"slices"
)

// page is the part of a list that a request selects.
type page struct {
	limit         int
	descending    bool
	after, before string
	filter        string
	// loose ignores cursors that are not in the list.
	loose bool
}

func (s *Server) parsePage(query url.Values, size, maxSize int) (page, *apiError) {
	p := page{limit: size, after: query.Get("after"), before: query.Get("before"), filter: query.Get("filter")}
	if limit := query.Get("limit"); limit != "" {
		n, apiErr := parseInteger("limit", limit, 1, maxSize)
		if apiErr != nil {
			return page{}, apiErr
		}
		p.limit = n
	}
	order := query.Get("order")
	if s.settings.LooseQueries {
		p.loose, p.descending = true, order == "desc" || order == ""
		return p, nil
	}
	if apiErr := oneOf("order", order, "asc", "desc"); apiErr != nil {
		return page{}, apiErr
	}
	p.descending = order != "asc"
	return p, oneOf("filter", p.filter, statusInProgress, statusCompleted, statusFailed, statusCancelled)
}

// oneOf rejects a value that is neither empty nor supported.
func oneOf(param, value string, supported ...string) *apiError {
	if value == "" || slices.Contains(supported, value) {
		return nil
	}
	return badRequest(param, "invalid_value", "Invalid value: '%s'. Supported values are: %q.", value, supported)
}

// compare orders two values as the page requests.
func (p page) compare(a, b int) int {
	if p.descending {
		a, b = b, a
	}
	return cmp.Compare(a, b)
}

// list returns the page of the items, which are in the order that the request selects.
func list[T any](p page, items []T, id func(T) string, object func(T) any) (any, *apiError) {
	if p.after != "" {
		i := slices.IndexFunc(items, func(t T) bool { return id(t) == p.after })
		if i < 0 && !p.loose {
			return nil, badRequest("after", "invalid_value", "Invalid 'after': '%s' is not in the list.", p.after)
		}
		items = items[i+1:]
	}
	if p.before != "" {
		i := slices.IndexFunc(items, func(t T) bool { return id(t) == p.before })
		if i < 0 && !p.loose {
			return nil, badRequest("before", "invalid_value", "Invalid 'before': '%s' is not in the list.", p.before)
		}
		if i >= 0 {
			items = items[:i]
		}
	}
	o := listObject{Object: "list", Data: []any{}, HasMore: len(items) > p.limit}
	items = items[:min(p.limit, len(items))]
	for _, t := range items {
		o.Data = append(o.Data, object(t))
	}
	if n := len(items); n > 0 {
		o.FirstID, o.LastID = id(items[0]), id(items[n-1])
	}
	return o, nil
}
