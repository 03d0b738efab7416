// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"
)

// change is a merge patch of a spec, and the parts of the error that the API server must return;
// nil if it must accept the patch.
type change struct {
	spec      string
	patch     string
	wantError []string
}

const (
	plain   = `{"vectorStoreID":"vs_1","fileIDs":["file-1","file-2"]}`
	shared  = `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"attributes":{"a":"b","n":1},"chunkingStrategy":{"type":"Static","static":{"maxChunkSizeTokens":800,"chunkOverlapTokens":400}}}`
	single  = `{"vectorStoreID":"vs_1","files":[{"fileID":"file-1","attributes":{"a":"b","n":1},"chunkingStrategy":{"type":"Auto"}}]}`
	adopted = `{"vectorStoreID":"vs_1","batchID":"vsfb_1"}`
)

func testChanges(t *testing.T, changes map[string]change) {
	t.Helper()
	for name, test := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := mustCreate(t, test.spec)
			err := patch(t.Context(), object.GetName(), `{"spec":`+test.patch+`}`)
			if test.wantError != nil {
				expectError(t, err, test.wantError...)
			} else if err != nil {
				t.Errorf("unexpected error: %v", err)
			}
		})
	}
}

func TestUpdate_ImmutableFields(t *testing.T) {
	store := message("spec.vectorStoreID is immutable; create a new object instead")
	ids := message("spec.fileIDs is immutable; create a new object instead")
	files := message("spec.files is immutable; create a new object instead")
	batch := message("spec.batchID is immutable; create a new object instead")
	attributes := message("spec.attributes is immutable; create a new object instead")
	chunking := message("spec.chunkingStrategy is immutable; create a new object instead")
	testChanges(t, map[string]change{
		"vectorStoreID":                       {plain, `{"vectorStoreID":"vs_2"}`, store},
		"vectorStoreID, removed":              {plain, `{"vectorStoreID":null}`, message("spec.vectorStoreID", "Required value")},
		"fileIDs, one more":                   {plain, `{"fileIDs":["file-1","file-2","file-3"]}`, ids},
		"fileIDs, one less":                   {plain, `{"fileIDs":["file-1"]}`, ids},
		"fileIDs, another one":                {plain, `{"fileIDs":["file-1","file-3"]}`, ids},
		"fileIDs, in another order":           {plain, `{"fileIDs":["file-2","file-1"]}`, ids},
		"fileIDs, the same":                   {plain, `{"fileIDs":["file-1","file-2"]}`, nil},
		"batchID":                             {adopted, `{"batchID":"vsfb_2"}`, batch},
		"files, another one":                  {single, `{"files":[{"fileID":"file-2","attributes":{"a":"b","n":1},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, a changed attribute":          {single, `{"files":[{"fileID":"file-1","attributes":{"a":"c","n":1},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, an attribute of another type": {single, `{"files":[{"fileID":"file-1","attributes":{"a":"b","n":"1"},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, one more attribute":           {single, `{"files":[{"fileID":"file-1","attributes":{"a":"b","n":1,"x":true},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, one attribute less":           {single, `{"files":[{"fileID":"file-1","attributes":{"a":"b"},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, an attribute renamed":         {single, `{"files":[{"fileID":"file-1","attributes":{"z":"b","n":1},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, all attributes renamed":       {single, `{"files":[{"fileID":"file-1","attributes":{"y":"b","z":["x"]},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, no attributes":                {single, `{"files":[{"fileID":"file-1","chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, an attribute not allowed":     {single, `{"files":[{"fileID":"file-1","attributes":{"a":["b"],"n":1},"chunkingStrategy":{"type":"Auto"}}]}`, files},
		"files, other chunking":               {single, `{"files":[{"fileID":"file-1","attributes":{"a":"b","n":1},"chunkingStrategy":{"type":"Static","static":{"maxChunkSizeTokens":100,"chunkOverlapTokens":0}}}]}`, files},
		"files, no chunking":                  {single, `{"files":[{"fileID":"file-1","attributes":{"a":"b","n":1}}]}`, files},
		"files, the same":                     {single, `{"files":[{"fileID":"file-1","attributes":{"n":1,"a":"b"},"chunkingStrategy":{"type":"Auto"}}]}`, nil},
		"attributes, a changed value":         {shared, `{"attributes":{"a":"c"}}`, attributes},
		"attributes, a value of another type": {shared, `{"attributes":{"n":"1"}}`, attributes},
		"attributes, one more":                {shared, `{"attributes":{"x":true}}`, attributes},
		"attributes, one less":                {shared, `{"attributes":{"a":null}}`, attributes},
		"attributes, one renamed":             {shared, `{"attributes":{"a":null,"z":"b"}}`, attributes},
		"attributes, all renamed":             {shared, `{"attributes":{"a":null,"n":null,"y":"b","z":["x"]}}`, attributes},
		"attributes, one not allowed":         {shared, `{"attributes":{"a":{"b":"c"}}}`, attributes},
		"attributes, the same":                {shared, `{"attributes":{"a":"b","n":1}}`, nil},
		"chunkingStrategy, another type":      {shared, `{"chunkingStrategy":{"type":"Auto","static":null}}`, chunking},
		"chunkingStrategy, another size":      {shared, `{"chunkingStrategy":{"static":{"maxChunkSizeTokens":801}}}`, chunking},
		"chunkingStrategy, another overlap":   {shared, `{"chunkingStrategy":{"static":{"chunkOverlapTokens":0}}}`, chunking},
		"chunkingStrategy, the same":          {shared, `{"chunkingStrategy":{"type":"Static"}}`, nil},
	})
}

func TestUpdate_ImmutableFieldsAddedOrRemoved(t *testing.T) {
	immutable := message("spec.fileIDs, spec.files, spec.batchID, spec.attributes and spec.chunkingStrategy are immutable and cannot be added or removed")
	testChanges(t, map[string]change{
		"fileIDs for files":          {single, `{"files":null,"fileIDs":["file-1"]}`, immutable},
		"fileIDs for batchID":        {adopted, `{"batchID":null,"fileIDs":["file-1"]}`, immutable},
		"files for fileIDs":          {plain, `{"fileIDs":null,"files":[{"fileID":"file-1"}]}`, immutable},
		"files for batchID":          {adopted, `{"batchID":null,"files":[{"fileID":"file-1"}]}`, immutable},
		"batchID for fileIDs":        {plain, `{"fileIDs":null,"batchID":"vsfb_1"}`, immutable},
		"batchID for files":          {single, `{"files":null,"batchID":"vsfb_1"}`, immutable},
		"batchID beside fileIDs":     {plain, `{"batchID":"vsfb_1"}`, immutable},
		"fileIDs for nothing":        {plain, `{"fileIDs":null}`, immutable},
		"files for nothing":          {single, `{"files":null}`, immutable},
		"batchID for nothing":        {adopted, `{"batchID":null}`, immutable},
		"attributes, added":          {plain, `{"attributes":{"a":"b"}}`, immutable},
		"attributes, added as empty": {plain, `{"attributes":{}}`, immutable},
		"attributes, removed":        {shared, `{"attributes":null}`, immutable},
		"chunkingStrategy, added":    {plain, `{"chunkingStrategy":{"type":"Auto"}}`, immutable},
		"chunkingStrategy, removed":  {shared, `{"chunkingStrategy":null}`, immutable},
	})
}

func TestUpdate_MutableFields(t *testing.T) {
	const set = `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"cancel":true,"maxFailedFiles":2000,"deletionPolicy":"Orphan","credentialsRef":{"name":"a"}}`
	testChanges(t, map[string]change{
		"cancel, added":           {plain, `{"cancel":true}`, nil},
		"cancel, unset":           {set, `{"cancel":false}`, nil},
		"cancel, removed":         {set, `{"cancel":null}`, nil},
		"maxFailedFiles, added":   {plain, `{"maxFailedFiles":2000}`, nil},
		"maxFailedFiles, changed": {set, `{"maxFailedFiles":0}`, nil},
		"maxFailedFiles, removed": {set, `{"maxFailedFiles":null}`, nil},
		"maxFailedFiles, 2001":    {set, `{"maxFailedFiles":2001}`, message("spec.maxFailedFiles", "less than or equal to 2000")},
		"maxFailedFiles, -1":      {set, `{"maxFailedFiles":-1}`, message("spec.maxFailedFiles", "greater than or equal to 0")},
		"deletionPolicy, added":   {plain, `{"deletionPolicy":"Orphan"}`, nil},
		"deletionPolicy, changed": {set, `{"deletionPolicy":"Cancel"}`, nil},
		"deletionPolicy, removed": {set, `{"deletionPolicy":null}`, nil},
		"deletionPolicy, unknown": {set, `{"deletionPolicy":"Keep"}`, message("spec.deletionPolicy", `"Cancel"`, `"Orphan"`)},
		"credentialsRef, added":   {plain, `{"credentialsRef":{"name":"b"}}`, nil},
		"credentialsRef, changed": {set, `{"credentialsRef":{"name":"b"}}`, nil},
		"credentialsRef, removed": {set, `{"credentialsRef":null}`, nil},
		"suspend, both ways":      {plain, `{"suspend":true}`, nil},
		"deadline, set":           {plain, `{"activeDeadlineSeconds":60}`, nil},
		"time to live, set":       {plain, `{"ttlSecondsAfterFinished":60}`, nil},
		"all of an adopted batch": {adopted, `{"cancel":true,"maxFailedFiles":1,"deletionPolicy":"Cancel","credentialsRef":{"name":"b"}}`, nil},
		"all beside files":        {single, `{"cancel":true,"maxFailedFiles":1,"deletionPolicy":"Cancel","credentialsRef":{"name":"b"}}`, nil},
	})
}
