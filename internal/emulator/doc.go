// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package emulator is an emulator of the vector store part of the OpenAI API: an http.Handler
// that responds as the API does, injects faults, and records the calls that it receives. The
// demo and the tests run against it. It shares no type with the operator and imports no SDK, so
// it is an independent witness of what the operator does.
//
// It runs no background work. Each request computes the state of the files from the clock, so a
// test that sets the clock is repeatable and never has to wait.
//
// # Profiles
//
// Servers of the API differ. A Profile is a list of named Behaviors of one server, each with its
// evidence: ProfileOpenAI (the default), ProfileAzure, ProfileOGX and ProfileGateway. What a server
// shows rarely, or by a single report, is added by Options.Strict. Each behavior can be changed on its
// own. docs/internals/emulator.md has what was observed where.
//
// # Fidelity
//
// Common to all profiles, unless a behavior changes it.
//
// Observed on the real API, and reproduced: a create returns 200 with every file in progress; a
// cancel of a completed batch returns 200 and changes nothing; the object of a batch is
// vector_store.file_batch; files with the same creation time are listed in the same order for asc
// and desc; the messages for a list that is too long and for an ID with a wrong prefix.
//
// Documented, and reproduced: 1 to 2000 files in a batch; file_ids and files are mutually
// exclusive; with files, attributes and chunking_strategy at the top level are ignored; the limits
// of both; auto chunking reads back as static 800/400; pages of 1 to 100; a file that is attached
// twice is in the store once; deleting a file detaches it from every store; the rate limits, if
// Behaviors.EnforceLimits is set.
//
// Undocumented, and decided here:
//   - Attaching a file that was never uploaded creates it (Behaviors.StrictFiles returns 404
//     instead).
//   - A file that is listed twice in one batch counts once.
//   - A file that is attached again is processed again, with the settings of the newest batch; the
//     older batch keeps its own copy of the file's status.
//   - A batch is processed until its cancel takes effect (Settings.CancelDelay), so it can still
//     complete. Until then its status is in_progress (Behaviors.CancellingStatus).
//   - A batch is completed when none of its files is in progress, even if all of them failed.
//   - A detached file remains in the batch that attached it.
//   - While a detach is not visible yet (Behaviors.DetachDelay), a second one returns 404.
//   - An expired store can be read; attaching to it returns 400.
//   - A cursor that is not in the list returns 400.
//   - The rate limits apply to a sliding window, the strictest way of counting.
//   - A search finds the files that contain words of the query. The score is the share of the words.
//
// # Outcomes
//
// A file completes, unless Server.SetOutcome or its ID decides otherwise: a file whose ID begins
// with file-fail-unsupported or file-fail-invalid fails with that code, one that begins with
// file-fail- fails with server_error, and one that begins with file-stuck- never finishes. An
// uploaded file fails by its extension and its content (Behaviors.FailingContent).
//
// # Admin API
//
// The admin API serves JSON below /_emulator/ and requires no key. Durations have the form 1m30s.
//
//	GET    health
//	GET    calls                      received calls; ?operation= &vector_store= &batch=
//	DELETE calls                      delete the recorded calls
//	GET    call_counts                calls since the start, by operation and HTTP status
//	GET    batches                    every batch, with its files and the number of retrieves and cancels
//	GET    batches/{id}
//	PUT    batches/{id}               {"status": "failed"}: see Server.SetBatchStatus
//	GET    file_sets                  batches grouped by their set of files
//	GET    vector_stores
//	POST   vector_stores              {"id": "vs_demo"}
//	DELETE vector_stores/{id}
//	POST   vector_stores/{id}/expire
//	GET    vector_stores/{id}/files   attached files, and how often each was attached
//	POST   files                      {"id": "file-1", "outcome": {"code": "invalid_file"}}: see Outcome
//	GET    behaviors                  the profile, and the active value and evidence of each behavior
//	GET    profiles                   what each profile shows
//	GET    settings
//	PATCH  settings                   {"pace": "2s", "cancel_delay": "500ms"}: see Settings and Behaviors
//	POST   clock                      {"advance": "1h"}
//	GET    faults                     with the number of calls that each matched
//	POST   faults                     {"operation": "create", "times": 1, "status": 500}: see Fault
//	GET    presets                    hostile responses: {"operation": "retrieve", "preset": "gzip_bomb"}
//	DELETE faults
//	DELETE faults/{id}
package emulator
