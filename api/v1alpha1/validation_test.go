// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// specCase is a spec to create, and the parts of the error that the API server must return; nil if it
// must accept the spec.
type specCase struct {
	spec      string
	wantError []string
}

// message returns the parts that an error must contain.
func message(parts ...string) []string { return parts }

// testSpecs creates each spec.
func testSpecs(t *testing.T, cases map[string]specCase) {
	t.Helper()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := create(t.Context(), test.spec)
			if test.wantError != nil {
				expectError(t, err, test.wantError...)
				return
			}
			if err != nil {
				t.Errorf("unexpected error: %v", err)
			}
		})
	}
}

func fileID(i int) string { return fmt.Sprintf(`"file-%d"`, i) }

func file(i int) string { return fmt.Sprintf(`{"fileID":"file-%d"}`, i) }

// invalidID is how the error for an ID begins. A batchID permits more characters after its first.
const invalidID = "should match '^[A-Za-z0-9_=-]"

func TestValidation_IDs(t *testing.T) {
	for field, spec := range map[string]string{
		"spec.vectorStoreID":   `{"vectorStoreID":%s,"fileIDs":["file-1"]}`,
		"spec.fileIDs[0]":      `{"vectorStoreID":"vs_1","fileIDs":[%s]}`,
		"spec.files[0].fileID": `{"vectorStoreID":"vs_1","files":[{"fileID":%s}]}`,
		"spec.batchID":         `{"vectorStoreID":"vs_1","batchID":%s}`,
	} {
		t.Run(field, func(t *testing.T) {
			with := func(id string) string { return fmt.Sprintf(spec, id) }
			testSpecs(t, map[string]specCase{
				"1 character":               {with(`"x"`), nil},
				"every kind of character":   {with(`"azAZ09_-"`), nil},
				"512 characters":            {with(quoted("x", 512)), nil},
				"513 characters":            {with(quoted("x", 513)), message(field, "may not be more than 512")},
				"empty":                     {with(`""`), message(field, "should be at least 1")},
				"a slash":                   {with(`"a/b"`), message(field, invalidID)},
				"a dot":                     {with(`".."`), message(field, invalidID)},
				"a question mark":           {with(`"a?b"`), message(field, invalidID)},
				"a percent sign":            {with(`"a%2fb"`), message(field, invalidID)},
				"a space":                   {with(`"a b"`), message(field, invalidID)},
				"a line break at the end":   {with(`"a\n"`), message(field, invalidID)},
				"a letter that isn't ASCII": {with(`"ä"`), message(field, invalidID)},
				"a number":                  {with(`1`), message(field, "must be of type string")},
			})
		})
	}
}

func TestValidation_RequiredFields(t *testing.T) {
	testSpecs(t, map[string]specCase{
		"no vectorStoreID":     {`{"fileIDs":["file-1"]}`, message("spec.vectorStoreID", "Required value")},
		"null vectorStoreID":   {`{"vectorStoreID":null,"fileIDs":["file-1"]}`, message("spec.vectorStoreID")},
		"no fileID in a file":  {`{"vectorStoreID":"vs_1","files":[{}]}`, message("spec.files[0].fileID", "Required value")},
		"no type of chunking":  {`{"vectorStoreID":"vs_1","fileIDs":["file-1"],"chunkingStrategy":{}}`, message("spec.chunkingStrategy.type", "Required value")},
		"an empty spec":        {`{}`, message("spec.vectorStoreID", "Required value")},
		"a null spec":          {`null`, message("spec")},
		"only a vectorStoreID": {`{"vectorStoreID":"vs_1"}`, message("exactly one of spec.fileIDs, spec.files and spec.batchID must be set")},
	})
	t.Run("no spec", func(t *testing.T) {
		_, err := post(t.Context(), `{"apiVersion":"vector-store-operator.dev/v1alpha1","kind":"VectorStoreFileBatch","metadata":{"generateName":"batch-"}}`)
		expectError(t, err, "spec", "Required value")
	})
}

func TestValidation_FileLists(t *testing.T) {
	for field, test := range map[string]struct {
		spec string
		item func(int) string
	}{
		"spec.fileIDs": {`{"vectorStoreID":"vs_1","fileIDs":%s}`, fileID},
		"spec.files":   {`{"vectorStoreID":"vs_1","files":%s}`, file},
	} {
		t.Run(field, func(t *testing.T) {
			with := func(n int) string { return fmt.Sprintf(test.spec, list(n, test.item)) }
			testSpecs(t, map[string]specCase{
				"none":        {with(0), message(field, "should have at least 1 items")},
				"1":           {with(1), nil},
				"2000":        {with(2000), nil},
				"2001":        {with(2001), message(field, "must have at most 2000 items")},
				"the same ID": {fmt.Sprintf(test.spec, list(2, func(int) string { return test.item(1) })), nil},
				"no list":     {fmt.Sprintf(test.spec, `"file-1"`), message(field, "must be of type array")},
			})
		})
	}
}

