# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs the official Python client against the emulator.

It takes the URL and the key from the environment as every program that uses the client does,
and prints what it saw as one JSON object; sdk_test.go knows what that has to be.
"""

import json

import openai

client = openai.OpenAI(max_retries=0)
batches = client.vector_stores.file_batches
files = client.vector_stores.files


def numbered(n):
    return [f"file-{i:03d}" for i in range(n)]


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "message": f"{error.status_code} {error.body['message']}",
        }
    return None


store = client.vector_stores.create(name="SDK check")
at = {"vector_store_id": store.id}
seen = {"store": store.id}

created = batches.create(store.id, file_ids=numbered(3))
seen["created"] = [created.status, created.file_counts.total]
polled = batches.create_and_poll(
    store.id,
    file_ids=["file-a", "file-fail-unsupported-b"],
    attributes={"lang": "en"},
    poll_interval_ms=20,
)
seen["polled"] = [polled.status, polled.file_counts.completed, polled.file_counts.failed]
seen["retrieved"] = batches.retrieve(polled.id, **at).id == polled.id

stuck = batches.create(store.id, file_ids=["file-stuck-c"])
seen["cancelling"] = batches.cancel(stuck.id, **at).status
seen["cancelled"] = batches.poll(stuck.id, **at, poll_interval_ms=20).status
seen["cancelledTooLate"] = batches.cancel(polled.id, **at).status

many = batches.create_and_poll(store.id, file_ids=numbered(120), poll_interval_ms=20)
listed = [file.id for file in batches.list_files(many.id, **at, limit=50)]
seen["listed"] = [len(listed), len(set(listed))]
seen["failed"] = [
    [file.id, file.last_error.code] for file in batches.list_files(polled.id, **at, filter="failed")
]

uploaded = client.files.create(file=("a.txt", b"text"), purpose="assistants")
attached = files.create_and_poll(uploaded.id, **at, poll_interval_ms=20)
seen["attached"] = [attached.status, attached.usage_bytes]
seen["detached"] = files.delete(uploaded.id, **at).deleted

seen["notFound"] = refusal(lambda: batches.retrieve("vsfb_none", **at))
seen["rejected"] = refusal(lambda: batches.create(store.id, file_ids=[]))
seen["unauthorized"] = refusal(
    lambda: openai.OpenAI(api_key="sk-wrong", max_retries=0).vector_stores.list()
)

print(json.dumps(seen))
