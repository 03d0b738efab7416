// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fileset

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	seedFlag    = flag.Uint64("history-seed", 0, "seed of the first random history; 0 chooses one")
	historyFlag = flag.Uint64("history", 0, "the seed of the one history to run and log; 0 runs many")
)

// TestHistories runs random histories of a folder that changes and of runs that are killed at any step,
// with a server that fails, lists late or partially, and does not keep attributes. It checks the promises
// of New after each effect, and that a quiet phase ends in step.
func TestHistories(t *testing.T) {
	if *historyFlag != 0 {
		h := newHistory(*historyFlag)
		h.logf = t.Logf
		if err := h.play(); err != nil {
			t.Fatal(err)
		}
		return
	}
	first, histories := *seedFlag, uint64(100_000)
	switch {
	case testing.Short(): // the same ones each time, as mutation tests require
		first, histories = max(first, 1), 4_000
	case first == 0:
		first = framework.CommitSeed()
	}
	t.Logf("%d histories from -history-seed=%d", histories, first)
	var next, failed atomic.Uint64
	var mu sync.Mutex
	covered := map[string]int{}
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < histories && failed.Load() < 5; i = next.Add(1) - 1 {
				h := newHistory(first + i)
				if err := h.play(); err != nil {
					failed.Add(1)
					t.Errorf("-history=%d: %v", first+i, err)
				}
				mu.Lock()
				for event, count := range h.covered {
					covered[event] += count
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, event := range []string{
		"upload", "attach", "update attributes", "detach", "delete file", "wait", "refuse", "killed", "lost upload",
		"server error", "incomplete", "failed file", "cancelled file", "withheld", "in step", "duplicate", "without path",
		string(GuardEmpty), string(GuardMaxPrune), string(GuardAttributes), "no record", "empty",
	} {
		if covered[event] == 0 {
			t.Errorf("no history has the event %q, so the test does not cover it", event)
		}
	}
	t.Logf("events: %v", covered)
}

// simFile is a file that was uploaded.
type simFile struct {
	path, version string
	foreign       bool
	// attached is nil if the file is not in the vector store.
	attached *simAttachment
	// lingering is when a listing stops to have a detached file.
	lingering *simAttachment
	gone      int
}

type simAttachment struct {
	attributes map[string]any
	// shown are the attributes that a listing has until shownUntil.
	shown      map[string]any
	shownUntil int
	status     Status
	// finishes is when the status becomes outcome, and visible when a listing has the file.
	finishes, visible int
	outcome           Status
	created           int
}

// attributeMode is what the server does with attributes.
type attributeMode int

const (
	keeps      attributeMode = iota
	commonOnly               // files of a batch are ignored: it takes common attributes only
	drops
	rewritesPath
	ignoresUpdates // with commonOnly
)

// history is a simulated folder, server and record of uploads.
type history struct {
	random  *rand.Rand
	logf    func(string, ...any)
	covered map[string]int
	now     int
	nextID  int

	folder map[string]Document
	files  map[string]*simFile
	// served are the paths that must not disappear, because the vector store had a version of them while
	// they were wanted.
	served  map[string]bool
	foreign map[string]map[string]any

	// record is what survives a kill.
	record map[string]Upload
	// interrupted are uploads that the record does not have yet.
	interrupted map[string]*simFile
	// active is until when the batch of a file counts as active.
	active map[string]int
	lost   map[string]int // lost uploads that cannot be resolved, by path and version

	mode                attributeMode
	policy              Policy
	quiet, recordless   bool
	prompt              bool
	errorRate, killRate int
	requests, rounds    int
}

// killed is the panic of a run that is killed.
type killed struct{}

// broken is the panic of a broken promise.
type broken string

func newHistory(seed uint64) *history {
	h := &history{
		random: rand.New(rand.NewPCG(seed, 1)), covered: map[string]int{}, logf: func(string, ...any) {},
		folder: map[string]Document{}, files: map[string]*simFile{}, served: map[string]bool{},
		record: map[string]Upload{}, active: map[string]int{}, interrupted: map[string]*simFile{}, lost: map[string]int{}, foreign: map[string]map[string]any{}, policy: Policy{Prune: true, MaxPrune: DefaultMaxPrune},
	}
	h.errorRate, h.killRate = h.random.IntN(10), h.random.IntN(8)
	switch h.random.IntN(12) {
	case 0:
		h.mode = drops
	case 1:
		h.mode = rewritesPath
	case 2:
		h.mode = ignoresUpdates
	case 3, 4, 5:
		h.mode = commonOnly
	}
	h.recordless = h.random.IntN(6) == 0
	h.prompt = h.random.IntN(2) == 0
	for i := range h.random.IntN(4) {
		f := &simFile{path: h.path(), version: "v1", foreign: true}
		f.attached = &simAttachment{status: Completed, outcome: Completed, attributes: h.foreignAttributes(i)}
		id := h.id()
		h.files[id], h.foreign[id] = f, maps.Clone(f.attached.attributes)
	}
	return h
}

// foreignAttributes are those of files that do not belong to the set.
func (h *history) foreignAttributes(i int) map[string]any {
	switch i {
	case 0:
		return nil
	case 1:
		return map[string]any{AttributePath: h.path(), AttributeOwner: OwnerAttribute("other", "v1")}
	}
	return map[string]any{AttributePath: h.path(), AttributeOwner: "me"}
}

// foreignChanged reports whether a file that does not belong to the set changed.
func (h *history) foreignChanged() bool {
	for id, attributes := range h.foreign {
		f := h.files[id]
		if f == nil || f.attached == nil || !maps.Equal(f.attached.attributes, attributes) {
			return true
		}
	}
	return false
}

func (h *history) path() string { return string(rune('a' + h.random.IntN(5))) }

func (h *history) id() string {
	h.nextID++
	return fmt.Sprintf("file-%03d", h.nextID)
}

func (h *history) chance(percent int) bool { return !h.quiet && h.random.IntN(100) < percent }

func (h *history) cover(event string) { h.covered[event]++ }

// play runs the history and returns the first broken promise.
func (h *history) play() (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case broken:
			err = fmt.Errorf("%s", string(r))
		default:
			panic(r)
		}
	}()
	for range 1 + h.random.IntN(3) {
		h.edit()
		h.policy.Prune = h.random.IntN(4) > 0
		h.policy.AllowEmpty = h.random.IntN(4) == 0
		h.policy.RetryFailed = h.random.IntN(4) == 0
		h.policy.MaxPrune = DefaultMaxPrune
		if h.random.IntN(2) == 0 {
			h.policy.MaxPrune = Limit{Number: 100, Percent: true}
		}
		for range 1 + h.random.IntN(2) {
			h.run()
		}
		if h.recordless && h.chance(50) {
			h.cover("no record")
			clear(h.record) // another machine
			clear(h.active)
			clear(h.interrupted)
		}
	}
	h.settle()
	return nil
}

