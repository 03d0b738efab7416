// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fileset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind is what an action does.
type Kind string

// The kinds of actions.
const (
	// UploadFile uploads a document.
	UploadFile Kind = "upload"
	// AttachFile attaches an uploaded file.
	AttachFile Kind = "attach"
	// UpdateAttributes sets the attributes of a file in the vector store.
	UpdateAttributes Kind = "update attributes"
	// DetachFile detaches a file from the vector store.
	DetachFile Kind = "detach"
	// DeleteFile deletes an uploaded file that is not in the vector store.
	DeleteFile Kind = "delete file"
	// Wait means that nothing can be done for a document until its file changes.
	Wait Kind = "wait"
	// Refuse means that nothing must be done. A plan with such an action contains no other kind, except
	// those that remove what this run attached.
	Refuse Kind = "refuse"
)

// Guard is why a plan was refused.
type Guard string

// The guards.
const (
	// GuardEmpty refuses to prune every file because no document is wanted.
	GuardEmpty Guard = "EmptyFolder"
	// GuardMaxPrune refuses to prune more than Policy.MaxPrune.
	GuardMaxPrune Guard = "MaxPrune"
	// GuardAttributes refuses to continue because the server does not keep attributes.
	GuardAttributes Guard = "AttributesNotKept"
)

// Action is a step of a plan.
type Action struct {
	Kind Kind
	// Path and Version are those of the document, as far as they are known.
	Path    string
	Version string
	// FileID is empty for UploadFile and Refuse.
	FileID string
	// Size is the number of bytes to upload.
	Size int64
	// Guard is set if Kind is Refuse.
	Guard Guard
	// Reason explains the action to users.
	Reason string
}

// State is how a path in the vector store compares with the documents.
type State string

// The values of State.
const (
	// Unchanged means that the vector store has the document.
	Unchanged State = "unchanged"
	// Added means that the vector store has no version of the document yet.
	Added State = "added"
	// Updated means that the vector store has another version of the document.
	Updated State = "updated"
	// AttributesChanged means that only attributes of the document differ.
	AttributesChanged State = "attributes"
	// FailedState means that the server could not process this version of the document.
	FailedState State = "failed"
	// Removed means that the path is not wanted, and that its files are removed.
	Removed State = "removed"
	// Kept means that the path is not wanted, but that its files are not removed.
	Kept State = "kept"
)

// Change is the state of one path.
type Change struct {
	Path   string
	State  State
	Size   int64
	Reason string
}

// Plan is how to make a vector store equal to a set of documents.
type Plan struct {
	// Actions can be performed now, in this order. Others follow in the plan after them.
	Actions []Action
	// Changes are sorted by path.
	Changes []Change
	// Withheld is why nothing is removed; empty if nothing is withheld.
	Withheld string
}

// InStep reports whether nothing is left to do.
func (p Plan) InStep() bool { return len(p.Actions) == 0 }

// Refused returns the actions of kind Refuse.
func (p Plan) Refused() []Action {
	var refused []Action
	for _, action := range p.Actions {
		if action.Kind == Refuse {
			refused = append(refused, action)
		}
	}
	return refused
}

// entry is a file of the set in the vector store.
type entry struct {
	StoreFile
	path, version string
	// identified is false if the file has the owner, but no path yet.
	identified bool
	leaving    bool
	detached   bool
	fresh      bool
}

// planner collects a plan.
type planner struct {
	Input
	uploads map[string]Upload   // by ID
	byPath  map[string][]Upload // those that the listing does not have
	active  map[string]bool     // files of active batches, by ID
	listed  map[string]bool     // all files of the listing, by ID
	entries map[string][]*entry
	// strays have the owner, but no path, and no record exists of what they are.
	strays []*entry
	// wanted has every wanted path, and satisfied those whose version is completed, with its attributes.
	wanted, satisfied map[string]bool
	incomplete        bool // a wanted path is not satisfied
	plan              Plan
	refused           []Action
	// cleanup undoes what this run attached, if the plan is refused.
	cleanup []Action
}