func TestValidation_ExactlyOneSource(t *testing.T) {
	notOne := message("spec", "exactly one of spec.fileIDs, spec.files and spec.batchID must be set")
	const ids, files, batch = `"fileIDs":["file-1"]`, `"files":[{"fileID":"file-1"}]`, `"batchID":"vsfb_1"`
	with := func(fields ...string) string {
		return `{"vectorStoreID":"vs_1",` + strings.Join(fields, ",") + `}`
	}
	testSpecs(t, map[string]specCase{
		"fileIDs":                       {with(ids), nil},
		"files":                         {with(files), nil},
		"batchID":                       {with(batch), nil},
		"batchID of another server":     {with(`"batchID":"batch:7f.1"`), nil},
		"none":                          {`{"vectorStoreID":"vs_1"}`, notOne},
		"fileIDs and files":             {with(ids, files), notOne},
		"fileIDs and batchID":           {with(ids, batch), notOne},
		"files and batchID":             {with(files, batch), notOne},
		"all three":                     {with(ids, files, batch), notOne},
		"files and batchID that's null": {with(files, `"batchID":null`), nil},
	})
}

func TestValidation_Attributes(t *testing.T) {
	for field, spec := range map[string]string{
		"spec.attributes":          `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"attributes":%s}`,
		"spec.files[*].attributes": `{"vectorStoreID":"vs_1","files":[{"fileID":"file-1"},{"fileID":"file-2","attributes":%s}]}`,
	} {
		t.Run(field, func(t *testing.T) {
			with := func(attributes string) string { return fmt.Sprintf(spec, attributes) }
			value := func(value string) string { return with(`{"a":"before","b":` + value + `}`) }
			key := func(key string) string { return with(`{` + key + `:1}`) }
			// An error from the schema contains the index of the file.
			indexed := strings.ReplaceAll(field, "*", "1")
			wrongType := message(field, "a value must be a string, a number or a boolean")
			wrongKey := message(field, "a key must be 1 to 64 characters long")
			tooLong := message(field, "a string must be at most 512 characters long")
			testSpecs(t, map[string]specCase{
				"none":                                {with(`{}`), nil},
				"16":                                  {with(pairs(16)), nil},
				"17":                                  {with(pairs(17)), message(indexed, "must have at most 16 items")},
				"a list in place of them":             {with(`[]`), message(indexed, "must be of type object")},
				"a key of 1 character":                {key(`"k"`), nil},
				"a key of 64 characters":              {key(quoted("k", 64)), nil},
				"a key of 64 characters beyond ASCII": {key(quoted("ß", 64)), nil},
				"a key of 65 characters":              {key(quoted("k", 65)), wrongKey},
				"a key of 65 characters beyond ASCII": {key(quoted("𝄞", 65)), wrongKey},
				"an empty key":                        {key(`""`), wrongKey},
				"a key with a dot, a slash, a space":  {key(`"a.b/c d"`), nil},
				"an empty string":                     {value(`""`), nil},
				"512 characters":                      {value(quoted("v", 512)), nil},
				"512 characters beyond ASCII":         {value(quoted("ß", 512)), nil},
				"512 characters of 4 bytes each":      {value(quoted("𝄞", 512)), nil},
				"513 characters":                      {value(quoted("v", 513)), tooLong},
				"513 characters beyond ASCII":         {value(quoted("ß", 513)), tooLong},
				"an integer":                          {value(`7`), nil},
				"a negative integer":                  {value(`-7`), nil},
				"the largest integer":                 {value(`9223372036854775807`), nil},
				"an integer beyond 64 bits":           {value(`18446744073709551616`), nil},
				"a fraction":                          {value(`0.25`), nil},
				"a number with an exponent":           {value(`1e300`), nil},
				"true":                                {value(`true`), nil},
				"false":                               {value(`false`), nil},
				"null":                                {value(`null`), wrongType},
				"a list":                              {value(`["x"]`), wrongType},
				"an empty list":                       {value(`[]`), wrongType},
				"an object":                           {value(`{"x":"y"}`), wrongType},
				"an empty object":                     {value(`{}`), wrongType},
			})
		})
	}
}

