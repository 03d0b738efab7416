// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// maxListed is the maximum total size of the lists of files that are kept, in bytes.
const maxListed = 8 << 20

// detachLists holds the files of deleted objects that are left to be detached. If a list is lost, it is
// read again.
type detachLists struct {
	mu    sync.Mutex
	lists map[types.UID]*detachList
	sizes map[types.UID]int
	size  int
}

func newDetachLists() *detachLists {
	return &detachLists{lists: make(map[types.UID]*detachList), sizes: make(map[types.UID]int)}
}

// get returns the list of an object, which the caller owns until it puts it back; nil if there is none.
func (l *detachLists) get(uid types.UID) *detachList {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.lists[uid]
	l.remove(uid)
	return list
}

// put stores the list of an object. It drops others if there is no room for it.
func (l *detachLists) put(uid types.UID, list *detachList) {
	const perFile = 32
	size := 0
	for _, file := range list.files {
		size += len(file) + perFile
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(uid)
	for other := range l.lists {
		if l.size+size <= maxListed {
			break
		}
		l.remove(other)
	}
	l.lists[uid], l.sizes[uid] = list, size
	l.size += size
}

// forget drops the list of an object.
func (l *detachLists) forget(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(uid)
}

func (l *detachLists) remove(uid types.UID) {
	l.size -= l.sizes[uid]
	delete(l.lists, uid)
	delete(l.sizes, uid)
}
