// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Runs the official Node client against the emulator, whose URL and key it takes from the
// environment as every program that uses the client does. It prints what it saw as one JSON
// object; sdk_test.go knows what that has to be.
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ maxRetries: 0 });
const { fileBatches, files } = client.vectorStores;
const numbered = (n) => Array.from({ length: n }, (_, i) => `file-${String(i).padStart(3, "0")}`);

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return { class: error.constructor.name, status: error.status, code: error.code, message: error.message };
  }
  return null;
}

const store = await client.vectorStores.create({ name: "SDK check" });
const at = { vector_store_id: store.id };
const seen = { store: store.id };

const created = await fileBatches.create(store.id, { file_ids: numbered(3) });
seen.created = [created.status, created.file_counts.total];
const polled = await fileBatches.createAndPoll(
  store.id,
  { file_ids: ["file-a", "file-fail-unsupported-b"], attributes: { lang: "en" } },
  { pollIntervalMs: 20 },
);
seen.polled = [polled.status, polled.file_counts.completed, polled.file_counts.failed];
seen.retrieved = (await fileBatches.retrieve(polled.id, at)).id === polled.id;

const stuck = await fileBatches.create(store.id, { file_ids: ["file-stuck-c"] });
seen.cancelling = (await fileBatches.cancel(stuck.id, at)).status;
seen.cancelled = (await fileBatches.poll(store.id, stuck.id, { pollIntervalMs: 20 })).status;
seen.cancelledTooLate = (await fileBatches.cancel(polled.id, at)).status;

const many = await fileBatches.createAndPoll(store.id, { file_ids: numbered(120) }, { pollIntervalMs: 20 });
const listed = [];
for await (const file of fileBatches.listFiles(many.id, { ...at, limit: 50 })) {
  listed.push(file.id);
}
seen.listed = [listed.length, new Set(listed).size];
const failed = [];
for await (const file of fileBatches.listFiles(polled.id, { ...at, filter: "failed" })) {
  failed.push([file.id, file.last_error.code]);
}
seen.failed = failed;

const uploaded = await client.files.create({ file: await toFile(Buffer.from("text"), "a.txt"), purpose: "assistants" });
const attached = await files.createAndPoll(store.id, { file_id: uploaded.id }, { pollIntervalMs: 20 });
seen.attached = [attached.status, attached.usage_bytes];
seen.detached = (await files.delete(uploaded.id, at)).deleted;

seen.notFound = await refusal(() => fileBatches.retrieve("vsfb_none", at));
seen.rejected = await refusal(() => fileBatches.create(store.id, { file_ids: [] }));
seen.unauthorized = await refusal(() => new OpenAI({ apiKey: "sk-wrong", maxRetries: 0 }).vectorStores.list());

console.log(JSON.stringify(seen));