func TestValidation_SharedSettingsRequireFileIDs(t *testing.T) {
	const attributes, chunking = `"attributes":{"a":"b"}`, `"chunkingStrategy":{"type":"Auto"}`
	with := func(source, settings string) string {
		return `{"vectorStoreID":"vs_1",` + source + `,` + settings + `}`
	}
	const ids, files, batch = `"fileIDs":["file-1"]`, `"files":[{"fileID":"file-1"}]`, `"batchID":"vsfb_1"`
	noAttributes := message("spec.attributes", "spec.attributes requires spec.fileIDs")
	noChunking := message("spec.chunkingStrategy", "spec.chunkingStrategy requires spec.fileIDs")
	testSpecs(t, map[string]specCase{
		"attributes with fileIDs":         {with(ids, attributes), nil},
		"attributes with files":           {with(files, attributes), noAttributes},
		"attributes with batchID":         {with(batch, attributes), noAttributes},
		"chunkingStrategy with fileIDs":   {with(ids, chunking), nil},
		"chunkingStrategy with files":     {with(files, chunking), noChunking},
		"chunkingStrategy with batchID":   {with(batch, chunking), noChunking},
		"empty attributes with files":     {with(files, `"attributes":{}`), noAttributes},
		"both of them with fileIDs":       {with(ids, attributes+","+chunking), nil},
		"both of them with each of files": {`{"vectorStoreID":"vs_1","files":[{"fileID":"file-1",` + attributes + `,` + chunking + `}]}`, nil},
	})
}

func TestValidation_ChunkingStrategy(t *testing.T) {
	for field, spec := range map[string]string{
		"spec.chunkingStrategy":          `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"chunkingStrategy":%s}`,
		"spec.files[0].chunkingStrategy": `{"vectorStoreID":"vs_1","files":[{"fileID":"file-1","chunkingStrategy":%s}]}`,
	} {
		t.Run(field, func(t *testing.T) {
			with := func(strategy string) string { return fmt.Sprintf(spec, strategy) }
			static := func(size, overlap any) string {
				return with(fmt.Sprintf(`{"type":"Static","static":{"maxChunkSizeTokens":%v,"chunkOverlapTokens":%v}}`, size, overlap))
			}
			size, overlap := field+".static.maxChunkSizeTokens", field+".static.chunkOverlapTokens"
			half := message(overlap, "chunkOverlapTokens must be at most half of maxChunkSizeTokens")
			presence := message(field, "chunkingStrategy.static is required when type is Static, and forbidden otherwise")
			testSpecs(t, map[string]specCase{
				"Auto":                      {with(`{"type":"Auto"}`), nil},
				"Auto with sizes":           {with(`{"type":"Auto","static":{"maxChunkSizeTokens":100,"chunkOverlapTokens":0}}`), presence},
				"Static without sizes":      {with(`{"type":"Static"}`), presence},
				"another type":              {with(`{"type":"auto"}`), message(field+".type", `"Auto"`, `"Static"`)},
				"an empty type":             {with(`{"type":""}`), message(field+".type", `"Auto"`, `"Static"`)},
				"99 tokens":                 {static(99, 0), message(size, "greater than or equal to 100")},
				"100 tokens, no overlap":    {static(100, 0), nil},
				"100 tokens, half overlap":  {static(100, 50), nil},
				"100 tokens, over half":     {static(100, 51), half},
				"101 tokens, half overlap":  {static(101, 50), nil},
				"101 tokens, over half":     {static(101, 51), half},
				"4096 tokens, half overlap": {static(4096, 2048), nil},
				"4096 tokens, over half":    {static(4096, 2049), message(overlap, "less than or equal to 2048")},
				"4097 tokens":               {static(4097, 0), message(size, "less than or equal to 4096")},
				"negative overlap":          {static(100, -1), message(overlap, "greater than or equal to 0")},
				"a fraction of a token":     {static(100.5, 0), message(size, "must be of type integer")},
				"sizes without a size":      {with(`{"type":"Static","static":{"chunkOverlapTokens":0}}`), message(size, "Required value")},
				"sizes without an overlap":  {with(`{"type":"Static","static":{"maxChunkSizeTokens":100}}`), message(overlap, "Required value")},
				"a size that is a text":     {static(`"100"`, 0), message(size, "must be of type integer")},
			})
		})
	}
}

