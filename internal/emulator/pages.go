// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"net/url"
	"slices"
	"strconv"
)

// page is which part of a list was asked for.
type page struct {
	limit         int
	descending    bool
	after, before string
	filter        string
}

func parsePage(query url.Values, size, maxSize int) (page, *apiError) {
	p := page{limit: size, after: query.Get("after"), before: query.Get("before"), filter: query.Get("filter")}
	if raw := query.Get("limit"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil {
			return page{}, wrongType("limit", "an integer", raw)
		}
		if n < 1 {
			return page{}, belowMinimum("limit", 1, n)
		}
		if n > maxSize {
			return page{}, aboveMaximum("limit", maxSize, n)
		}
		p.limit = n
	}
	if bad := oneOf(query, "order", "asc", "desc"); bad != nil {
		return page{}, bad
	}
	p.descending = query.Get("order") != "asc"
	return p, oneOf(query, "filter", statusInProgress, statusCompleted, statusFailed, statusCancelled)
}

func oneOf(query url.Values, name string, allowed ...string) *apiError {
	value := query.Get(name)
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return badRequest(name, "invalid_value", "Invalid value: '%s'. Supported values are: %q.", value, allowed)
}

// list cuts the page out of items, which stand in the order they were asked for in.
func list[T any](p page, items []T, id func(T) string, object func(T) any) (any, *apiError) {
	if p.after != "" {
		i := slices.IndexFunc(items, func(t T) bool { return id(t) == p.after })
		if i < 0 {
			return nil, badRequest("after", "invalid_value", "Invalid 'after': '%s' is not in the list.", p.after)
		}
		items = items[i+1:]
	}
	if p.before != "" {
		i := slices.IndexFunc(items, func(t T) bool { return id(t) == p.before })
		if i < 0 {
			return nil, badRequest("before", "invalid_value", "Invalid 'before': '%s' is not in the list.", p.before)
		}
		items = items[:i]
	}
	answer := listObject{Object: "list", Data: []any{}, HasMore: len(items) > p.limit}
	items = items[:min(p.limit, len(items))]
	for _, t := range items {
		answer.Data = append(answer.Data, object(t))
	}
	if n := len(items); n > 0 {
		answer.FirstID, answer.LastID = id(items[0]), id(items[n-1])
	}
	return answer, nil
}
