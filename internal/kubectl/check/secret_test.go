// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// managerWith returns the flags of a manager.
func managerWith(args ...string) *ManagerFlags {
	flags := flagsOf(corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Args: args}}}})
	return &flags
}

// values are the values of a Secret.
type values map[string]string

// checked returns the result of one check of a Secret.
func (v values) checked(t *testing.T, flags *ManagerFlags, check string) Row {
	t.Helper()
	found := Credentials{
		Source: "Secret demo/openai", Flags: flags, Now: time.Now,
		Value: func(name string) (string, bool) { text, found := v[name]; return text, found },
	}.Check()
	for _, row := range found {
		if row.Message == "" || !strings.HasSuffix(row.Message, ".") {
			t.Errorf("%s: the message is no sentence: %q", row.Check, row.Message)
		}
		if key := strings.TrimSpace(v["OPENAI_API_KEY"]); len(key) > 4 && strings.Contains(row.Message, key) {
			t.Errorf("%s shows the key: %s", row.Check, row.Message)
		}
	}
	for _, row := range found {
		if row.Check == check {
			return row
		}
	}
	t.Fatalf("there is no check %s in %v", check, found)
	return Row{}
}

func TestCredentials_Values(t *testing.T) {
	t.Parallel()
	valid, expired := certificate(t, time.Hour), certificate(t, -time.Hour)
	for _, test := range []struct {
		check  string
		values values
		status Status
		want   string
	}{
		{"api_key", values{"OPENAI_API_KEY": "sk-abc"}, OK, ""},
		{"api_key", values{}, Failed, "OPENAI_API_KEY is missing in Secret demo/openai"},
		{"api_key", values{"api-key": "sk-abc"}, Failed, "rename that to OPENAI_API_KEY"},
		{"api_key", values{"OPENAI_API_KEY": " \n"}, Failed, "is empty"},
		{"api_key", values{"OPENAI_API_KEY": `"sk-abc"`}, Failed, "quotation marks"},
		{"api_key", values{"OPENAI_API_KEY": "'sk-abc'\n"}, Failed, "quotation marks"},
		{"api_key", values{"OPENAI_API_KEY": "“sk-abc”"}, Failed, "quotation marks"},
		{"api_key", values{"OPENAI_API_KEY": `sk-abc"`}, Failed, "quotation marks"},
		{"api_key", values{"OPENAI_API_KEY": "sk-abc\n"}, Warning, "line break"},
		{"api_key", values{"OPENAI_API_KEY": "sk-abc def"}, Failed, "contains a space"},
		{"api_key", values{"OPENAI_API_KEY": "sk-abc\nsk-def"}, Failed, "line break"},
		{"api_key", values{"OPENAI_API_KEY": "sk-äbc"}, Failed, "another character"},
		{"api_key", values{"OPENAI_API_KEY": "OPENAI_API_KEY=sk-abc"}, Failed, "the key alone"},
		{"api_key", values{"OPENAI_API_KEY": "Bearer sk-abc"}, Failed, "the key alone"},
		{"api_key", values{"OPENAI_API_KEY": strings.Repeat("k", 4097)}, Failed, "longer than 4096"},

		{"base_url", values{}, OK, "https://api.openai.com/v1"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example/v1/\n"}, OK, "host.example/v1"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example"}, Warning, "use https://host.example/v1"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example/"}, Warning, "has no path"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example/v1/vector_stores"}, Failed, "ends with /vector_stores"},
		{"base_url", values{"OPENAI_BASE_URL": "https://r.openai.azure.com/openai/deployments/gpt"}, Failed, "https://r.openai.azure.com/openai/v1"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example//v1"}, Warning, "empty segment"},
		{"base_url", values{"OPENAI_BASE_URL": "http://host.example/v1"}, Warning, "--allow-insecure-endpoints"},
		{"base_url", values{"OPENAI_BASE_URL": "host.example/v1"}, Failed, "must begin with https://"},
		{"base_url", values{"OPENAI_BASE_URL": "https://"}, Failed, "has no host"},
		{"base_url", values{"OPENAI_BASE_URL": "https://user:secret@host.example/v1"}, Failed, "must not contain a user"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example/v1?api-version=1"}, Failed, "query"},
		{"base_url", values{"OPENAI_BASE_URL": `"https://host.example/v1"`}, Failed, "quotation marks"},
		{"base_url", values{"OPENAI_BASE_URL": "https://host.example:0x/v1"}, Failed, "valid URL"},

		{"organization", values{}, OK, "is not set"},
		{"organization", values{"OPENAI_ORG_ID": "org-abc"}, OK, "well-formed"},
		{"organization", values{"OPENAI_ORG_ID": "My Company"}, Failed, "not allowed in a header"},
		{"organization", values{"OPENAI_ORG_ID": "company"}, Warning, "does not begin with org-"},
		{"organization", values{"OPENAI_ORG_ID": "company", "OPENAI_BASE_URL": "https://host.example/v1"}, OK, "well-formed"},
		{"organization", values{"OPENAI_ORG_ID": ""}, Warning, "is empty"},
		{"project", values{"OPENAI_PROJECT_ID": "proj_abc"}, OK, "well-formed"},
		{"project", values{"OPENAI_PROJECT_ID": `"proj_abc"`}, Failed, "quotation marks"},

		{"ca_crt", values{}, OK, "is not set"},
		{"ca_crt", values{"ca.crt": valid + valid}, OK, "2 certificates"},
		{"ca_crt", values{"ca.crt": "no certificate"}, Failed, "no PEM-encoded certificate"},
		{"ca_crt", values{"ca.crt": ""}, Failed, "no PEM-encoded certificate"},
		{"ca_crt", values{"ca.crt": expired}, Failed, "expired"},
		{"ca_crt", values{"ca.crt": valid + expired}, Warning, "1 valid certificates, 1 that are expired"},
		{"ca_crt", values{"ca.crt": valid + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, Warning, "1 blocks that are no certificate"},
	} {
		row := test.values.checked(t, nil, test.check)
		if row.Status != test.status || !strings.Contains(row.Message, test.want) {
			t.Errorf("%s of %.80q is %s: %s; want %s with %q", test.check, test.values, row.Status, row.Message, test.status, test.want)
		}
	}
}

func TestCredentials_FlagsOfTheOperator(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		url    string
		flags  *ManagerFlags
		check  string
		status Status
		want   string
	}{
		{"", nil, "allowed_endpoint", Skipped, "not known"},
		{"", managerWith(), "allowed_endpoint", OK, ""},
		{"", managerWith("--allowed-endpoints=host.example"), "allowed_endpoint", Failed, "--allowed-endpoints"},
		{"https://host.example/v1", managerWith("--allowed-endpoints=host.example,api.openai.com"), "allowed_endpoint", OK, ""},
		{"https://a.host.example/v1", managerWith("-allowed-endpoints", "*.host.example"), "allowed_endpoint", OK, ""},
		{"https://host.example:8443/v1", managerWith("--allowed-endpoints=host.example"), "allowed_endpoint", Failed, "--allowed-endpoints"},
		{"https://localhost/v1", managerWith(), "allowed_endpoint", Failed, "--allowed-addresses"},
		{"https://169.254.169.254/v1", managerWith(), "allowed_endpoint", Failed, "--allowed-addresses"},
		{"https://127.0.0.1/v1", managerWith("--allowed-addresses=127.0.0.0/8"), "allowed_endpoint", OK, ""},
		{"https://10.0.0.1/v1", managerWith("--unknown=1", "--leader-elect"), "allowed_endpoint", OK, ""},
		{"http://host.example/v1", managerWith(), "base_url", Failed, "--allow-insecure-endpoints"},
		{"http://host.example/v1", managerWith("--allow-insecure-endpoints"), "base_url", OK, ""},
		{"http://host.example/v1", managerWith("--allow-insecure-endpoints=false"), "base_url", Failed, ""},
	} {
		v := values{"OPENAI_API_KEY": "sk-abc"}
		if test.url != "" {
			v["OPENAI_BASE_URL"] = test.url
		}
		row := v.checked(t, test.flags, test.check)
		if row.Status != test.status || !strings.Contains(row.Message, test.want) {
			t.Errorf("%s of %q is %s: %s; want %s with %q", test.check, test.url, row.Status, row.Message, test.status, test.want)
		}
	}
}