func TestValidation_MutableFields(t *testing.T) {
	with := func(field string) string { return `{"vectorStoreID":"vs_1","fileIDs":["file-1"],` + field + `}` }
	testSpecs(t, map[string]specCase{
		"cancel true":                  {with(`"cancel":true`), nil},
		"cancel false":                 {with(`"cancel":false`), nil},
		"cancel a text":                {with(`"cancel":"true"`), message("spec.cancel", "must be of type boolean")},
		"maxFailedFiles 0":             {with(`"maxFailedFiles":0`), nil},
		"maxFailedFiles 2000":          {with(`"maxFailedFiles":2000`), nil},
		"maxFailedFiles 2001":          {with(`"maxFailedFiles":2001`), message("spec.maxFailedFiles", "less than or equal to 2000")},
		"maxFailedFiles -1":            {with(`"maxFailedFiles":-1`), message("spec.maxFailedFiles", "greater than or equal to 0")},
		"deletionPolicy Cancel":        {with(`"deletionPolicy":"Cancel"`), nil},
		"deletionPolicy Orphan":        {with(`"deletionPolicy":"Orphan"`), nil},
		"deletionPolicy unknown":       {with(`"deletionPolicy":"Delete"`), message("spec.deletionPolicy", `"Cancel"`, `"Orphan"`)},
		"deletionPolicy empty":         {with(`"deletionPolicy":""`), message("spec.deletionPolicy", `"Cancel"`, `"Orphan"`)},
		"deletionPolicy in lower case": {with(`"deletionPolicy":"cancel"`), message("spec.deletionPolicy", `"Cancel"`)},
		"deletionPolicy DetachFiles":   {with(`"deletionPolicy":"DetachFiles"`), nil},
		"suspend true":                 {with(`"suspend":true`), nil},
		"suspend a text":               {with(`"suspend":"yes"`), message("spec.suspend", "must be of type boolean")},
		"activeDeadlineSeconds 1":      {with(`"activeDeadlineSeconds":1`), nil},
		"activeDeadlineSeconds 0":      {with(`"activeDeadlineSeconds":0`), message("spec.activeDeadlineSeconds", "greater than or equal to 1")},
		"activeDeadlineSeconds most":   {with(`"activeDeadlineSeconds":2147483647`), nil},
		"activeDeadlineSeconds more":   {with(`"activeDeadlineSeconds":2147483648`), message("spec.activeDeadlineSeconds", "less than or equal to 2147483647")},
		"ttlSecondsAfterFinished 0":    {with(`"ttlSecondsAfterFinished":0`), nil},
		"ttlSecondsAfterFinished -1":   {with(`"ttlSecondsAfterFinished":-1`), message("spec.ttlSecondsAfterFinished", "greater than or equal to 0")},
		"ttlSecondsAfterFinished most": {with(`"ttlSecondsAfterFinished":2147483647`), nil},
		"ttlSecondsAfterFinished more": {with(`"ttlSecondsAfterFinished":2147483648`), message("spec.ttlSecondsAfterFinished", "less than or equal to 2147483647")},
		"credentials of 253":           {with(`"credentialsRef":{"name":` + quoted("s", 253) + `}`), nil},
		"credentials of 254":           {with(`"credentialsRef":{"name":` + quoted("s", 254) + `}`), message("spec.credentialsRef.name", "may not be more than 253")},
		"credentials elsewhere":        {with(`"credentialsRef":{"name":"other/openai"}`), message("spec.credentialsRef.name", "must be a valid Secret name")},
		"credentials without a name":   {with(`"credentialsRef":{"name":""}`), message("spec.credentialsRef.name", "should be at least 1")},
	})
}

func TestValidation_UnknownFields(t *testing.T) {
	unknown := func(field string) []string { return message("unknown field", field) }
	testSpecs(t, map[string]specCase{
		"in spec":             {`{"vectorStoreID":"vs_1","fileIDs":["file-1"],"fileIds":["file-1"]}`, unknown("spec.fileIds")},
		"in snake case":       {`{"vector_store_id":"vs_1","vectorStoreID":"vs_1","fileIDs":["file-1"]}`, unknown("spec.vector_store_id")},
		"in a file":           {`{"vectorStoreID":"vs_1","files":[{"fileID":"file-1","name":"x"}]}`, unknown("spec.files[0].name")},
		"in chunkingStrategy": {`{"vectorStoreID":"vs_1","fileIDs":["file-1"],"chunkingStrategy":{"type":"Auto","size":1}}`, unknown("spec.chunkingStrategy.size")},
		"in credentialsRef":   {`{"vectorStoreID":"vs_1","fileIDs":["file-1"],"credentialsRef":{"key":"x"}}`, unknown("spec.credentialsRef.key")},
		"twice the same":      {`{"vectorStoreID":"vs_1","vectorStoreID":"vs_1","fileIDs":["file-1"]}`, message("duplicate field", "spec.vectorStoreID")},
	})
}

