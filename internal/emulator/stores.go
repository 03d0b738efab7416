// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"maps"
	"slices"
)

func (s *Server) createStore(x *exchange) (any, *apiError) {
	body := x.body
	if len(body) == 0 {
		body = []byte("{}")
	}
	o, bad := parseObject(body, "file_ids", "name", "description", "expires_after", "chunking_strategy", "metadata")
	if bad != nil {
		return nil, bad
	}
	v := newStore("", s.now())
	if bad := v.set(o); bad != nil {
		return nil, bad
	}
	var wishes []wish
	if o.has("file_ids") {
		if wishes, bad = parseFileIDs(o, maxStoreFiles); bad != nil {
			return nil, bad
		}
		wishes = unique(wishes)
	}
	files, bad := s.resolve(wishes)
	if bad != nil {
		return nil, bad
	}
	v.id = s.ids.next(storePrefix)
	s.keepStore(v)
	x.call.VectorStoreID = v.id
	if len(wishes) > 0 {
		s.adopt(files)
		s.begin(v, wishes, files)
	}
	return v.object(s.now()), nil
}

// set takes over the fields that create and update have in common.
func (v *store) set(o object) *apiError {
	if o.has("name") {
		name, bad := o.text("name")
		if bad != nil {
			return bad
		}
		v.name = name
	}
	if o.has("metadata") {
		metadata, bad := o.metadata()
		if bad != nil {
			return bad
		}
		v.metadata = metadata
	}
	if o.has("expires_after") {
		days, bad := o.expiryDays()
		if bad != nil {
			return bad
		}
		v.expiryDays = days
	}
	return nil
}

func (s *Server) keepStore(v *store) {
	v.seq = s.nextSeq()
	s.stores[v.id] = v
}

func (s *Server) retrieveStore(x *exchange) (any, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	v.advance(s.now(), s.settings)
	return v.object(s.now()), nil
}

func (s *Server) updateStore(x *exchange) (any, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	o, bad := parseObject(x.body, "name", "expires_after", "metadata")
	if bad != nil {
		return nil, bad
	}
	changed := *v
	if bad := changed.set(o); bad != nil {
		return nil, bad
	}
	v.name, v.metadata, v.expiryDays = changed.name, changed.metadata, changed.expiryDays
	v.advance(s.now(), s.settings)
	return v.object(s.now()), nil
}

func (s *Server) deleteStore(x *exchange) (any, *apiError) {
	v, bad := s.storeOf(x)
	if bad != nil {
		return nil, bad
	}
	delete(s.stores, v.id)
	return deletedObject{ID: v.id, Object: "vector_store.deleted", Deleted: true}, nil
}

func (s *Server) listStores(x *exchange) (any, *apiError) {
	p, bad := parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if bad != nil {
		return nil, bad
	}
	stores := slices.SortedFunc(maps.Values(s.stores), func(a, b *store) int { return p.compare(a.seq, b.seq) })
	now := s.now()
	return list(p, stores, func(v *store) string { return v.id }, func(v *store) any {
		v.advance(now, s.settings)
		return v.object(now)
	})
}

// compare sorts ascending or descending, as the page wants it.
func (p page) compare(a, b int) int {
	if p.descending {
		a, b = b, a
	}
	return cmp.Compare(a, b)
}
