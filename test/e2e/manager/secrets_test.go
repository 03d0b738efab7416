// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestASecretThatArrivesLate(t *testing.T) {
	t.Parallel()
	n := newTenant(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-1], credentialsRef: {name: later}`))
	b := n.wantState(t, "handbook", v1alpha1.ReasonCredentialsNotFound)
	wantMessage(t, b, "Secret later is not in namespace "+n.namespace)
	// One without a key is not enough, and said to be so.
	n.putSecret(t, "later", map[string]string{v1alpha1.SecretKeyBaseURL: shared.upstream + "/v1"})
	n.wait(t, "handbook", `jsonpath={.status.conditions[?(@.type=="Ready")].message}=Secret later has no OPENAI_API_KEY: add it`)
	n.putSecret(t, "later", credentials(mainKey))
	n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	onlyBatch(t, n.store)
}

func TestAReferenceThatIsMended(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-1], credentialsRef: {name: opnai}`))
	n.wantState(t, "handbook", v1alpha1.ReasonCredentialsNotFound)
	n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", `--patch={"spec":{"credentialsRef":{"name":"openai"}}}`)
	n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	onlyBatch(t, n.store)
}

// TestKeyRotation replaces the key of a batch in progress, and then lets the upstream refuse
// the old one.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	n := newTenant(t)
	n.putSecret(t, "openai", credentials(oldKey))
	n.apply(t, n.manifest("handbook", `fileIDs: [file-stuck-r]`))
	n.wantState(t, "handbook", v1alpha1.ReasonInProgress)
	n.putSecret(t, "openai", credentials(newestKey))
	addFault(t, map[string]any{"vector_store_id": n.store, "key": fingerprint(oldKey), "status": 401,
		"body": emulator.OpenAIError("invalid_request_error", "invalid_api_key", "Incorrect API key provided.")})
	n.wait(t, "handbook", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=InProgress`)
	end(t, onlyBatch(t, n.store).ID, "completed")
	n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	onlyBatch(t, n.store)
	var calls []emulator.Call
	admin(t, http.MethodGet, "calls?vector_store="+n.store, "", &calls)
	if first, last := calls[0].Key, calls[len(calls)-1].Key; first != fingerprint(oldKey) || last != fingerprint(newestKey) {
		t.Errorf("the calls were made with the keys %s, …, %s, want %s, …, %s", first, last, fingerprint(oldKey), fingerprint(newestKey))
	}
}

// fingerprint is what the emulator calls a key.
func fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// TestAKeyThatTheUpstreamRepeats lets the upstream quote the key in an error, as some do, in
// every way that reaches an object. That nothing shows it, TestMain looks for as well.
func TestAKeyThatTheUpstreamRepeats(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		operation string
		status    int
		reason    string
		key       string
	}{
		"refusing it":          {"create", 401, v1alpha1.ReasonCredentialsRejected, revokedKey},
		"refusing the request": {"create", 400, v1alpha1.ReasonRejected, echoedKey},
		"asking for patience":  {"create", 429, v1alpha1.ReasonRateLimited, echoedKey},
		"out of order":         {"retrieve", 500, v1alpha1.ReasonUpstreamUnavailable, echoedKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t)
			n.putSecret(t, "openai", credentials(test.key))
			addFault(t, map[string]any{"vector_store_id": n.store, "operation": test.operation, "status": test.status,
				"body": emulator.OpenAIError("error", "some_code", "Incorrect API key provided: "+test.key+". Authorization: Bearer "+test.key)})
			n.apply(t, n.manifest("handbook", `fileIDs: [file-stuck-k]`))
			b := n.wantState(t, "handbook", test.reason)
			wantMessage(t, b, "Incorrect API key provided: ")
			for _, kind := range []string{"vsfb", "events"} {
				if keys := keysIn(n.kubectl(t, "get", kind, "--output=yaml")); len(keys) > 0 {
					t.Errorf("kubectl get %s shows %v", kind, keys)
				}
			}
			if keys := keysIn(shared.manager.output()); len(keys) > 0 {
				t.Errorf("the manager's log shows %v", keys)
			}
		})
	}
}

// wantMessage demands that the message of Ready says something.
func wantMessage(t *testing.T, b *v1alpha1.VectorStoreFileBatch, text string) {
	t.Helper()
	for _, c := range b.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady && !strings.Contains(c.Message, text) {
			t.Errorf("the message of Ready is %q, want %q in it", c.Message, text)
		}
	}
}

// TestAKeyOfAnotherNamespaceCannotBeBorrowed lets a tenant without a key try for that of
// another, in every way that a reference could be written.
func TestAKeyOfAnotherNamespaceCannotBeBorrowed(t *testing.T) {
	t.Parallel()
	owner, borrower := newUser(t), newTenant(t)
	for _, reference := range []string{
		"{name: openai, namespace: " + owner.namespace + "}",
		"{name: " + owner.namespace + "/openai}",
		"{name: ../" + owner.namespace + "/openai}",
	} {
		manifest := borrower.manifest("refused", `fileIDs: [file-1], credentialsRef: `+reference)
		command := shared.plane.Kubectl(t.Context(), "apply", "-n", borrower.namespace, "--validate=strict", "-f", "-")
		command.Stdin = strings.NewReader(manifest)
		if output, err := command.CombinedOutput(); err == nil || !strings.Contains(string(output), "credentialsRef") {
			t.Errorf("the reference %s is answered with %q (%v), want a refusal that names it", reference, output, err)
		}
	}
	borrower.apply(t, borrower.manifest("handbook", `fileIDs: [file-1]`))
	b := borrower.wantState(t, "handbook", v1alpha1.ReasonCredentialsNotFound)
	wantMessage(t, b, "Secret openai is not in namespace "+borrower.namespace)
	if batches := batchesOf(t, borrower.store); len(batches) != 0 {
		t.Errorf("%d batches were made with a key that is not the tenant's", len(batches))
	}
}
