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

// What the IDs of vector stores and files begin with. That of batches is a setting.
const (
	storePrefix = "vs_"
	filePrefix  = "file-"
)

// identities makes IDs that look random and yet repeat with the same seed. Each prefix counts
// for itself, so that a poll more or less changes no other ID.
type identities struct {
	seed string
	n    map[string]int
}

func newIdentities(seed string) *identities {
	if seed == "" {
		seed = rand.Text()
	}
	return &identities{seed: seed, n: map[string]int{}}
}

// next is prefix and 32 hexadecimal digits.
func (i *identities) next(prefix string) string {
	i.n[prefix]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", i.seed, prefix, i.n[prefix]))
	return prefix + hex.EncodeToString(sum[:16])
}

// fingerprint tells keys apart without giving any part of one away.
func fingerprint(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// fileSetKey is the same for the same files in the same store, whatever their order.
func fileSetKey(storeID string, fileIDs []string) string {
	sorted := append([]string(nil), fileIDs...)
	sort.Strings(sorted)
	sum := sha256.Sum256([]byte(storeID + "\n" + strings.Join(sorted, "\n")))
	return string(sum[:])
}