// edit changes the folder.
func (h *history) edit() {
	for range h.random.IntN(5) {
		path := h.path()
		switch d, exists := h.folder[path]; {
		case exists && h.random.IntN(3) == 0:
			delete(h.folder, path)
			delete(h.served, path)
		case exists && h.random.IntN(2) == 0:
			d.Attributes = map[string]any{"n": h.random.IntN(3)}
			h.folder[path] = d
		default:
			d.Path, d.Version = path, fmt.Sprintf("v%d", h.random.IntN(3))
			h.folder[path] = d
		}
	}
	if h.random.IntN(15) == 0 {
		clear(h.folder)
		clear(h.served)
	}
	h.logf("folder: %v", h.folder)
}

// run is a run of the caller, which may be killed.
func (h *history) run() {
	r := &run{history: h, fresh: map[string]bool{}, detached: map[string]int{}, updated: map[string]int{}}
	defer func() {
		if v := recover(); v != nil {
			if _, isKill := v.(killed); !isKill {
				panic(v)
			}
			h.cover("killed")
			h.logf("killed")
		}
	}()
	h.logf("run")
	r.resume()
	for range 40 {
		if r.round() {
			return
		}
		h.now++
	}
	if h.quiet {
		panic(broken("a run does not finish without faults"))
	}
}

// settle runs without faults until the vector store equals the folder, and checks that a further run does
// nothing.
func (h *history) settle() {
	h.quiet = true
	h.now += 100
	h.tick()
	h.policy = Policy{Prune: true, AllowEmpty: true, MaxPrune: Limit{Number: 100, Percent: true}, RetryFailed: true}
	before := len(h.files)
	for range 3 {
		h.run()
		h.now += 100
		h.tick()
	}
	if h.mode == drops || h.mode == rewritesPath || h.mode == ignoresUpdates {
		if len(h.files) > before+len(h.folder) {
			panic(broken(fmt.Sprintf("upload loop: %d files, and %d after 3 more runs", before, len(h.files))))
		}
		return
	}
	h.requests = 0
	effects := h.nextID
	h.run()
	if h.rounds != 1 || h.requests != 1 || h.nextID != effects {
		panic(broken(fmt.Sprintf("a run after a run needed %d rounds and %d requests", h.rounds, h.requests)))
	}
	h.checkEqual()
}

