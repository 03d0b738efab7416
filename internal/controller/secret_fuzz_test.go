// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// FuzzSecret checks that no content of a Secret causes a panic while it is parsed or dialed, and that no
// error contains the key.
func FuzzSecret(f *testing.F) {
	f.Add([]byte("sk-proj-0123456789abcdef"), []byte("https://api.openai.com/v1"), []byte(""), []byte(""), []byte(""))
	f.Add([]byte(" sk-with-a-line-break\n"), []byte("http://user:pass@host/v1?x#y"), []byte("org\r\nX: y"), []byte("proj"), []byte("no certificate"))
	f.Add([]byte("\x00\xff\xfe-key-key-key"), []byte("::::"), []byte("\xff"), []byte("é"), []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Add([]byte(""), []byte("https://[::1]:99999/"), []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, baseURL, organization, project, ca []byte) {
		secret := corev1.Secret{Data: map[string][]byte{
			v1alpha1.SecretKeyAPIKey: key, v1alpha1.SecretKeyBaseURL: baseURL, v1alpha1.SecretKeyOrganization: organization,
			v1alpha1.SecretKeyProject: project, v1alpha1.SecretKeyCABundle: ca,
		}}
		connection, err := connectionFrom(types.NamespacedName{Namespace: "n", Name: "openai"}, secret, nil)
		if err == nil {
			var client *openai.Client
			if client, err = openai.Dial(*connection, openai.Options{}); err == nil {
				client.Close()
				return
			}
		}
		apiErr := upstream.AsError(err)
		if apiErr.Kind != upstream.NoCredentials && apiErr.Kind != upstream.Unauthorized {
			t.Errorf("the error is %s: %v", apiErr.Kind, err)
		}
		// The message can contain a shorter text by chance.
		if text := strings.TrimSpace(string(key)); len(text) >= 12 && strings.Contains(err.Error(), text) && !strings.Contains(string(baseURL), text) {
			t.Errorf("the error contains the key: %q", err)
		}
	})
}
