// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package misoperation_test

import (
	"fmt"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// immutable are the fields that cannot change.
var immutable = []string{"vectorStoreID", "fileIDs", "files", "batchID", "attributes", "chunkingStrategy"}

const otherSecret = "other" // credentials for the same API as the default Secret

// author generates the specs for one object.
type author struct {
	generator
	schema schema
	object string
	// adoptable is an existing batch for this object only.
	adoptable string
	// stuck means that the files never finish, so that only a deadline or a cancel ends the batch.
	stuck bool
	specs int
}

// spec returns a valid spec. It avoids values with which the final state would depend on timing.
func (a *author) spec() map[string]any {
	a.specs++
	fields := a.valid(a.schema).(map[string]any)
	a.source(fields)
	if a.stuck || a.chance(94) {
		fields["vectorStoreID"] = framework.VectorStore
	}
	switch { // the effect of a missing Secret on a cancel depends on timing
	case fields["cancel"] == true || a.chance(60):
		delete(fields, "credentialsRef")
	case a.chance(60):
		fields["credentialsRef"] = map[string]any{"name": otherSecret}
	}
	if fields["cancel"] == true && a.chance(60) {
		fields["cancel"] = false
	}
	if fields["suspend"] == true && a.chance(50) {
		delete(fields, "suspend")
	}
	const far = 600 // seconds, longer than the test
	for _, name := range []string{"activeDeadlineSeconds", "ttlSecondsAfterFinished"} {
		if seconds, some := fields[name].(int64); some {
			fields[name] = max(seconds, far)
		}
	}
	return fields
}

// last returns the final spec of the object.
func (a *author) last(current map[string]any) map[string]any {
	fields := a.mutable(current)
	if a.chance(20) {
		fields["ttlSecondsAfterFinished"] = pick[any](a.generator, 0, 1)
	}
	if a.stuck {
		fields["activeDeadlineSeconds"] = 1
		for _, name := range []string{"suspend", "cancel", "credentialsRef"} {
			delete(fields, name)
		}
	}
	return fields
}

// mutable returns a spec that differs from another only in mutable fields.
func (a *author) mutable(current map[string]any) map[string]any {
	fields := a.spec()
	for _, name := range immutable {
		fields = with(fields, name, current[name])
	}
	return fields
}

// source sets exactly one of fileIDs, files and batchID, with the fields that it allows.
func (a *author) source(fields map[string]any) {
	kind := pick(a.generator, "fileIDs", "fileIDs", "files", "batchID")
	if a.stuck {
		kind = "fileIDs"
	}
	for _, name := range []string{"fileIDs", "files", "batchID"} {
		if name != kind {
			delete(fields, name)
		} else if fields[name] == nil {
			fields[name] = a.valid(a.schema.Properties[name])
		}
	}
	if kind != "fileIDs" {
		delete(fields, "attributes")
		delete(fields, "chunkingStrategy")
	}
	a.chunking(fields)
	switch kind {
	case "fileIDs":
		fields[kind] = a.fileIDs(fields[kind].([]any))
	case "files":
		fields[kind] = a.files(fields[kind].([]any))
	case "batchID":
		if a.chance(70) {
			fields[kind] = a.adoptable
		} else if a.chance(50) {
			fields[kind] = "vsfb_" + a.letters("0123456789abcdef", 32)
		}
	}
}

// fileIDs returns generated IDs, and IDs that no other object has.
func (a *author) fileIDs(generated []any) []any {
	if a.stuck {
		return []any{framework.StuckFile(a.object, a.specs), framework.StuckFile(a.object, a.specs)}
	}
	for i, id := range generated {
		generated[i] = a.plausible(id)
	}
	kinds := []string{"", "", "fail-", "fail-unsupported-"}
	for i := range a.IntN(4) {
		generated = append(generated, fmt.Sprintf("file-%s%s-%d-%d", pick(a.generator, kinds...), a.object, a.specs, i))
	}
	if a.chance(30) {
		generated = append(generated, generated[0])
	}
	return append(generated, framework.File(a.object, a.specs))
}

// plausible changes most generated IDs so that the OpenAI API accepts them.
func (a *author) plausible(id any) string {
	const prefix = "file-"
	text := id.(string)
	if a.chance(5) {
		return text
	}
	return prefix + text[:min(len(text), a.schema.Properties["fileIDs"].Items.longest()-len(prefix))]
}

func (a *author) files(generated []any) []any {
	for _, file := range generated {
		fields := file.(map[string]any)
		a.chunking(fields)
		fields["fileID"] = a.plausible(fields["fileID"])
	}
	if a.chance(30) {
		generated = append(generated, generated[0])
	}
	if a.chance(10) { // a duplicate with other settings, which only the operator can detect
		generated = append(generated, with(generated[0].(map[string]any), "attributes", map[string]any{"differs": a.specs}))
	}
	return append(generated, map[string]any{"fileID": framework.File(a.object, a.specs)})
}

// chunking makes a chunkingStrategy valid.
func (a *author) chunking(fields map[string]any) {
	strategy, some := fields["chunkingStrategy"].(map[string]any)
	if !some {
		return
	}
	if strategy["type"] == "Auto" {
		delete(strategy, "static")
		return
	}
	properties := a.schema.Properties["chunkingStrategy"].Properties
	static := a.valid(properties["static"]).(map[string]any)
	static["chunkOverlapTokens"] = min(static["chunkOverlapTokens"].(int64), static["maxChunkSizeTokens"].(int64)/2)
	strategy["static"] = static
}

// spoilt returns an invalid variant of a valid spec, and the field names on the path to the invalid
// value.
func (a *author) spoilt(fields map[string]any) (spec any, path []string) {
	bad := a.breakRule(a.schema, fields)
	if a.chance(75) {
		bad = pick(a.generator, a.inFields(a.schema, fields)...)
	}
	return bad.value, bad.below
}
