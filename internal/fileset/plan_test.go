// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fileset

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// file returns a file of the owner "me" in a listing. what is "PATH VERSION STATUS", followed by n=NUMBER
// for an attribute. A path "-" omits the path and the version.
func file(id, what string) StoreFile {
	fields := strings.Fields(what)
	f := StoreFile{ID: id, Status: Status(fields[2]), Attributes: map[string]any{}, CreatedAt: time.Unix(100, 0), Message: "broken"}
	f.Attributes[AttributeOwner] = OwnerAttribute("me", "")
	if fields[0] != "-" {
		f.Attributes[AttributePath], f.Attributes[AttributeOwner] = fields[0], OwnerAttribute("me", fields[1])
	}
	for _, field := range fields[3:] {
		key, value, _ := strings.Cut(field, "=")
		f.Attributes[key] = json.Number(value)
	}
	return f
}

// documents returns documents from "PATH VERSION".
func documents(lines ...string) []Document {
	var all []Document
	for _, line := range lines {
		path, version, _ := strings.Cut(line, " ")
		all = append(all, Document{Path: path, Version: version, Size: 7})
	}
	return all
}

// upload returns a record. flags has a letter for each field: Attached, Seen, Leaving, Detached, Fresh.
func upload(id, path, version, flags string) Upload {
	return Upload{
		FileID: id, Path: path, Version: version, Attached: strings.Contains(flags, "A"), Seen: strings.Contains(flags, "S"),
		Leaving: strings.Contains(flags, "L"), Detached: strings.Contains(flags, "D"), Fresh: strings.Contains(flags, "F"),
	}
}

// lines renders a plan.
func lines(p Plan) []string {
	var all []string
	for _, a := range p.Actions {
		all = append(all, strings.Join(strings.Fields(fmt.Sprint(a.Kind, " ", a.Guard, " ", a.Path, " ", a.Version, " ", a.FileID)), " ")+": "+a.Reason)
	}
	for _, c := range p.Changes {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("= %s %s %d: %s", c.Path, c.State, c.Size, c.Reason), ": "))
	}
	if p.Withheld != "" {
		all = append(all, "withheld: "+p.Withheld)
	}
	return all
}

var pruning = Policy{Prune: true, MaxPrune: DefaultMaxPrune}

var anything = Policy{Prune: true, AllowEmpty: true, MaxPrune: Limit{Number: 100, Percent: true}}

func listing(files ...StoreFile) Listing { return Listing{Files: files, Complete: true} }

