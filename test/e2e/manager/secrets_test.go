// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestSecret_CreatedLater(t *testing.T) {
	t.Parallel()
	f := newFixtureWithoutSecret(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-1], credentialsRef: {name: later}`))
	b := f.wantState(t, "handbook", v1alpha1.ReasonCredentialsNotFound)
	wantMessage(t, b, "Secret "+f.Namespace+"/later not found")
	f.putSecret(t, "later", map[string]string{v1alpha1.SecretKeyBaseURL: openAI.BaseURL()})
	f.WaitFor(t, "handbook", `jsonpath={.status.conditions[?(@.type=="Ready")].message}=Secret `+f.Namespace+`/later has no key OPENAI_API_KEY. Add it`)
	f.putSecret(t, "later", credentials(openAI.Key))
	f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	onlyBatch(t, f.store)
}

func TestSecret_ReferenceFixed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-1], credentialsRef: {name: opnai}`))
	f.wantState(t, "handbook", v1alpha1.ReasonCredentialsNotFound)
	f.patchSpec(t, "handbook", `{"credentialsRef":{"name":"openai"}}`)
	f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	onlyBatch(t, f.store)
}

// TestSecret_KeyRotation replaces the key of a batch in progress. Then the API rejects the old key.
func TestSecret_KeyRotation(t *testing.T) {
	t.Parallel()
	f := newFixtureWithoutSecret(t)
	f.putSecret(t, "openai", credentials(oldKey))
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-stuck-r]`))
	f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
	f.putSecret(t, "openai", credentials(newestKey))
	addFault(t, map[string]any{"vector_store_id": f.store, "key": fingerprint(oldKey), "status": 401,
		"body": emulator.OpenAIError("invalid_request_error", "invalid_api_key", "Incorrect API key provided.")})
	f.WaitFor(t, "handbook", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=InProgress`)
	finish(t, onlyBatch(t, f.store).ID, "completed")
	f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	onlyBatch(t, f.store)
	var calls []emulator.Call
	admin(t, http.MethodGet, "calls?vector_store="+f.store, nil, &calls)
	if first, last := calls[0].Key, calls[len(calls)-1].Key; first != fingerprint(oldKey) || last != fingerprint(newestKey) {
		t.Errorf("the calls were made with the keys %s, …, %s, want %s, …, %s", first, last, fingerprint(oldKey), fingerprint(newestKey))
	}
}

// fingerprint returns the name of a key in the emulator.
func fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// TestSecret_KeyQuotedInErrors makes the API quote the key in each error that reaches an object. TestMain
// searches for the keys as well.
func TestSecret_KeyQuotedInErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		operation string
		status    int
		reason    string
		key       string
	}{
		"rejected key":       {"create", 401, v1alpha1.ReasonCredentialsRejected, revokedKey},
		"rejected request":   {"create", 400, v1alpha1.ReasonRejected, echoedKey},
		"rate limit":         {"create", 429, v1alpha1.ReasonRateLimited, echoedKey},
		"unavailable server": {"retrieve", 500, v1alpha1.ReasonUpstreamUnavailable, echoedKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixtureWithoutSecret(t)
			f.putSecret(t, "openai", credentials(test.key))
			addFault(t, map[string]any{"vector_store_id": f.store, "operation": test.operation, "status": test.status,
				"body": emulator.OpenAIError("error", "some_code", "Incorrect API key provided: "+test.key+". Authorization: Bearer "+test.key)})
			f.Apply(t, f.manifest("handbook", `fileIDs: [file-stuck-k]`))
			b := f.wantState(t, "handbook", test.reason)
			wantMessage(t, b, "Incorrect API key provided: ")
			for _, kind := range []string{"vsfb", "events"} {
				if keys := keysIn(f.Must(t, "get", kind, "--output=yaml")); len(keys) > 0 {
					t.Errorf("kubectl get %s contains %v", kind, keys)
				}
			}
			if keys := keysIn(manager.Output()); len(keys) > 0 {
				t.Errorf("the manager's log contains %v", keys)
			}
		})
	}
}

// wantMessage requires a text in the message of Ready.
func wantMessage(t *testing.T, b *v1alpha1.VectorStoreFileBatch, text string) {
	t.Helper()
	for _, c := range b.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady && !strings.Contains(c.Message, text) {
			t.Errorf("the message of Ready is %q, want %q in it", c.Message, text)
		}
	}
}

// TestSecret_OfAnotherNamespace refers to a Secret of another namespace in each way that a reference
// could be written.
func TestSecret_OfAnotherNamespace(t *testing.T) {
	t.Parallel()
	owner, f := newFixture(t), newFixtureWithoutSecret(t)
	for _, reference := range []string{
		"{name: openai, namespace: " + owner.Namespace + "}",
		"{name: " + owner.Namespace + "/openai}",
		"{name: ../" + owner.Namespace + "/openai}",
	} {
		manifest := f.manifest("rejected", `fileIDs: [file-1], credentialsRef: `+reference)
		if _, stderr, err := f.Try(t.Context(), manifest, "apply", "--validate=strict", "-f", "-"); err == nil || !strings.Contains(stderr, "credentialsRef") {
			t.Errorf("the reference %s is answered with %q (%v), want an error that names it", reference, stderr, err)
		}
	}
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-1]`))
	b := f.wantState(t, "handbook", v1alpha1.ReasonCredentialsNotFound)
	wantMessage(t, b, "Secret "+f.Namespace+"/openai not found")
	if batches := batchesOf(t, f.store); len(batches) != 0 {
		t.Errorf("%d batches were created with the key of another namespace", len(batches))
	}
}
