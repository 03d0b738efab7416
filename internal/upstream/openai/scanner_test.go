// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// skipAll reads a document without keeping anything.
func skipAll(s *scanner) error { return s.document(func(string) error { return s.skipValue() }) }

func TestScanner_Limits(t *testing.T) {
	const tokens = 10
	for name, test := range map[string]struct{ body, want string }{
		"most tokens":          {`{"a":[1,2,3,4,5]}`, ""},
		"too many tokens":      {`{"a":[1,2,3,4,5,6]}`, "it contains too many values"},
		"too many names":       {`{"a":1,"b":1,"c":1,"d":1,"e":1}`, "it contains too many values"},
		"longest string":       {`{"a":"` + strings.Repeat("a", maxTokenBytes-3) + `"}`, ""}, // with its quotes and the colon
		"too long a string":    {`{"a":"` + strings.Repeat("a", maxTokenBytes) + `"}`, "it contains a value that is longer than 65536 bytes"},
		"too long a name":      {`{"` + strings.Repeat("a", maxTokenBytes) + `":1}`, "it contains a value that is longer than 65536 bytes"},
		"too long a number":    {`{"a":` + strings.Repeat("1", maxTokenBytes) + `}`, "it contains a value that is longer than 65536 bytes"},
		"a truncated object":   {`{"a":1`, "it is not a JSON object"},
		"a truncated string":   {`{"a":"b`, "it is not a JSON object"},
		"an invalid literal":   {`{"a":nul}`, "it is not a JSON object"},
		"a missing comma":      {`{"a":1 "b":2}`, "it is not a JSON object"},
		"a comma too much":     {`{"a":[1,]}`, "it is not a JSON object"},
		"another bracket":      {`{"a":[1}}`, "it is not a JSON object"},
		"a number for a name":  {`{1:2}`, "it is not a JSON object"},
		"text after it":        {`{"a":1} b`, "it is not a JSON object"},
		"a value after it":     {`{"a":1} 2`, "it is not a JSON object"},
		"space after it":       {"\r\n\t {\"a\":1} \r\n\t", ""},
		"a list":               {`[1]`, "it is not a JSON object"},
		"a string":             {`"a"`, "it is not a JSON object"},
		"nothing":              {``, "it is not a JSON object"},
		"a byte order mark":    {"\ufeff{}", "it is not a JSON object"},
		"invalid UTF-8":        {"{\"a\xff\":1}", ""},
		"the same field twice": {`{"a":1,"a":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for reader, body := range map[string]io.Reader{
				"at once": strings.NewReader(test.body), "byte by byte": iotest.OneByteReader(strings.NewReader(test.body)),
				"with EOF": iotest.DataErrReader(strings.NewReader(test.body)),
			} {
				err := skipAll(newScanner(body, tokens))
				if got := fmt.Sprint(err); test.want == "" && err != nil || test.want != "" && got != test.want {
					t.Errorf("%s: %v, want %q", reader, err, test.want)
				}
			}
		})
	}
}

func TestScanner_Depth(t *testing.T) {
	for _, nesting := range []struct{ open, close string }{{"[", "]"}, {`{"a":`, "}"}} {
		for depth, valid := range map[int]bool{maxDepth - 1: true, maxDepth: false} {
			inner := map[bool]string{true: "", false: "0"}[nesting.open == "["]
			body := `{"a":` + strings.Repeat(nesting.open, depth) + inner + strings.Repeat(nesting.close, depth) + `}`
			if err := skipAll(scan([]byte(body))); (err == nil) != valid {
				t.Errorf("%d levels of %s: %v, want valid: %t", depth+1, nesting.open, err, valid)
			}
		}
		// Siblings are not nested.
		body := `{"a":[0` + strings.Repeat(","+nesting.open+"0"+nesting.close, 2*maxDepth) + `]}`
		if err := skipAll(scan([]byte(body))); err != nil {
			t.Errorf("siblings: %v", err)
		}
	}
}

func TestScanner_ReaderFails(t *testing.T) {
	broken := errors.New("broken")
	for _, begin := range []string{``, `{`, `{"a"`, `{"a":"b`, `{"a":{"b":[1,`, `{"a":1}`} {
		body := io.MultiReader(strings.NewReader(begin), iotest.ErrReader(broken))
		if err := skipAll(newScanner(body, 100)); !errors.Is(err, broken) {
			t.Errorf("%q: %v, want the error of the reader", begin, err)
		}
	}
}

func TestLimitReader(t *testing.T) {
	for length, want := range map[int]string{0: "", 9: "", 10: "", 11: "it is longer than 10 bytes", 100: "it is longer than 10 bytes"} {
		for _, source := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader, iotest.HalfReader} {
			r := limitReader(source(strings.NewReader(strings.Repeat("a", length))), 10)
			content, err := io.ReadAll(r)
			if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
				t.Errorf("%d bytes: %v, want %q", length, err, want)
			}
			if len(content) != min(length, 10) {
				t.Errorf("%d bytes: read %d", length, len(content))
			}
			if n, again := r.Read(make([]byte, 5)); n != 0 || want != "" && again.Error() != want || want == "" && !errors.Is(again, io.EOF) {
				t.Errorf("%d bytes, read again: %d, %v", length, n, again)
			}
		}
	}
}

func TestField(t *testing.T) {
	type state struct {
		Value        string
		Valid, Empty bool
	}
	for body, want := range map[string]state{
		`{}`:                      {"", false, true},
		`{"f":"a"}`:               {"a", true, false},
		`{"f":""}`:                {"", true, false},
		`{"f":null}`:              {"", false, true},
		`{"f":1}`:                 {"", false, false},
		`{"f":true}`:              {"", false, false},
		`{"f":["a"]}`:             {"", false, false},
		`{"f":{"f":"a"}}`:         {"", false, false},
		`{"f":"a","f":"a"}`:       {"", false, false},
		`{"f":"a","f":"b"}`:       {"", false, false},
		`{"f":"a","f":null}`:      {"", false, false},
		`{"f":null,"f":null}`:     {"", false, false},
		`{"F":"a"}`:               {"", false, true},
		`{"x":{"f":"b"},"f":"a"}`: {"a", true, false},
	} {
		var f field[string]
		s := scan([]byte(body))
		err := s.document(func(name string) error {
			if name == "f" {
				return f.read(s)
			}
			return s.skipValue()
		})
		if diff := cmp.Diff(want, state{f.value, f.valid, f.empty()}); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", body, err, diff)
		}
	}
}

func TestTimeOf(t *testing.T) {
	for text, want := range map[string]time.Time{
		"1":                     time.Unix(1, 0).UTC(),
		"1.9":                   time.Unix(1, 0).UTC(),
		"1700000000.0":          time.Unix(1700000000, 0).UTC(),
		"1.7e9":                 time.Unix(1700000000, 0).UTC(),
		"253402300799":          time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"253402300800":          {},
		"0":                     {},
		"0.9":                   {},
		"-1":                    {},
		"1e400":                 {},
		"null":                  {},
		`"1700000000"`:          {},
		"999999999999999999999": {},
	} {
		var f field[json.Number]
		s := scan([]byte(`{"f":` + text + `}`))
		if err := s.document(func(string) error { return f.read(s) }); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := timeOf(f); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestRetrieve_FileCounts(t *testing.T) {
	for counts, want := range map[string]struct {
		total int64
		err   string
	}{
		`{"total":5}`:                           {5, ""},
		`{"total":5.0}`:                         {5, ""},
		`{"total":5e0}`:                         {5, ""},
		`{"total":2147483647}`:                  {2147483647, ""},
		`{"total":0}`:                           {0, ""},
		`{"total":null}`:                        {0, ""},
		`{}`:                                    {0, ""},
		`{"total":2147483648}`:                  {0, "out of range"},
		`{"total":-1}`:                          {0, "out of range"},
		`{"total":1.5}`:                         {0, "out of range"},
		`{"total":"5"}`:                         {0, "out of range"},
		`{"total":1e400}`:                       {0, "out of range"},
		`{"total":5,"total":5}`:                 {0, "out of range"},
		`{"total":5,"failed":-1}`:               {0, "out of range"},
		`{"in_progress":-1,"total":5}`:          {0, "out of range"},
		`{"completed":[],"total":5}`:            {0, "out of range"},
		`{"cancelled":true,"total":5}`:          {0, "out of range"},
		`null`:                                  {0, "no file_counts"},
		`[]`:                                    {0, "no file_counts"},
		`5`:                                     {0, "no file_counts"},
		`{"total":5},"file_counts":null`:        {5, ""},
		`{"total":5},"file_counts":{"total":6}`: {0, "out of range"},
	} {
		body := `{"id":"` + testBatch + `","status":"in_progress","file_counts":` + counts + `}`
		batch, err := testClient().decodeBatch(scan([]byte(body)), testRef)
		if (want.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %v, want %q", counts, err, want.err)
		}
		if batch.FileCounts != (upstream.FileCounts{Total: want.total}) {
			t.Errorf("%s: %+v, want a total of %d", counts, batch.FileCounts, want.total)
		}
	}
}

func TestDecodePage(t *testing.T) {
	item := func(id string) string { return `{"id":"` + id + `"}` }
	items := func(count int) string {
		var all []string
		for i := range count {
			all = append(all, item(fmt.Sprintf("file-%d", i)))
		}
		return strings.Join(all, ",")
	}
	for name, test := range map[string]struct {
		body          string
		items         int
		last, partial bool
		err           string
	}{
		"more":                   {`{"data":[` + items(2) + `],"has_more":true}`, 2, false, false, ""},
		"no more":                {`{"data":[` + items(2) + `],"has_more":false}`, 2, true, false, ""},
		"no more, first":         {`{"has_more":false,"data":[` + items(2) + `]}`, 2, true, false, ""},
		"unknown":                {`{"data":[` + items(2) + `]}`, 2, false, false, ""},
		"null":                   {`{"data":[` + items(2) + `],"has_more":null}`, 2, false, false, ""},
		"twice":                  {`{"data":[` + items(2) + `],"has_more":false,"has_more":false}`, 2, false, false, ""},
		"not a boolean":          {`{"data":[` + items(2) + `],"has_more":"false"}`, 2, false, false, ""},
		"none":                   {`{"data":[],"has_more":true}`, 0, true, false, ""},
		"null for none":          {`{"data":null,"has_more":true}`, 0, true, false, ""},
		"the most":               {`{"data":[` + items(100) + `],"has_more":true}`, 100, false, false, ""},
		"too many":               {`{"data":[` + items(101) + `],"has_more":false}`, 100, false, true, ""},
		"too many, has_more":     {`{"has_more":false,"data":[` + items(101) + `]}`, 100, false, true, ""},
		"garbage after too many": {`{"data":[` + items(101) + `garbage`, 100, false, true, ""},
		"no list":                {`{"has_more":false}`, 0, false, false, "it contains no list of files"},
		"an object":              {`{"data":{},"has_more":false}`, 0, false, false, "it contains no list of files"},
		"two lists":              {`{"data":[],"data":[]}`, 0, false, false, "it contains no list of files"},
		"a string":               {`{"data":[` + items(1) + `,"a"]}`, 0, false, false, "invalid file ID"},
		"a null":                 {`{"data":[null]}`, 0, false, false, "invalid file ID"},
		"an invalid ID":          {`{"data":[{"id":"../x"}]}`, 0, false, false, "invalid file ID"},
		"a long ID":              {`{"data":[{"id":"` + strings.Repeat("a", 513) + `"}]}`, 0, false, false, "invalid file ID"},
		"the longest ID":         {`{"data":[{"id":"` + strings.Repeat("a", 512) + `"}]}`, 1, false, false, ""},
		"a key":                  {`{"data":[{"id":"` + testKey + `"}]}`, 0, false, false, "a file ID that contains a key"},
		"garbage":                {`{"data":[]}]`, 0, false, false, "not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := decodeFiles(testClient(), []byte(test.body))
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if len(page.items) != test.items || page.last != test.last || page.partial != test.partial {
				t.Errorf("%d files, last: %t, partial: %t; want %d, %t, %t", len(page.items), page.last, page.partial, test.items, test.last, test.partial)
			}
		})
	}
}
