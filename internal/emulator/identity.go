// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
)

// Prefixes of IDs. The prefix of batches is a setting.
const (
	storePrefix = "vs_"
	filePrefix  = "file-"
)

// idGenerator generates IDs that look random and repeat with the same seed. Each prefix has its
// own counter, so that an additional poll does not change the IDs of batches.
type idGenerator struct {
	seed string
	n    map[string]int
}

func newIDGenerator(seed string) *idGenerator {
	if seed == "" {
		seed = rand.Text()
	}
	return &idGenerator{seed: seed, n: map[string]int{}}
}

// next returns the prefix and 32 hexadecimal digits.
func (i *idGenerator) next(prefix string) string {
	i.n[prefix]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", i.seed, prefix, i.n[prefix]))
	return prefix + hex.EncodeToString(sum[:16])
}

// newID returns the ID of a batch or a vector store.
func (s *Server) newID(prefix string) string {
	id := s.ids.next(prefix)
	if !s.settings.UUIDs {
		return id
	}
	hexadecimal := strings.TrimPrefix(id, prefix)
	return prefix + strings.Join([]string{
		hexadecimal[:8], hexadecimal[8:12], hexadecimal[12:16], hexadecimal[16:20], hexadecimal[20:],
	}, "-")
}

// newUploadID returns the ID of an upload.
func (s *Server) newUploadID() string {
	id := s.ids.next(filePrefix)
	if s.settings.FileIDLength <= 0 {
		return id
	}
	long := base64.RawURLEncoding.EncodeToString([]byte("gateway:" + strings.Repeat(id+";", s.settings.FileIDLength/len(id)+1)))
	return long[len(long)-s.settings.FileIDLength:]
}

// fingerprint returns a short hash that distinguishes keys and reveals none.
func fingerprint(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// fileSetKey returns the same key for the same files in the same store, whatever their order.
func fileSetKey(storeID string, fileIDs []string) string {
	sorted := append([]string(nil), fileIDs...)
	sort.Strings(sorted)
	sum := sha256.Sum256([]byte(storeID + "\n" + strings.Join(sorted, "\n")))
	return string(sum[:])
}