// checkEqual checks that the vector store equals the folder, and that no file is left behind.
func (h *history) checkEqual() {
	found := map[string]int{}
	files := map[string]int{}
	for id, f := range h.files {
		if f.foreign {
			continue
		}
		files[f.path+" "+f.version]++
		if f.attached == nil {
			continue
		}
		found[f.path]++
		d, wanted := h.folder[f.path]
		if !wanted || d.Version != f.version || !equalAttributes(d.AllAttributes("me"), f.attached.attributes) || f.attached.status != Completed {
			panic(broken(fmt.Sprintf("the vector store has %s: %+v, %+v; the folder has %+v", id, f, f.attached, d)))
		}
	}
	for path, d := range h.folder {
		if found[path] != 1 {
			panic(broken(fmt.Sprintf("the vector store has %s %d times", path, found[path])))
		}
		files[path+" "+d.Version]--
	}
	if h.recordless {
		return // files that were uploaded or detached by a run whose record is lost stay
	}
	for key, count := range files {
		if count > h.lost[key] {
			panic(broken(fmt.Sprintf("%d files of %s are left behind, but %d lost uploads", count, key, h.lost[key])))
		}
	}
	h.cover("in step")
}

// check checks the promises that hold at every moment.
func (h *history) check() {
	if h.foreignChanged() {
		panic(broken("a foreign file changed"))
	}
	if h.recordless {
		return
	}
	h.checkCount()
	h.checkServed()
}

// checkCount checks that no file was uploaded twice. Files that are being removed do not count.
func (h *history) checkCount() {
	files := map[string]int{}
	for id, f := range h.files {
		if !f.foreign && !h.record[id].Leaving {
			files[f.path+" "+f.version]++
		}
	}
	for key, count := range files {
		if count > 1+h.lost[key] {
			panic(broken(fmt.Sprintf("%d files of %s, but %d lost uploads", count, key, h.lost[key])))
		}
	}
}

// checkServed checks that no path disappeared that stays wanted.
func (h *history) checkServed() {
	serving := map[string]bool{}
	for _, f := range h.files {
		if !f.foreign && f.attached != nil && f.attached.status == Completed {
			serving[f.path] = true
		}
	}
	kept := h.mode == keeps || h.mode == commonOnly
	for path := range h.folder {
		if serving[path] && kept {
			h.served[path] = true
		}
	}
	for path := range h.served {
		if !serving[path] {
			panic(broken("path " + path + " disappeared from the vector store"))
		}
	}
}

// tick lets time pass and advances the files.
func (h *history) tick() {
	h.now++
	for _, f := range h.files {
		if a := f.attached; a != nil && h.now >= a.finishes && a.outcome != "" {
			a.status = a.outcome
		}
		if f.lingering != nil && h.now >= f.gone {
			f.lingering = nil
		}
	}
	h.check()
}

// listing is what the server lists. It omits files that were attached a moment ago, and has those that
// were detached a moment ago.
func (h *history) listing() Listing {
	h.requests++
	l := Listing{Complete: true}
	for _, id := range slices.Sorted(maps.Keys(h.files)) {
		f := h.files[id]
		a := f.attached
		if a == nil {
			a = f.lingering
		} else if h.now < a.visible {
			continue
		}
		if a == nil {
			continue
		}
		attributes := a.attributes
		if h.now < a.shownUntil {
			attributes = a.shown
		}
		l.Files = append(l.Files, StoreFile{
			ID: id, CreatedAt: time.Unix(int64(a.created/3), 0), Status: a.status, Attributes: maps.Clone(attributes), Message: "it is broken",
		})
	}
	if h.recordless && h.chance(h.errorRate) {
		h.cover("empty")
		l.Files = nil
	}
	if h.chance(h.errorRate) {
		h.cover("incomplete")
		l.Complete = false
		l.Files = l.Files[:h.random.IntN(len(l.Files)+1)]
	}
	return l
}

// run is the state of a run that a kill destroys.
type run struct {
	*history
	fresh    map[string]bool
	detached map[string]int // until when a detach is not repeated
	updated  map[string]int // since when
}

// settleTime is the time after which the server shows every change.
const settleTime = 6

