// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"crypto/rand"
	"crypto/sha256"
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