func TestDefaulting(t *testing.T) {
	const bare = `{"vectorStoreID":"vs_1","fileIDs":["file-1"]}`
	want := map[string]any{
		"vectorStoreID": "vs_1", "fileIDs": []any{"file-1"},
		"maxFailedFiles": int64(0), "credentialsRef": map[string]any{"name": v1alpha1.DefaultCredentialsSecret},
	}
	for name, spec := range map[string]string{
		"nothing set":                bare,
		"a reference without a name": `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"credentialsRef":{}}`,
		"set to null":                `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"credentialsRef":null,"maxFailedFiles":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, mustCreate(t, spec).Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("status", func(t *testing.T) {
		object := mustCreate(t, bare)
		if diff := cmp.Diff(map[string]any{"observedGeneration": int64(-1)}, object.Object["status"]); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
	t.Run("a status sent with a new object is dropped", func(t *testing.T) {
		object, err := post(t.Context(), strings.Replace(document(bare), `"spec":`, `"status":{"observedGeneration":7,"status":"completed"},"spec":`, 1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"observedGeneration": int64(-1)}, object.Object["status"]); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
}

func condition(kind string) string {
	return fmt.Sprintf(`{"type":%q,"status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}`, kind)
}

func failedFile(fields string) string { return `{"failedFiles":[{` + fields + `}]}` }

func TestValidation_Status(t *testing.T) {
	counts := func(n int64) string {
		return fmt.Sprintf(`{"fileCounts":{"inProgress":%[1]d,"completed":%[1]d,"failed":%[1]d,"cancelled":%[1]d,"total":%[1]d}}`, n)
	}
	failures := func(n int) string {
		return `{"failedFiles":` + list(n, func(int) string { return `{"fileID":"file-1","code":"server_error","message":"m"}` }) + `}`
	}
	conditions := func(n int) string {
		return `{"conditions":` + list(n, func(i int) string { return condition(fmt.Sprintf("C%d", i)) }) + `}`
	}
	for name, test := range map[string]struct {
		status    string
		wantError []string
	}{
		"a documented status":             {`{"status":"in_progress"}`, nil},
		"an unknown status":               {`{"status":"reticulating splines…"}`, nil},
		"a status of 128 characters":      {`{"status":` + quoted("ß", 128) + `}`, nil},
		"a status of 129 characters":      {`{"status":` + quoted("s", 129) + `}`, message("status.status", "128")},
		"an empty status":                 {`{"status":""}`, message("status.status", "at least 1")},
		"a batchID of any form":           {`{"batchID":"batch:é/1.2"}`, nil},
		"a batchID of 512 characters":     {`{"batchID":` + quoted("b", 512) + `}`, nil},
		"a batchID of 513 characters":     {`{"batchID":` + quoted("b", 513) + `}`, message("status.batchID", "512")},
		"100 failed files":                {failures(100), nil},
		"101 failed files":                {failures(101), message("status.failedFiles", "at most 100 items")},
		"a failed file without a reason":  {failedFile(`"fileID":"file-1"`), nil},
		"a failed file without an ID":     {failedFile(`"code":"server_error"`), message("status.failedFiles[0].fileID", "Required value")},
		"a failed file's ID of 512":       {failedFile(`"fileID":` + quoted("f", 512)), nil},
		"a failed file's ID of 513":       {failedFile(`"fileID":` + quoted("f", 513)), message("status.failedFiles[0].fileID", "512")},
		"an error code of 128 characters": {failedFile(`"fileID":"f","code":` + quoted("c", 128)), nil},
		"an error code of 129 characters": {failedFile(`"fileID":"f","code":` + quoted("c", 129)), message("status.failedFiles[0].code", "128")},
		"a message of 1024 characters":    {failedFile(`"fileID":"f","message":` + quoted("𝄞", 1024)), nil},
		"a message of 1025 characters":    {failedFile(`"fileID":"f","message":` + quoted("m", 1025)), message("status.failedFiles[0].message", "1024")},
		"no files":                        {counts(0), nil},
		"very many files":                 {counts(1<<31 - 1), nil},
		"fewer than no files":             {counts(-1), message("status.fileCounts.failed", "status.fileCounts.total", "greater than or equal to 0")},
		"counts that are not complete":    {`{"fileCounts":{"total":1}}`, message("status.fileCounts.failed", "Required value")},
		"before the first reconciliation": {`{"observedGeneration":-1}`, nil},
		"a generation below that":         {`{"observedGeneration":-2}`, message("status.observedGeneration", "greater than or equal to -1")},
		"16 conditions":                   {conditions(16), nil},
		"17 conditions":                   {conditions(17), message("status.conditions", "at most 16 items")},
		"the same condition twice":        {`{"conditions":[` + condition("Ready") + `,` + condition("Ready") + `]}`, message("status.conditions[1]", "Duplicate value")},
		"times":                           {`{"createdAt":"2026-01-01T00:00:00Z","cancelRequestTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:00:00Z"}`, nil},
		"an invalid time":                 {`{"completionTime":"yesterday"}`, message("status.completionTime")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := mustCreate(t, `{"vectorStoreID":"vs_1","fileIDs":["file-1"]}`)
			_, err := patchStatus(t.Context(), object.GetName(), `{"status":`+test.status+`}`)
			if test.wantError != nil {
				expectError(t, err, test.wantError...)
			} else if err != nil {
				t.Errorf("unexpected error: %v", err)
			}
		})
	}
}

func TestStatus_IsSubresource(t *testing.T) {
	object := mustCreate(t, `{"vectorStoreID":"vs_1","fileIDs":["file-1"]}`)
	changed, err := patchStatus(t.Context(), object.GetName(), `{"spec":{"cancel":true},"status":{"status":"completed"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(object.Object["spec"], changed.Object["spec"]); diff != "" {
		t.Errorf("a write of the status changed the spec (-before +after):\n%s", diff)
	}
	if got := changed.GetGeneration(); got != 1 {
		t.Errorf("generation = %d after a write of the status, want 1", got)
	}
	if err := patch(t.Context(), object.GetName(), `{"spec":{"cancel":true},"status":{"status":"failed"}}`); err != nil {
		t.Fatal(err)
	}
	body, err := raw(t.Context(), object.GetName())
	if err != nil {
		t.Fatal(err)
	}
	after := &unstructured.Unstructured{}
	if err := after.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(after.Object, "status", "status"); got != "completed" {
		t.Errorf("status.status = %q after a write of the spec, want it unchanged", got)
	}
	if got := after.GetGeneration(); got != 2 {
		t.Errorf("generation = %d after a write of the spec, want 2", got)
	}
}

func TestValidation_LargestBatch(t *testing.T) {
	full := func(i int) string {
		attributes := make([]string, 16)
		for j := range attributes {
			attributes[j] = fmt.Sprintf(`"attribute-%02d":"value-%05d-%02d"`, j, i, j)
		}
		return fmt.Sprintf(`{"fileID":"file-%d","attributes":{%s}}`, i, strings.Join(attributes, ","))
	}
	const name = "largest"
	body := strings.Replace(document(`{"vectorStoreID":"vs_1","files":`+list(2000, full)+`}`), `"generateName":"batch-"`, `"name":"`+name+`"`, 1)
	applied, err := apply(t.Context(), name, body)
	if err != nil {
		t.Fatalf("server-side apply of %d bytes failed: %.2000v", len(body), err)
	}
	files, _, err := unstructured.NestedSlice(applied.Object, "spec", "files")
	if err != nil || len(files) != 2000 {
		t.Fatalf("%d files were stored (%v), want 2000", len(files), err)
	}
	// The operator and users patch such objects.
	if _, err := patchStatus(t.Context(), name, `{"status":{"status":"in_progress"}}`); err != nil {
		t.Errorf("patching its status: %.2000v", err)
	}
	if err := patch(t.Context(), name, `{"metadata":{"finalizers":["vector-store-operator.dev/finalizer"]},"spec":{"cancel":true}}`); err != nil {
		t.Errorf("cancelling it: %.2000v", err)
	}
	if err := patch(t.Context(), name, `{"metadata":{"finalizers":null}}`); err != nil {
		t.Errorf("removing its finalizer: %.2000v", err)
	}
	if _, err := apply(t.Context(), name, strings.Replace(body, "value-01999-15", "value-changed", 1)); err == nil {
		t.Error("the last attribute of the last file could be changed")
	} else {
		expectError(t, err, "spec.files is immutable")
	}
}
