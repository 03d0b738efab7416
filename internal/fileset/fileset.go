// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fileset plans how to make the files of a vector store equal to a set of documents. It is pure:
// it knows neither a server, a terminal, Kubernetes nor a clock. A caller observes, calls New, performs
// the actions, and repeats both until a plan has no actions.
//
// The key of a document is its path, and its version is the SHA-256 of its content and chunking strategy.
// Both are attributes of each file in the vector store, so that the list of the store's files is the only
// state that a plan requires. What a caller knows beyond it, such as uploads that are not attached yet,
// prevents that an interrupted run leaves files behind.
package fileset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// The attributes that every file of a set has.
const (
	// AttributePath is the path of the document.
	AttributePath = "path"
	// AttributeOwner is the owner and the version: OWNER@sha256:HASH. A file that the server was not told
	// the version of has OWNER@ only.
	AttributeOwner = "vsfb"
)

// Limits of the API, which apply to the attributes of a document.
const (
	// MaxAttributes is the number of attributes that a document can have beside those of every file.
	MaxAttributes = 14
	// MaxPathLength is the maximum length of a path, in characters.
	MaxPathLength = 512
	// MaxOwnerLength is the maximum length of an owner. It leaves room for the version.
	MaxOwnerLength = 253
)

// Document is a document that the vector store is to have.
type Document struct {
	// Path is the key, relative to the root of the set, with forward slashes.
	Path string
	// Version is the result of Version.
	Version string
	// Size is in bytes. It is for reports only.
	Size int64
	// Attributes are those beside AttributePath and AttributeOwner. Values are strings, bools or numbers.
	Attributes map[string]any
}

// Status is the state of a file in a vector store. Servers can add values: an unknown value means that
// the file is in progress.
type Status string