// certificate returns a self-signed certificate that expires after a duration.
func certificate(t *testing.T, validity time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(validity)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestKeyAccepted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fault  *emulator.Fault
		path   string
		key    string
		status Status
		want   string
	}{
		{name: "good", status: OK, want: "accepts the key"},
		{name: "wrong key", key: "sk-test-another-key", status: Failed, want: "Replace OPENAI_API_KEY"},
		{name: "wrong path", path: "/v2", status: Failed, want: "the path of OPENAI_BASE_URL"},
		{name: "forbidden", fault: &emulator.Fault{Status: 403, Body: emulator.OpenAIError("", "", "no {{key}}")}, status: Failed, want: "permissions"},
		{name: "limited", fault: &emulator.Fault{Status: 429}, status: Warning, want: "limits the rate"},
		{name: "away", fault: &emulator.Fault{Status: 503}, status: Warning, want: "Try again later"},
		{name: "page", fault: &emulator.Fault{Status: 200, Body: "<html>"}, status: Failed, want: "HTML page"},
		{name: "text", fault: &emulator.Fault{Status: 200, Body: "ok"}, status: Failed, want: "not JSON"},
		{name: "refused", fault: &emulator.Fault{Status: 400, Body: emulator.OpenAIError("", "", "no such organization")}, status: Failed, want: "no such organization"},
		{name: "dropped", fault: &emulator.Fault{Action: emulator.Drop}, status: Failed, want: "run the check there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := emulator.New(emulator.Options{APIKeys: []string{testKey}})
			if test.fault != nil {
				e.AddFault(*test.fault)
			}
			listener := httptest.NewServer(e)
			defer listener.Close()
			key, path := testKey, "/v1"
			if test.key != "" {
				key = test.key
			}
			if test.path != "" {
				path = test.path
			}
			client, err := openai.Dial(upstream.Connection{BaseURL: listener.URL + path, APIKey: key}, openai.Options{
				Endpoints: upstream.EndpointPolicy{AllowInsecure: true}, Addresses: upstream.AnyAddress(),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			row := KeyAccepted(t.Context(), client)
			if row.Status != test.status || !strings.Contains(row.Message, test.want) || strings.Contains(row.Message, key) {
				t.Errorf("it is %s: %s; want %s with %q", row.Status, row.Message, test.status, test.want)
			}
		})
	}
}