// New returns a plan.
//
// It keeps these promises, if the caller records uploads, attaches and detaches before it sends them: At
// most one file is uploaded for each path and version. A path that stays wanted never disappears from the
// vector store. Files that are not owned are never changed. Nothing is removed because of a listing that
// is incomplete or unexpectedly empty, or beyond the policy. A server that does not keep attributes is
// noticed. Nothing is done twice.
func New(in Input) Plan {
	p := &planner{
		Input: in, uploads: map[string]Upload{}, byPath: map[string][]Upload{}, active: map[string]bool{}, listed: map[string]bool{},
		entries: map[string][]*entry{}, wanted: map[string]bool{}, satisfied: map[string]bool{},
	}
	if !in.Present.Complete {
		return Plan{
			Actions:  []Action{{Kind: Wait, Reason: "the list of the vector store's files is incomplete"}},
			Withheld: "the list of the vector store's files is incomplete",
		}
	}
	p.index()
	for _, d := range p.sortedDocuments() {
		p.document(d)
	}
	p.supersede()
	p.prune()
	p.deleteFiles()
	return p.result()
}

// result returns the collected plan.
func (p *planner) result() Plan {
	if len(p.refused) > 0 {
		p.plan.Actions = append(p.refused, p.cleanup...)
	}
	slices.SortStableFunc(p.plan.Changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return p.plan
}

// sortedDocuments returns the documents in the order of their paths.
func (p *planner) sortedDocuments() []Document {
	return slices.SortedFunc(slices.Values(p.Wanted), func(a, b Document) int { return strings.Compare(a.Path, b.Path) })
}

func (p *planner) act(kind Kind, e *entry, reason string) {
	p.plan.Actions = append(p.plan.Actions, Action{Kind: kind, Path: e.path, Version: e.version, FileID: e.ID, Reason: reason})
}

// detach plans to detach a file, or to wait for it.
func (p *planner) detach(e *entry, reason string) {
	if e.detached {
		p.act(Wait, e, "the vector store still lists it after it was detached")
		return
	}
	p.act(DetachFile, e, reason)
}

func (p *planner) refuse(guard Guard, path, reason string) {
	p.refused = append(p.refused, Action{Kind: Refuse, Guard: guard, Path: path, Reason: reason})
}

func (p *planner) change(path string, state State, size int64, reason string) {
	p.plan.Changes = append(p.plan.Changes, Change{Path: path, State: state, Size: size, Reason: reason})
}

// index sorts what was observed by path.
func (p *planner) index() {
	for _, d := range p.Wanted {
		p.wanted[d.Path] = true
	}
	for _, b := range p.Batches {
		for _, u := range b.Files {
			if b.Active {
				p.active[u.FileID] = true
				p.uploads[u.FileID] = u
			}
		}
	}
	for _, u := range p.Uploads {
		p.uploads[u.FileID] = u
	}
	for _, f := range p.Present.Files {
		if !p.listed[f.ID] {
			p.listed[f.ID] = true
			p.indexFile(f)
		}
	}
	for _, u := range p.uploads {
		if !p.listed[u.FileID] {
			p.byPath[u.Path] = append(p.byPath[u.Path], u)
		}
	}
}

func (p *planner) indexFile(f StoreFile) {
	owner, version, ok := ParseOwnerAttribute(f.Attributes[AttributeOwner])
	record, recorded := p.uploads[f.ID]
	if !ok || owner != p.Owner {
		if recorded && !record.Leaving {
			p.notKept(f.ID, record, "the server does not keep the attribute "+AttributeOwner+", or another client removed it")
		}
		return
	}
	e := &entry{StoreFile: f, version: version, leaving: record.Leaving, detached: record.Detached, fresh: record.Fresh}
	e.path, _ = f.Attributes[AttributePath].(string)
	e.identified = version != "" && e.path != ""
	switch {
	case !e.identified && recorded:
		e.path, e.version = record.Path, record.Version
	case !e.identified:
		p.strays = append(p.strays, e)
		return
	case recorded && !record.Leaving && (record.Path != e.path || record.Version != e.version):
		p.notKept(f.ID, record, "the server changes the attributes "+AttributePath+" and "+AttributeOwner+", or another client changed them")
		return
	}
	p.entries[e.path] = append(p.entries[e.path], e)
}

// notKept refuses the plan because a file has other attributes than it was attached with. If this run
// attached it, it is removed again, so that not even runs without a record add files again and again.
func (p *planner) notKept(fileID string, record Upload, reason string) {
	p.refuse(GuardAttributes, record.Path, fmt.Sprintf("%s: file %s", reason, fileID))
	p.undo(fileID, record.Path, record.Version, record.Fresh)
}

// undo removes a file if this run attached it and the plan is refused.
func (p *planner) undo(fileID, path, version string, fresh bool) {
	if fresh {
		p.cleanup = append(p.cleanup, Action{Kind: DetachFile, Path: path, Version: version, FileID: fileID, Reason: "this run attached it"})
	}
}

// document plans what the document needs, except the removal of its other files.
func (p *planner) document(d Document) {
	chosen := p.choose(d)
	if chosen == nil {
		p.add(d)
		return
	}
	switch chosen.Status {
	case Completed:
		p.completed(d, chosen)
	case Failed:
		p.failed(d, chosen)
	case Cancelled:
		if chosen.fresh {
			p.failed(d, chosen)
			return
		}
		p.pending(d, "its batch was cancelled")
		p.act(AttachFile, chosen, "its batch was cancelled")
	default:
		p.pending(d, "the server is processing it")
		p.act(Wait, chosen, "the server is processing it")
	}
}

// pending records the change of a document whose version is not completed.
func (p *planner) pending(d Document, reason string) {
	p.incomplete = true
	state := Added
	if slices.ContainsFunc(p.entries[d.Path], func(e *entry) bool { return e.version != d.Version || e.leaving }) {
		state = Updated
	}
	p.change(d.Path, state, d.Size, reason)
}

// rank orders files of the same path and version by how useful they are.
func (e *entry) rank() int {
	switch e.Status {
	case Completed:
		return 0
	case Failed:
		return 2
	case Cancelled:
		return 3
	}
	return 1
}

// choose returns the file of the document in the vector store, or nil if there is none. A file that is
// leaving can disappear at any moment.
func (p *planner) choose(d Document) *entry {
	candidates := slices.DeleteFunc(slices.Clone(p.entries[d.Path]), func(e *entry) bool { return e.version != d.Version || e.leaving })
	if len(candidates) == 0 {
		return nil
	}
	return slices.MinFunc(candidates, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
}

// add plans a document that the vector store does not have.
func (p *planner) add(d Document) {
	known := p.unlisted(d)
	switch {
	case known == nil:
		p.pending(d, "")
		p.plan.Actions = append(p.plan.Actions, Action{Kind: UploadFile, Path: d.Path, Version: d.Version, Size: d.Size, Reason: p.uploadReason(d)})
	case p.active[known.FileID]:
		p.pending(d, "its batch is running")
		p.plan.Actions = append(p.plan.Actions, Action{Kind: Wait, Path: d.Path, Version: d.Version, FileID: known.FileID, Reason: "its batch is running"})
	default:
		p.pending(d, "it is uploaded")
		p.plan.Actions = append(p.plan.Actions, Action{Kind: AttachFile, Path: d.Path, Version: d.Version, FileID: known.FileID, Reason: "it is uploaded, but not in the vector store"})
	}
}

func (p *planner) uploadReason(d Document) string {
	for _, e := range p.entries[d.Path] {
		if e.version != d.Version {
			return "its content changed"
		}
	}
	return "it is not in the vector store"
}

// unlisted returns the record of an uploaded file of the document that is not in the vector store. It
// prefers files of active batches, and then the first by ID.
func (p *planner) unlisted(d Document) *Upload {
	var found *Upload
	for _, u := range p.byPath[d.Path] {
		if u.Version != d.Version || u.Leaving {
			continue
		}
		better := found == nil || p.active[u.FileID] && !p.active[found.FileID] ||
			p.active[u.FileID] == p.active[found.FileID] && u.FileID < found.FileID
		if better {
			found = &u
		}
	}
	return found
}

// completed plans a document whose file is completed: it may need other attributes.
func (p *planner) completed(d Document, e *entry) {
	if equalAttributes(d.AllAttributes(p.Owner), e.Attributes) {
		p.satisfied[d.Path] = true
		p.change(d.Path, Unchanged, d.Size, "")
		return
	}
	p.incomplete = true
	reason := "its attributes changed"
	if !e.identified {
		reason = "it was attached without its path"
	}
	p.change(d.Path, AttributesChanged, d.Size, reason)
	switch p.Updated[e.ID] {
	case UpdateRecent:
		p.act(Wait, e, "the server does not show its new attributes yet")
	case UpdateSettled:
		p.refuse(GuardAttributes, d.Path, "the server does not keep its attributes: file "+e.ID)
		p.undo(e.ID, e.path, e.version, e.fresh && !e.identified)
	default:
		p.act(UpdateAttributes, e, reason)
	}
}

// failed plans a document whose file failed. The files of its other versions stay.
func (p *planner) failed(d Document, e *entry) {
	p.incomplete = true
	if p.Policy.RetryFailed && !e.fresh {
		p.change(d.Path, Updated, d.Size, "it failed before")
		p.act(DetachFile, e, "it failed, and is uploaded again")
		return
	}
	p.change(d.Path, FailedState, d.Size, e.Message)
}

// supersede detaches the files of documents whose wanted version is completed.
func (p *planner) supersede() {
	for _, d := range p.sortedDocuments() {
		if !p.satisfied[d.Path] {
			continue
		}
		chosen := p.choose(d)
		for _, e := range p.entries[d.Path] {
			switch {
			case e == chosen:
			case e.version == d.Version:
				p.detach(e, "it is a duplicate of file "+chosen.ID)
			default:
				p.detach(e, "file "+chosen.ID+" replaces it")
			}
		}
	}
}

// prune plans the paths that are not wanted.
func (p *planner) prune() {
	var paths []string
	for path := range p.entries {
		switch {
		case p.wanted[path]:
		case p.protected(path):
			p.change(path, Kept, 0, "it could not be read from the folder")
		default:
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	prune := p.Policy.Prune && p.permitted(len(paths)+len(p.strays))
	for _, path := range paths {
		if !prune {
			p.change(path, Kept, 0, "it is not in the folder")
			continue
		}
		p.change(path, Removed, 0, "it is not in the folder")
		for _, e := range p.entries[path] {
			p.detach(e, "it is not in the folder")
		}
	}
	for _, e := range p.strays {
		// It can be the only file of a document in the vector store.
		if prune && !p.incomplete {
			p.detach(e, "an interrupted run attached it without its path")
		}
	}
}

// protected reports whether a path that is not wanted must not be pruned.
func (p *planner) protected(path string) bool {
	return slices.ContainsFunc(p.Protected, func(protected string) bool {
		return path == protected || protected == "." || strings.HasPrefix(path, protected+"/")
	})
}

// permitted reports whether the guards permit to prune a number of paths.
func (p *planner) permitted(count int) bool {
	all := len(p.entries) + len(p.strays)
	switch {
	case count == 0:
	case len(p.Wanted) == 0 && !p.Policy.AllowEmpty:
		p.refuse(GuardEmpty, "", fmt.Sprintf("the folder has no documents, so all %d of the vector store would be removed", count))
		return false
	case !p.Policy.MaxPrune.permits(count, all):
		p.refuse(GuardMaxPrune, "", fmt.Sprintf("%d of %d documents would be removed, but the limit is %s", count, all, p.Policy.MaxPrune))
		return false
	}
	return true
}

// deleteFiles plans the uploaded files that neither the vector store nor a document needs.
func (p *planner) deleteFiles() {
	if p.unexpectedlyEmpty() {
		p.plan.Withheld = "the vector store lists none of the files that it had"
	}
	needed := map[string]bool{}
	for _, d := range p.Wanted {
		if known := p.unlisted(d); known != nil && p.choose(d) == nil {
			needed[known.FileID] = true
		}
	}
	var deletes []Action
	for _, u := range p.uploads {
		if p.listed[u.FileID] || p.active[u.FileID] || needed[u.FileID] || !p.deletable(u) {
			continue
		}
		deletes = append(deletes, Action{
			Kind: DeleteFile, Path: u.Path, Version: u.Version, FileID: u.FileID, Reason: "it is not in the vector store and not needed",
		})
	}
	// Maps have no order.
	slices.SortFunc(deletes, func(a, b Action) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.FileID, b.FileID))
	})
	p.plan.Actions = append(p.plan.Actions, deletes...)
}

// unexpectedlyEmpty reports whether the vector store has no file of the set, although an earlier
// listing had files.
func (p *planner) unexpectedlyEmpty() bool {
	if len(p.entries)+len(p.strays) > 0 {
		return false
	}
	for _, u := range p.uploads {
		if u.Seen && !u.Leaving {
			return true
		}
	}
	return false
}

// deletable reports whether an uploaded file that the listing does not have can be deleted.
func (p *planner) deletable(u Upload) bool {
	switch {
	case !u.Attached:
		return true
	case p.plan.Withheld != "":
		return false
	case p.wanted[u.Path]:
		// The listing can omit a file for a moment, and it can be the only one of its path.
		return p.satisfied[u.Path] || u.Detached
	case p.protected(u.Path):
		return false
	}
	return u.Leaving || p.Policy.Prune && len(p.refused) == 0
}