// The documented values of Status.
const (
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// StoreFile is a file in the list of a vector store.
type StoreFile struct {
	ID         string
	CreatedAt  time.Time
	Status     Status
	Attributes map[string]any
	// Message explains why the file failed. It can be empty.
	Message string
}

// Listing is the list of the files in a vector store.
type Listing struct {
	Files []StoreFile
	// Complete is true if every page was read, and if nothing indicates that the server omitted files.
	Complete bool
}

// Upload is an uploaded file of the set that the caller has a record of.
type Upload struct {
	FileID  string
	Path    string
	Version string
	// Attached is true if a request to attach the file may have been sent.
	Attached bool
	// Seen is true if a listing had the file.
	Seen bool
	// Leaving is true if a request to detach the file may have been sent.
	Leaving bool
	// Detached is true if the server confirmed a moment ago that it detaches the file. A listing can still
	// have it.
	Detached bool
	// Fresh is true if this run attached the file, so no other client can have changed its attributes.
	Fresh bool
}

// Batch is a batch of files of the set. It is the second witness for files that a listing does not show
// yet.
type Batch struct {
	// Active is true if the batch is running, or finished so recently that a listing can omit its files.
	// Other batches are ignored.
	Active bool
	Files  []Upload
}

// Update is the progress of an update of attributes.
type Update int

// The values of Update.
const (
	// UpdateRecent means that a listing may not show the new attributes yet.
	UpdateRecent Update = iota + 1
	// UpdateSettled means that a listing shows the new attributes, if the server keeps them.
	UpdateSettled
)

// Input is what a plan depends on.
type Input struct {
	// Owner identifies the set. Files of other owners, and without one, are never changed.
	Owner  string
	Wanted []Document
	// Protected are paths that are not wanted, but not pruned either, with everything below them: documents
	// that exist and cannot be read.
	Protected []string
	Present   Listing
	Uploads   []Upload
	Batches   []Batch
	// Updated are the files whose attributes this run updated, by ID.
	Updated map[string]Update
	Policy  Policy
}

// Policy restricts what a plan removes.
type Policy struct {
	// Prune removes the files whose paths are not wanted.
	Prune bool
	// AllowEmpty permits to prune if no document is wanted.
	AllowEmpty bool
	// MaxPrune limits how many paths are pruned at once.
	MaxPrune Limit
	// RetryFailed uploads files again that failed in an earlier run.
	RetryFailed bool
}

// Limit is a maximum number, or a maximum percentage of all.
type Limit struct {
	Number  int
	Percent bool
}

// DefaultMaxPrune is the limit that protects from a set of documents that is incomplete by mistake.
var DefaultMaxPrune = Limit{Number: 25, Percent: true}

// String returns the form that ParseLimit accepts.
func (l Limit) String() string {
	text := strconv.Itoa(l.Number)
	if l.Percent {
		text += "%"
	}
	return text
}

// ParseLimit parses a number, such as 100, or a percentage, such as 25%.
func ParseLimit(text string) (Limit, error) {
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || percent && n > 100 {
		return Limit{}, fmt.Errorf("%q is neither a number, such as 100, nor a percentage, such as 25%%", text)
	}
	return Limit{Number: n, Percent: percent}, nil
}

// permits reports whether the limit permits to remove some of all.
func (l Limit) permits(removed, all int) bool {
	if l.Percent {
		return removed*100 <= all*l.Number
	}
	return removed <= l.Number
}

// Version returns the version of a document from the SHA-256 of its content, in hexadecimal, and a
// description of its chunking strategy, which is empty for the automatic one.
func Version(contentSHA256, chunking string) string {
	if chunking == "" {
		return contentSHA256
	}
	sum := sha256.Sum256([]byte(contentSHA256 + "\n" + chunking))
	return hex.EncodeToString(sum[:])
}

// versionPrefix precedes the version in AttributeOwner.
const versionPrefix = "sha256:"

// OwnerAttribute returns the value of AttributeOwner for a version. The version is empty for files whose
// version is set later.
func OwnerAttribute(owner, version string) string {
	if version == "" {
		return owner + "@"
	}
	return owner + "@" + versionPrefix + version
}

// ParseOwnerAttribute returns the owner and the version in a value of AttributeOwner, and whether it has
// that form.
func ParseOwnerAttribute(value any) (owner, version string, ok bool) {
	text, _ := value.(string)
	at := strings.LastIndexByte(text, '@')
	if at <= 0 {
		return "", "", false
	}
	owner, version = text[:at], text[at+1:]
	if version == "" {
		return owner, "", true
	}
	version, ok = strings.CutPrefix(version, versionPrefix)
	return owner, version, ok && version != ""
}

// ownerCharacters are the characters that an owner can have.
const ownerCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"

// ValidateOwner returns an error for an owner that AttributeOwner cannot contain.
func ValidateOwner(owner string) error {
	if owner == "" || len(owner) > MaxOwnerLength || strings.Trim(owner, ownerCharacters) != "" {
		return fmt.Errorf("%q is not 1 to %d letters, digits, dots, hyphens, underscores or slashes", owner, MaxOwnerLength)
	}
	return nil
}

// AllAttributes returns all attributes of the document's file.
func (d Document) AllAttributes(owner string) map[string]any {
	all := map[string]any{}
	maps.Copy(all, d.Attributes)
	all[AttributePath] = d.Path
	all[AttributeOwner] = OwnerAttribute(owner, d.Version)
	return all
}

// equalAttributes reports whether two sets of attributes are equal. Some servers return integers with a
// decimal point, so numbers are compared by value.
func equalAttributes(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		other, exists := b[key]
		if !exists || !equalValues(value, other) {
			return false
		}
	}
	return true
}

func equalValues(a, b any) bool {
	if x, isNumber := number(a); isNumber {
		y, isNumber := number(b)
		return isNumber && x == y
	}
	return a == b
}

// number returns the value of a number of any type that an attribute can have.
func number(value any) (float64, bool) {
	switch value := value.(type) {
	case float64:
		return value, true
	case float32:
		return float64(value), true
	case int:
		return float64(value), true
	case int32:
		return float64(value), true
	case int64:
		return float64(value), true
	case interface{ Float64() (float64, error) }: // json.Number
		x, err := value.Float64()
		return x, err == nil
	}
	return 0, false
}
