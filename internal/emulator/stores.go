// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"maps"
	"slices"
)

func (s *Server) createStore(x *exchange) (any, *apiError) {
	body := x.body
	if len(body) == 0 {
		body = []byte("{}")
	}
	o, apiErr := parseObject(&s.settings.Behaviors, body, "file_ids", "name", "description", "expires_after", "chunking_strategy", "metadata")
	if apiErr != nil {
		return nil, apiErr
	}
	v := newStore("", s.now())
	if apiErr := v.set(o); apiErr != nil {
		return nil, apiErr
	}
	var params []fileParams
	if o.has("file_ids") {
		if params, apiErr = parseFileIDs(o, maxStoreFiles); apiErr != nil {
			return nil, apiErr
		}
		params = unique(params)
	}
	files, apiErr := s.resolveFiles(params)
	if apiErr != nil {
		return nil, apiErr
	}
	v.id = s.newID(storePrefix)
	s.insertStore(v)
	x.call.VectorStoreID = v.id
	if len(params) > 0 {
		s.startBatch(v, params, files)
	}
	return s.storeObject(v), nil
}

// set sets the fields that create and update share.
func (v *store) set(o object) *apiError {
	if o.has("name") {
		name, apiErr := o.text("name")
		if apiErr != nil {
			return apiErr
		}
		v.name = name
	}
	if o.has("metadata") {
		metadata, apiErr := o.metadata()
		if apiErr != nil {
			return apiErr
		}
		v.metadata = metadata
	}
	if o.has("expires_after") {
		days, apiErr := o.expiryDays()
		if apiErr != nil {
			return apiErr
		}
		v.expiryDays = days
	}
	return nil
}

func (s *Server) insertStore(v *store) {
	v.seq = s.nextSeq()
	s.stores[v.id] = v
}

func (s *Server) retrieveStore(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	v.advance(s.now(), s.settings)
	return s.storeObject(v), nil
}

func (s *Server) updateStore(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	o, apiErr := parseObject(&s.settings.Behaviors, x.body, "name", "expires_after", "metadata")
	if apiErr != nil {
		return nil, apiErr
	}
	changed := *v
	if apiErr := changed.set(o); apiErr != nil {
		return nil, apiErr
	}
	v.name, v.metadata, v.expiryDays = changed.name, changed.metadata, changed.expiryDays
	v.advance(s.now(), s.settings)
	return s.storeObject(v), nil
}

func (s *Server) deleteStore(x *exchange) (any, *apiError) {
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return nil, apiErr
	}
	delete(s.stores, v.id)
	return deletedObject{ID: v.id, Object: "vector_store.deleted", Deleted: true}, nil
}

func (s *Server) listStores(x *exchange) (any, *apiError) {
	p, apiErr := s.parsePage(x.request.URL.Query(), defaultPageSize, maxPageSize)
	if apiErr != nil {
		return nil, apiErr
	}
	stores := slices.SortedFunc(maps.Values(s.stores), func(a, b *store) int { return p.compare(a.seq, b.seq) })
	now := s.now()
	return list(p, stores, func(v *store) string { return v.id }, func(v *store) any {
		v.advance(now, s.settings)
		return s.storeObject(v)
	})
}