func TestNew(t *testing.T) {
	foreign := StoreFile{ID: "x", Status: Completed, Attributes: map[string]any{AttributePath: "a", AttributeOwner: OwnerAttribute("other", "1")}}
	bare := StoreFile{ID: "f", Status: Completed}
	moved := file("f", "z 1 completed")
	older, newer := file("b", "a 1 completed"), file("a", "a 1 completed")
	older.CreatedAt = time.Unix(99, 0)
	for name, test := range map[string]struct {
		in   Input
		want []string
	}{
		"nothing": {Input{Present: listing()}, nil},
		"incomplete": {
			Input{Wanted: documents("a 1"), Present: Listing{Files: []StoreFile{file("f", "b 1 completed")}}, Policy: anything},
			[]string{"wait: the list of the vector store's files is incomplete", "withheld: the list of the vector store's files is incomplete"},
		},
		"added": {
			Input{Wanted: documents("b 1", "a 1"), Present: listing(foreign)},
			[]string{"upload a 1: it is not in the vector store", "upload b 1: it is not in the vector store", "= a added 7", "= b added 7"},
		},
		"uploaded": {
			Input{Wanted: documents("a 1"), Present: listing(), Uploads: []Upload{upload("f", "a", "1", ""), upload("g", "a", "1", "")}},
			[]string{"attach a 1 f: it is uploaded, but not in the vector store", "delete file a 1 g: it is not in the vector store and not needed", "= a added 7: it is uploaded"},
		},
		"uploads of other versions and paths, and leaving ones, do not count": {
			Input{Wanted: documents("a 1"), Present: listing(), Uploads: []Upload{upload("f", "a", "2", "AS"), upload("g", "b", "1", "AS"), upload("h", "a", "1", "ASL")}},
			[]string{"upload a 1: it is not in the vector store", "= a added 7", "withheld: the vector store lists none of the files that it had"},
		},
		"in an active batch": {
			Input{Wanted: documents("a 1", "b 1"), Present: listing(), Uploads: []Upload{upload("f", "a", "1", "A"), upload("e", "a", "1", "A"), upload("h", "a", "1", "A")}, Batches: []Batch{
				{Active: true, Files: []Upload{upload("f", "a", "1", "A")}}, {Files: []Upload{upload("g", "b", "1", "A")}},
			}, Policy: anything},
			[]string{
				"wait a 1 f: its batch is running", "upload b 1: it is not in the vector store", "= a added 7: its batch is running", "= b added 7",
			},
		},
		"two in active batches": {
			Input{Wanted: documents("a 1"), Present: listing(), Batches: []Batch{{Active: true, Files: []Upload{upload("g", "a", "1", "A"), upload("f", "a", "1", "A")}}}},
			[]string{"wait a 1 f: its batch is running", "= a added 7: its batch is running"},
		},
		"in progress": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 in_progress"))},
			[]string{"wait a 1 f: the server is processing it", "= a added 7: the server is processing it"},
		},
		"unknown status": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 queued"))},
			[]string{"wait a 1 f: the server is processing it", "= a added 7: the server is processing it"},
		},
		"updated": {
			Input{Wanted: documents("a 2"), Present: listing(file("f", "a 1 completed"))},
			[]string{"upload a 2: its content changed", "= a updated 7"},
		},
		"update in progress": {
			Input{Wanted: documents("a 2"), Present: listing(file("f", "a 1 completed"), file("g", "a 2 in_progress")), Policy: anything},
			[]string{"wait a 2 g: the server is processing it", "= a updated 7: the server is processing it"},
		},
		"update completed": {
			Input{Wanted: documents("a 2"), Present: listing(file("f", "a 1 completed"), file("g", "a 2 completed"), file("h", "a 0 in_progress"))},
			[]string{"detach a 1 f: file g replaces it", "detach a 0 h: file g replaces it", "= a unchanged 7"},
		},
		"update completed, but without its path": {
			Input{Wanted: documents("a 2"), Present: listing(file("f", "a 1 completed"), file("g", "- - completed")), Uploads: []Upload{upload("g", "a", "2", "A")}, Policy: anything},
			[]string{"update attributes a 2 g: it was attached without its path", "= a attributes 7: it was attached without its path"},
		},
		"replaced file is gone": {
			Input{Wanted: documents("a 2"), Present: listing(file("g", "a 2 completed")), Uploads: []Upload{upload("f", "a", "1", "ASL"), upload("g", "a", "2", "A")}},
			[]string{"delete file a 1 f: it is not in the vector store and not needed", "= a unchanged 7"},
		},
		"replaced file is listed after it was detached": {
			Input{Wanted: documents("a 2"), Present: listing(file("f", "a 1 completed"), file("g", "a 2 completed")), Uploads: []Upload{upload("f", "a", "1", "ALD")}},
			[]string{"wait a 1 f: the vector store still lists it after it was detached", "= a unchanged 7"},
		},
		"replaced file is not listed, but neither is the new one completed": {
			Input{Wanted: documents("a 2", "b 1"), Present: listing(file("g", "a 2 in_progress"), file("h", "b 1 completed")), Uploads: []Upload{upload("f", "a", "1", "AL"), upload("d", "a", "0", "ALD")}, Policy: anything},
			[]string{"wait a 2 g: the server is processing it", "delete file a 0 d: it is not in the vector store and not needed", "= a added 7: the server is processing it", "= b unchanged 7"},
		},
		"reverted while the file is leaving": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 completed")), Uploads: []Upload{upload("f", "a", "1", "AL")}},
			[]string{"upload a 1: it is not in the vector store", "= a updated 7"},
		},
		"reverted, both listed": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 completed"), file("g", "a 1 completed")), Uploads: []Upload{upload("f", "a", "1", "AL")}},
			[]string{"detach a 1 f: it is a duplicate of file g", "= a unchanged 7"},
		},
		"duplicates": {
			Input{Wanted: documents("a 1", "b 1", "c 1"), Present: listing(newer, older, file("d", "b 1 completed"), file("c", "b 1 completed"), file("e", "c 1 failed"), file("g", "c 1 completed"))},
			[]string{
				"detach a 1 a: it is a duplicate of file b", "detach b 1 d: it is a duplicate of file c", "detach c 1 e: it is a duplicate of file g",
				"= a unchanged 7", "= b unchanged 7", "= c unchanged 7",
			},
		},
		"duplicates in progress, failed and cancelled": {
			Input{Wanted: documents("a 1"), Present: listing(file("d", "a 1 cancelled"), file("e", "a 1 failed"), file("g", "a 1 in_progress"))},
			[]string{"wait a 1 g: the server is processing it", "= a added 7: the server is processing it"},
		},
		"failed before cancelled": {
			Input{Wanted: documents("a 1"), Present: listing(file("d", "a 1 cancelled"), file("e", "a 1 failed"))},
			[]string{"= a failed 7: broken"},
		},
		"listed twice": {
			Input{Wanted: documents("a 1"), Present: listing(file("d", "a 1 completed"), file("d", "a 1 completed"))},
			[]string{"= a unchanged 7"},
		},
		"failed": {
			Input{Wanted: documents("a 2"), Present: listing(file("f", "a 1 completed"), file("g", "a 2 failed")), Policy: anything},
			[]string{"= a failed 7: broken"},
		},
		"retry failed": {
			Input{Wanted: documents("a 1", "b 1"), Present: listing(file("f", "a 1 failed"), file("g", "b 1 failed")), Uploads: []Upload{upload("g", "b", "1", "AF")}, Policy: Policy{RetryFailed: true}},
			[]string{"detach a 1 f: it failed, and is uploaded again", "= a updated 7: it failed before", "= b failed 7: broken"},
		},
		"cancelled": {
			Input{Wanted: documents("a 1", "b 1"), Present: listing(file("f", "a 1 cancelled"), file("g", "b 1 cancelled")), Uploads: []Upload{upload("g", "b", "1", "AF")}},
			[]string{"attach a 1 f: its batch was cancelled", "= a added 7: its batch was cancelled", "= b failed 7: broken"},
		},
		"attributes": {
			Input{Wanted: []Document{{Path: "a", Version: "1", Attributes: map[string]any{"n": 1}}, {Path: "b", Version: "1", Attributes: map[string]any{"n": 1}}, {Path: "c", Version: "1"}}, Present: listing(file("f", "a 1 completed n=1.0"), file("g", "b 1 completed n=2"), file("h", "c 1 completed n=2"))},
			[]string{"update attributes b 1 g: its attributes changed", "update attributes c 1 h: its attributes changed", "= a unchanged 0", "= b attributes 0: its attributes changed", "= c attributes 0: its attributes changed"},
		},
		"attributes updated a moment ago": {
			Input{Wanted: documents("c 1"), Present: listing(file("h", "c 1 completed n=2")), Updated: map[string]Update{"h": UpdateRecent}},
			[]string{"wait c 1 h: the server does not show its new attributes yet", "= c attributes 7: its attributes changed"},
		},
		"attributes not kept": {
			Input{Wanted: documents("c 1", "d 1"), Present: listing(file("h", "c 1 completed n=2")), Updated: map[string]Update{"h": UpdateSettled}},
			[]string{"refuse AttributesNotKept c: the server does not keep its attributes: file h", "= c attributes 7: its attributes changed", "= d added 7"},
		},
		"attributes of files of this run not kept": {
			Input{Wanted: documents("a 1", "b 1", "c 1"), Present: listing(file("f", "- - completed"), file("g", "b 1 completed n=2"), file("h", "- - completed")), Uploads: []Upload{upload("f", "a", "1", "AF"), upload("g", "b", "1", "AF"), upload("h", "c", "1", "A")}, Updated: map[string]Update{"f": UpdateSettled, "g": UpdateSettled, "h": UpdateSettled}},
			[]string{
				"refuse AttributesNotKept a: the server does not keep its attributes: file f", "refuse AttributesNotKept b: the server does not keep its attributes: file g",
				"refuse AttributesNotKept c: the server does not keep its attributes: file h", "detach a 1 f: this run attached it",
				"= a attributes 7: it was attached without its path", "= b attributes 7: its attributes changed", "= c attributes 7: it was attached without its path",
			},
		},
		"owner dropped": {
			Input{Wanted: documents("a 1"), Present: listing(bare), Uploads: []Upload{upload("f", "a", "1", "A")}},
			[]string{"refuse AttributesNotKept a: the server does not keep the attribute vsfb, or another client removed it: file f", "= a added 7"},
		},
		"owner of a leaving file dropped": {
			Input{Present: listing(bare), Uploads: []Upload{upload("f", "a", "1", "AL")}, Policy: anything}, nil,
		},
		"owner dropped in this run": {
			Input{Wanted: documents("a 1"), Present: listing(bare), Uploads: []Upload{upload("f", "a", "1", "AF")}},
			[]string{"refuse AttributesNotKept a: the server does not keep the attribute vsfb, or another client removed it: file f", "detach a 1 f: this run attached it", "= a added 7"},
		},
		"path changed": {
			Input{Wanted: documents("a 1"), Present: listing(moved), Uploads: []Upload{upload("f", "a", "1", "A")}, Policy: anything},
			[]string{"refuse AttributesNotKept a: the server changes the attributes path and vsfb, or another client changed them: file f", "= a added 7"},
		},
		"version changed": {
			Input{Wanted: documents("z 2"), Present: listing(moved), Uploads: []Upload{upload("f", "z", "2", "A")}, Policy: anything},
			[]string{"refuse AttributesNotKept z: the server changes the attributes path and vsfb, or another client changed them: file f", "= z added 7"},
		},
		"not pruned": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 completed"), file("g", "b 1 completed"), file("s", "- - completed"))},
			[]string{"= a unchanged 7", "= b kept 0: it is not in the folder"},
		},
		"pruned": {
			Input{Wanted: documents("a 1", "b 1", "c 1"), Present: listing(file("f", "a 1 completed"), file("g", "b 1 completed"), file("h", "c 1 completed"), file("i", "d 1 completed"), file("j", "d 2 in_progress")), Policy: pruning},
			[]string{"detach d 1 i: it is not in the folder", "detach d 2 j: it is not in the folder", "= a unchanged 7", "= b unchanged 7", "= c unchanged 7", "= d removed 0: it is not in the folder"},
		},
		"protected": {
			Input{
				Present:   listing(file("f", "a 1 completed"), file("g", "b/c 1 completed"), file("h", "bc 1 completed"), file("i", "d 1 completed")),
				Uploads:   []Upload{upload("u", "a", "0", "AS"), upload("v", "e", "0", "AS"), upload("w", "b/x", "0", "")},
				Protected: []string{"a", "b"}, Policy: anything,
			},
			[]string{
				"detach bc 1 h: it is not in the folder", "detach d 1 i: it is not in the folder",
				"delete file b/x 0 w: it is not in the vector store and not needed", "delete file e 0 v: it is not in the vector store and not needed",
				"= a kept 0: it could not be read from the folder", "= b/c kept 0: it could not be read from the folder",
				"= bc removed 0: it is not in the folder", "= d removed 0: it is not in the folder",
			},
		},
		"all protected": {
			Input{Present: listing(file("f", "a 1 completed")), Protected: []string{"."}, Policy: Policy{Prune: true}},
			[]string{"= a kept 0: it could not be read from the folder"},
		},
		"one superseded, one pending, two kept": {
			Input{Wanted: documents("a 1", "b 1"), Present: listing(file("f", "a 1 failed"), file("g", "b 1 completed"), file("h", "b 2 completed"), file("i", "c 2 completed"), file("j", "d 2 completed"))},
			[]string{
				"detach b 2 h: file g replaces it", "= a failed 7: broken", "= b unchanged 7",
				"= c kept 0: it is not in the folder", "= d kept 0: it is not in the folder",
			},
		},
		"a stray stays while a document failed": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 failed"), file("s", "- - completed")), Policy: anything},
			[]string{"= a failed 7: broken"},
		},
		"a stray stays while a document has other attributes": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 completed n=1"), file("s", "- - completed")), Policy: anything, Updated: map[string]Update{"f": UpdateRecent}},
			[]string{"wait a 1 f: the server does not show its new attributes yet", "= a attributes 7: its attributes changed"},
		},
		"a path or a version is missing": {
			Input{Wanted: documents("a 1"), Present: listing(
				StoreFile{ID: "f", Status: Completed, Attributes: map[string]any{AttributePath: "a", AttributeOwner: "me@"}},
				StoreFile{ID: "g", Status: Completed, Attributes: map[string]any{AttributeOwner: "me@sha256:1"}},
			), Uploads: []Upload{upload("f", "a", "1", "A")}},
			[]string{"update attributes a 1 f: it was attached without its path", "= a attributes 7: it was attached without its path"},
		},
		"too many pruned": {
			Input{Wanted: documents("a 1", "b 1"), Present: listing(file("f", "a 1 completed"), file("g", "b 1 completed"), file("h", "c 1 completed")), Policy: pruning},
			[]string{"refuse MaxPrune: 1 of 3 documents would be removed, but the limit is 25%", "= a unchanged 7", "= b unchanged 7", "= c kept 0: it is not in the folder"},
		},
		"a stray counts": {
			Input{Wanted: documents("a 1", "b 1", "c 1"), Present: listing(file("f", "a 1 completed"), file("g", "b 1 completed"), file("h", "d 1 completed"), file("s", "- - completed")), Policy: Policy{Prune: true, MaxPrune: Limit{Number: 1}}},
			[]string{"refuse MaxPrune: 2 of 4 documents would be removed, but the limit is 1", "= a unchanged 7", "= b unchanged 7", "= c added 7", "= d kept 0: it is not in the folder"},
		},
		"a stray stays while a document is missing": {
			Input{Wanted: documents("a 1", "b 1", "c 1", "d 1"), Present: listing(file("f", "a 1 completed"), file("g", "b 1 completed"), file("h", "c 1 completed"), file("s", "- - completed")), Policy: pruning},
			[]string{"upload d 1: it is not in the vector store", "= a unchanged 7", "= b unchanged 7", "= c unchanged 7", "= d added 7"},
		},
		"a stray is pruned": {
			Input{Wanted: documents("a 1", "b 1", "c 1"), Present: listing(file("f", "a 1 completed"), file("g", "b 1 completed"), file("h", "c 1 completed"), file("s", "- - completed")), Policy: pruning},
			[]string{"detach s: an interrupted run attached it without its path", "= a unchanged 7", "= b unchanged 7", "= c unchanged 7"},
		},
		"empty": {
			Input{Present: listing(file("f", "a 1 completed")), Policy: Policy{Prune: true, MaxPrune: Limit{Number: 100, Percent: true}}},
			[]string{"refuse EmptyFolder: the folder has no documents, so all 1 of the vector store would be removed", "= a kept 0: it is not in the folder"},
		},
		"empty, not pruned": {
			Input{Present: listing(file("f", "a 1 completed"))}, []string{"= a kept 0: it is not in the folder"},
		},
		"empty, allowed": {
			Input{Present: listing(file("f", "a 1 completed")), Policy: anything},
			[]string{"detach a 1 f: it is not in the folder", "= a removed 0: it is not in the folder"},
		},
		"only a stray": {
			Input{Present: listing(file("s", "- - completed")), Uploads: []Upload{upload("g", "b", "1", "AS")}, Policy: anything},
			[]string{"detach s: an interrupted run attached it without its path", "delete file b 1 g: it is not in the vector store and not needed"},
		},
		"unexpectedly empty": {
			Input{Wanted: documents("a 1"), Present: listing(), Uploads: []Upload{upload("f", "a", "1", "AS"), upload("g", "b", "1", "AS"), upload("h", "b", "2", ""), upload("i", "b", "3", "ASL")}, Policy: anything},
			[]string{
				"attach a 1 f: it is uploaded, but not in the vector store", "delete file b 2 h: it is not in the vector store and not needed",
				"= a added 7: it is uploaded", "withheld: the vector store lists none of the files that it had",
			},
		},
		"expectedly empty": {
			Input{Present: listing(), Uploads: []Upload{upload("i", "b", "3", "ASL"), upload("j", "b", "2", "A"), upload("h", "a", "2", "AL")}, Policy: pruning},
			[]string{"delete file a 2 h: it is not in the vector store and not needed", "delete file b 3 i: it is not in the vector store and not needed", "delete file b 2 j: it is not in the vector store and not needed"},
		},
		"another client detached a file that is not wanted": {
			Input{Wanted: documents("a 1"), Present: listing(file("f", "a 1 completed")), Uploads: []Upload{upload("j", "b", "2", "AS"), upload("k", "b", "2", "L")}},
			[]string{"delete file b 2 k: it is not in the vector store and not needed", "= a unchanged 7"},
		},
		"a refused plan deletes nothing": {
			Input{Present: listing(file("f", "a 1 completed")), Uploads: []Upload{upload("j", "b", "2", "AS")}, Policy: Policy{Prune: true}},
			[]string{"refuse EmptyFolder: the folder has no documents, so all 1 of the vector store would be removed", "= a kept 0: it is not in the folder"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Owner = "me"
			plan := New(test.in)
			got := lines(plan)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if plan.InStep() != (len(plan.Actions) == 0) {
				t.Error("InStep is wrong")
			}
			for _, action := range plan.Actions {
				if (action.Size == 7) != (action.Kind == UploadFile) {
					t.Errorf("%+v has a wrong size", action)
				}
			}
			for _, action := range plan.Refused() {
				if action.Kind != Refuse {
					t.Errorf("Refused contains %+v", action)
				}
			}
		})
	}
}