func (r *run) input() Input {
	in := Input{Owner: "me", Wanted: slices.Collect(maps.Values(r.folder)), Present: r.listing(), Policy: r.policy, Updated: map[string]Update{}}
	for _, f := range in.Present.Files {
		if u, known := r.record[f.ID]; known {
			u.Seen = true
			r.record[f.ID] = u
		}
	}
	b := Batch{Active: true}
	for id, u := range r.record {
		u.FileID, u.Fresh, u.Detached = id, r.fresh[id], r.detached[id] > r.now
		in.Uploads = append(in.Uploads, u)
		if r.active[id] > r.now {
			b.Files = append(b.Files, u)
		}
	}
	in.Batches = []Batch{b, {Files: []Upload{{FileID: "file-old", Path: r.path(), Version: "v1", Attached: true}}}}
	for id, since := range r.updated {
		in.Updated[id] = UpdateRecent
		if r.now >= since+settleTime {
			in.Updated[id] = UpdateSettled
		}
	}
	return in
}

// round plans and performs. It returns true if the run is finished.
func (r *run) round() bool {
	if r.quiet {
		r.rounds++
	} else {
		r.rounds = 0
	}
	in := r.input()
	plan := New(in)
	r.checkPlan(in, plan)
	if plan.InStep() {
		if r.quiet {
			r.rounds = 1
		}
		return true
	}
	refused := len(plan.Refused()) > 0
	for _, action := range plan.Actions {
		r.logf("%d: %+v", r.now, action)
		r.cover(string(action.Kind))
		if action.Guard != "" {
			r.cover(string(action.Guard))
		}
		if strings.HasPrefix(action.Reason, "it is a duplicate") {
			r.cover("duplicate")
		}
		if strings.Contains(action.Reason, "without its path") {
			r.cover("without path")
		}
		r.step()
		r.perform(action)
		if refused && action.Kind == DetachFile {
			r.perform(Action{Kind: DeleteFile, FileID: action.FileID})
		}
		r.tick()
		r.step()
	}
	r.now += r.random.IntN(3)
	r.tick()
	return refused
}

// step may kill the run.
func (r *run) step() {
	if r.chance(r.killRate) {
		panic(killed{})
	}
}

// fails reports whether a request has no effect.
func (r *run) fails() bool {
	r.requests++
	if r.chance(r.errorRate) {
		r.cover("server error")
		return true
	}
	return false
}

func (r *run) perform(action Action) {
	switch action.Kind {
	case UploadFile:
		r.upload(action)
	case AttachFile:
		r.attach(action)
	case UpdateAttributes:
		r.update(action)
	case DetachFile:
		r.detach(action)
	case DeleteFile:
		if !r.fails() {
			if f := r.files[action.FileID]; f != nil && f.foreign {
				panic(broken("a foreign file is deleted"))
			}
			delete(r.files, action.FileID) // which detaches it
			r.check()
			r.step()
			delete(r.record, action.FileID)
		}
	case Wait, Refuse:
	}
}

// resume records the files of uploads that were interrupted, as the journal of a caller does.
func (r *run) resume() {
	for id, f := range r.interrupted {
		r.record[id] = Upload{Path: f.path, Version: f.version}
		delete(r.interrupted, id)
	}
}

// upload uploads a file. Some lost answers cannot be resolved.
func (r *run) upload(action Action) {
	if r.fails() {
		return
	}
	id := r.id()
	f := &simFile{path: action.Path, version: action.Version}
	r.files[id] = f
	if r.chance(r.errorRate) {
		r.cover("lost upload")
		r.lost[action.Path+" "+action.Version]++
		return
	}
	r.interrupted[id] = f
	r.step()
	r.resume()
}

func (r *run) attach(action Action) {
	u := r.record[action.FileID]
	u.Path, u.Version, u.Attached = action.Path, action.Version, true
	r.record[action.FileID] = u
	r.active[action.FileID] = r.now + settleTime + 4
	r.step()
	f := r.files[action.FileID]
	if f == nil || r.fails() {
		if f == nil {
			delete(r.record, action.FileID)
		}
		delete(r.active, action.FileID)
		return
	}
	d := r.folder[action.Path]
	a := &simAttachment{attributes: d.AllAttributes("me"), status: "in_progress", outcome: Completed, created: r.now}
	switch r.mode {
	case drops:
		a.attributes = nil
	case rewritesPath:
		a.attributes[AttributePath] = "Z" + action.Path
	case commonOnly, ignoresUpdates:
		a.attributes = map[string]any{AttributeOwner: OwnerAttribute("me", "")}
	case keeps:
	}
	a.finishes = r.now + r.random.IntN(4)
	if !r.prompt {
		a.visible = r.now + r.random.IntN(settleTime)
	}
	if r.chance(5) {
		a.outcome = Failed
		r.cover("failed file")
	}
	if r.chance(5) {
		a.outcome = Cancelled
		r.cover("cancelled file")
	}
	f.attached, f.lingering = a, nil
	r.fresh[action.FileID] = true
}

