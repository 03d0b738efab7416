// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package emulator is a stand-in for the vector store part of the OpenAI API: an http.Handler
// that answers as the real service does, can be made to misbehave, and remembers what it was
// asked. The demo and the tests run against it. It shares no type with the operator and knows
// no SDK, so it is an independent witness of what the operator does.
//
// Nothing happens in the background. What was processed is worked out from the clock whenever
// somebody asks, so with a clock of its own a test is repeatable, and needs to wait for nothing.
//
// # What it follows, and what it makes up
//
// Seen of the real service, and followed: a create answers 200 with every file in progress; the
// cancel of a completed batch answers 200 and changes nothing; the object of a batch is
// vector_store.file_batch; files as old as each other come in the same order for asc and desc;
// the messages for a list that is too long and for an ID with a wrong prefix; created_at that
// drifts by a second (Settings.DriftingCreation).
//
// Documented, and followed: 1 to 2000 files a batch; file_ids and files exclude each other; with
// files, attributes and chunking_strategy beside them are ignored; the bounds of both; auto
// chunking reads back as static 800/400; pages of 1 to 100; attaching a file twice leaves it
// attached once; deleting a file takes it out of every store; the rate limits, where
// Settings.EnforceLimits asks for them.
//
// Unknown, and so decided here:
//   - A file that nobody uploaded springs into being when it is attached (Settings.StrictFiles
//     answers 404 instead).
//   - A file named twice in one batch counts once.
//   - A file attached again is processed again, as what the newest batch says of it; the older
//     batch keeps its own view.
//   - A batch goes on being processed until its cancel takes effect (Settings.CancelDelay), and so
//     may complete. Until then it says in_progress (Settings.CancellingStatus).
//   - A batch is completed once no file of it is in progress, also where all of them failed.
//   - A detached file keeps its place in the batch that attached it.
//   - An expired store can be read, and answers 400 to attaching.
//   - A cursor that is not in the list is a 400.
//   - Rate limits count over a window that slides, the strictest way of counting.
//
// Not there: search.
//
// # Outcomes
//
// A file completes, unless Server.SetOutcome says otherwise, or its ID does: file-fail-unsupported…
// and file-fail-invalid… fail with that code, any other file-fail-… with server_error, and
// file-stuck-… never finishes. An uploaded file fails as unsupported_file where vector stores
// don't take its extension, and as invalid_file where it is empty.
//
// # The admin side
//
// It speaks JSON below /_emulator/ and asks for no key. Durations are written as 1m30s.
//
//	GET    health
//	GET    calls                      requests received; ?operation= &vector_store= &batch=
//	DELETE calls                      forget them
//	GET    call_counts                how many there were ever, by operation and HTTP status
//	GET    batches                    every batch, with its files and how often it was asked for
//	GET    batches/{id}
//	PUT    batches/{id}               {"status": "failed"}: see Server.SetBatchStatus
//	GET    file_sets                  which batches were made of the same files
//	GET    vector_stores
//	POST   vector_stores              {"id": "vs_demo"}
//	DELETE vector_stores/{id}
//	POST   vector_stores/{id}/expire
//	GET    vector_stores/{id}/files   what is attached, and how often it was
//	POST   files                      {"id": "file-1", "outcome": {"code": "invalid_file"}}; see Outcome
//	GET    settings
//	PATCH  settings                   {"pace": "2s", "cancel_delay": "500ms"}: see Settings
//	POST   clock                      {"advance": "1h"}
//	GET    faults                     with how many calls each met
//	POST   faults                     {"operation": "create", "times": 1, "status": 500}: see Fault
//	DELETE faults
//	DELETE faults/{id}
package emulator