func TestLimit(t *testing.T) {
	for text, want := range map[string]string{"25%": "25%", "0": "0", "0%": "0%", "100%": "100%", "2000": "2000", "101%": "", "-1": "", "": "", "%": "", "x": "", "5 %": ""} {
		limit, err := ParseLimit(text)
		if (err == nil) != (want != "") || err == nil && limit.String() != want {
			t.Errorf("ParseLimit(%q) = %v, %v", text, limit, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("error %q does not contain the text", err)
		}
	}
	for _, test := range []struct {
		limit        string
		removed, all int
		want         bool
	}{
		{"25%", 1, 4, true}, {"25%", 2, 7, false}, {"25%", 25, 100, true}, {"25%", 26, 100, false}, {"100%", 3, 3, true},
		{"2", 2, 2, true}, {"2", 3, 100, false}, {"0%", 1, 100, false},
	} {
		limit, err := ParseLimit(test.limit)
		if err != nil || limit.permits(test.removed, test.all) != test.want {
			t.Errorf("%s permits to remove %d of %d: %t", test.limit, test.removed, test.all, !test.want)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := Version("abc", ""); got != "abc" {
		t.Errorf("Version without chunking = %s", got)
	}
	one, other := Version("abc", "static 800 400"), Version("abc", "static 800 200")
	if one == other || one == "abc" || len(one) != 64 {
		t.Errorf("versions %s and %s", one, other)
	}
}

func TestOwnerAttribute(t *testing.T) {
	for _, version := range []string{"", "abc"} {
		for _, owner := range []string{"prod/handbook", "a@b"} {
			gotOwner, gotVersion, ok := ParseOwnerAttribute(OwnerAttribute(owner, version))
			if !ok || gotOwner != owner || gotVersion != version {
				t.Errorf("ParseOwnerAttribute = %q, %q, %t; want %q, %q", gotOwner, gotVersion, ok, owner, version)
			}
		}
	}
	for _, value := range []any{nil, 5, "", "me", "@", "@sha256:abc", "me@abc", "me@sha256:", "me@md5:abc"} {
		if owner, version, ok := ParseOwnerAttribute(value); ok {
			t.Errorf("ParseOwnerAttribute(%v) = %q, %q", value, owner, version)
		}
	}
}

func TestValidateOwner(t *testing.T) {
	for owner, want := range map[string]bool{
		"prod/handbook": true, "A-z_0.9": true, "azAZ09": true, strings.Repeat("a", MaxOwnerLength): true,
		"": false, "a b": false, "a@b": false, "ä": false, "a:b": false, "a[": false, "a`": false, "a{": false, "@": false, strings.Repeat("a", MaxOwnerLength+1): false,
	} {
		err := ValidateOwner(owner)
		if (err == nil) != want {
			t.Errorf("ValidateOwner(%q) = %v", owner, err)
		}
	}
}

func TestEqualAttributes(t *testing.T) {
	all := map[string]any{"s": "x", "b": true, "n": 5}
	for _, number := range []any{5, int32(5), int64(5), float32(5), 5.0, json.Number("5"), json.Number("5.0"), json.Number("0.5e1")} {
		other := maps.Clone(all)
		other["n"] = number
		if !equalAttributes(all, other) || !equalAttributes(other, all) {
			t.Errorf("%T %v is not equal to 5", number, number)
		}
	}
	for name, change := range map[string]func(map[string]any){
		"another number":         func(m map[string]any) { m["n"] = 6 },
		"a text with the number": func(m map[string]any) { m["n"] = "5" },
		"too large":              func(m map[string]any) { m["n"] = json.Number("1e999") },
		"another text":           func(m map[string]any) { m["s"] = "X" },
		"a number for a text":    func(m map[string]any) { m["s"] = 1 },
		"another bool":           func(m map[string]any) { m["b"] = false },
		"one less":               func(m map[string]any) { delete(m, "b") },
		"one more":               func(m map[string]any) { m["t"] = "x" },
		"another key":            func(m map[string]any) { delete(m, "b"); m["c"] = true },
	} {
		other := maps.Clone(all)
		change(other)
		if equalAttributes(all, other) || equalAttributes(other, all) {
			t.Errorf("equal with %s", name)
		}
	}
}

func TestAllAttributes(t *testing.T) {
	d := Document{Path: "a", Version: "1", Attributes: map[string]any{"n": 1, AttributePath: "ignored"}}
	want := map[string]any{"n": 1, AttributePath: "a", AttributeOwner: "me@sha256:1"}
	if diff := cmp.Diff(want, d.AllAttributes("me")); diff != "" {
		t.Error(diff)
	}
	if len(d.Attributes) != 2 {
		t.Error("AllAttributes changed the document")
	}
}

func BenchmarkNew(b *testing.B) {
	in := Input{Owner: "me", Present: Listing{Complete: true}, Policy: pruning}
	for i := range 10_000 {
		path := fmt.Sprintf("page-%05d.md", i)
		in.Wanted = append(in.Wanted, Document{Path: path, Version: "1"})
		if i%2 == 0 {
			in.Present.Files = append(in.Present.Files, file(fmt.Sprint("file-", i), path+" 1 completed"))
			continue
		}
		in.Uploads = append(in.Uploads, upload(fmt.Sprint("file-", i), path, "1", ""))
	}
	for b.Loop() {
		New(in)
	}
}