func (r *run) update(action Action) {
	f := r.files[action.FileID]
	if r.fails() || f == nil || f.attached == nil {
		return
	}
	if f.foreign {
		panic(broken("attributes of a foreign file are updated"))
	}
	a := f.attached
	if !r.prompt {
		a.shown, a.shownUntil = a.attributes, r.now+r.random.IntN(settleTime)
	}
	d := r.folder[action.Path]
	if r.mode != ignoresUpdates {
		a.attributes = d.AllAttributes("me")
	}
	r.updated[action.FileID] = r.now
}

func (r *run) detach(action Action) {
	f := r.files[action.FileID]
	if f != nil && f.foreign {
		panic(broken("a foreign file is detached"))
	}
	u := r.record[action.FileID]
	u.Path, u.Version, u.Leaving, u.Attached = action.Path, action.Version, true, true
	r.record[action.FileID] = u
	r.step()
	if r.fails() {
		return
	}
	if f != nil && f.attached != nil {
		f.lingering, f.gone = f.attached, r.now
		if !r.prompt {
			f.gone += r.random.IntN(settleTime)
		}
		f.attached = nil
	}
	r.detached[action.FileID] = r.now + settleTime
	r.check()
}

// checkPlan checks what a plan must not contain.
func (r *run) checkPlan(in Input, plan Plan) {
	listed := map[string]StoreFile{}
	for _, f := range in.Present.Files {
		listed[f.ID] = f
	}
	removed := map[string]bool{}
	for _, action := range plan.Actions {
		_, wanted := r.folder[action.Path]
		switch action.Kind {
		case DetachFile, UpdateAttributes, DeleteFile:
			r.checkOwned(in, action, listed)
			if action.Kind == DetachFile && !wanted {
				removed[action.Path] = true
			}
		case UploadFile, AttachFile, Wait:
			if len(plan.Refused()) > 0 {
				panic(broken("a refused plan does something"))
			}
		case Refuse:
		}
	}
	if len(plan.Refused()) == 0 && len(removed) > 0 {
		r.checkGuards(len(removed), len(r.ownedPaths(in)))
	}
	if plan.Withheld != "" && in.Present.Complete {
		r.cover("withheld")
	}
	if !slices.IsSortedFunc(plan.Changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) }) {
		panic(broken("the changes are not sorted"))
	}
}

// checkOwned checks that an action which changes or removes a file may do so.
func (r *run) checkOwned(in Input, action Action, listed map[string]StoreFile) {
	if !in.Present.Complete {
		panic(broken(fmt.Sprintf("%+v because of an incomplete listing", action)))
	}
	f, isListed := listed[action.FileID]
	owner, _, ok := ParseOwnerAttribute(f.Attributes[AttributeOwner])
	if isListed && (!ok || owner != "me") && !r.fresh[action.FileID] {
		panic(broken(fmt.Sprintf("%+v, which is not owned", action)))
	}
	if u := r.record[action.FileID]; len(listed) == 0 && action.Kind == DeleteFile && u.Seen && !u.Leaving {
		panic(broken(fmt.Sprintf("%+v because of an empty listing", action)))
	}
}

// ownedPaths returns the paths of the set in the vector store.
func (r *run) ownedPaths(in Input) map[string]bool {
	owned := map[string]bool{}
	for _, f := range in.Present.Files {
		if owner, _, ok := ParseOwnerAttribute(f.Attributes[AttributeOwner]); !ok || owner != "me" {
			continue
		}
		path, known := f.Attributes[AttributePath].(string)
		if !known {
			path = cmp.Or(r.record[f.ID].Path, f.ID)
		}
		owned[path] = true
	}
	return owned
}

// checkGuards checks whether a plan may prune a number of paths.
func (r *run) checkGuards(removed, owned int) {
	switch {
	case !r.policy.Prune:
		panic(broken("a plan prunes without permission"))
	case len(r.folder) == 0 && !r.policy.AllowEmpty:
		panic(broken("a plan prunes for an empty folder"))
	case r.policy.MaxPrune.Number < 100 && removed*4 > owned:
		panic(broken(fmt.Sprintf("a plan prunes %d of %d paths", removed, owned)))
	}
}
