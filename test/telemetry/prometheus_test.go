// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// endpoint is what the ServiceMonitor says of the scrape.
type endpoint struct {
	Path            string `json:"path"`
	Scheme          string `json:"scheme"`
	BearerTokenFile string `json:"bearerTokenFile"`
	TLSConfig       struct {
		ServerName         string `json:"serverName"`
		InsecureSkipVerify bool   `json:"insecureSkipVerify"`
		CA                 struct {
			Secret struct {
				Key string `json:"key"`
			} `json:"secret"`
		} `json:"ca"`
	} `json:"tlsConfig"`
}

func monitored(t *testing.T) endpoint {
	t.Helper()
	var monitor struct {
		Spec struct {
			Endpoints []endpoint `json:"endpoints"`
		} `json:"spec"`
	}
	decode(t, &monitor, "config", "prometheus", "monitor.yaml")
	if len(monitor.Spec.Endpoints) != 1 {
		t.Fatalf("the ServiceMonitor has %d endpoints, want 1", len(monitor.Spec.Endpoints))
	}
	return monitor.Spec.Endpoints[0]
}

// certificate makes what the Secret of config/metrics-tls holds, in a folder.
func certificate(t *testing.T, serverName string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the test"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, leafKey := newKey(t), newKey(t)
	write(t, folder, "ca.crt", pemOf("CERTIFICATE", sign(t, authority, authority, authorityKey, authorityKey)))
	write(t, folder, "tls.crt", pemOf("CERTIFICATE", sign(t, leaf, authority, leafKey, authorityKey)))
	der, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, "tls.key", pemOf("EC PRIVATE KEY", der))
	return folder
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, certificate, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// scraper is a Prometheus that runs.
type scraper struct {
	url     string
	started time.Time
}

// job is what one job of Prometheus's shows as its token.
type job struct{ name, tokenFile string }

// startPrometheus starts a Prometheus that scrapes the manager as the ServiceMonitor says, with
// the rules of config/prometheus, once for each job.
func startPrometheus(t *testing.T, target, certificates string, jobs ...job) scraper {
	t.Helper()
	monitor, folder := monitored(t), t.TempDir()
	_, ruleFile := rules(t, folder)
	scrapes := []map[string]any{}
	for _, job := range jobs {
		scrape := map[string]any{
			"job_name": job.name, "scheme": monitor.Scheme, "metrics_path": monitor.Path,
			"tls_config": map[string]any{
				"ca_file": filepath.Join(certificates, monitor.TLSConfig.CA.Secret.Key), "server_name": monitor.TLSConfig.ServerName,
				"insecure_skip_verify": monitor.TLSConfig.InsecureSkipVerify,
			},
			"static_configs": []map[string]any{{"targets": []string{target}, "labels": map[string]string{"namespace": systemNamespace}}},
		}
		if job.tokenFile != "" {
			scrape["authorization"] = map[string]string{"type": "Bearer", "credentials_file": job.tokenFile}
		}
		scrapes = append(scrapes, scrape)
	}
	config, err := yaml.Marshal(map[string]any{
		"global":     map[string]string{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{ruleFile}, "scrape_configs": scrapes,
	})
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	stage.Launch(t, "prometheus", filepath.Join(folder, "log"), program(t, "prometheus"), nil,
		"--config.file="+write(t, folder, "prometheus.yaml", config), "--web.listen-address="+address, "--storage.tsdb.path="+filepath.Join(folder, "data"))
	p := scraper{url: "http://" + address, started: time.Now()}
	stage.Eventually(t, "Prometheus to be ready", func() bool {
		code, _, err := fetch(t.Context(), http.DefaultClient, p.url+"/-/ready", "")
		return err == nil && code == http.StatusOK
	})
	return p
}

// fetch makes a GET request, with a bearer token where there is one.
func fetch(ctx context.Context, client *http.Client, url, token string) (code int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// ask decodes an answer of Prometheus's API.
func (p scraper) ask(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	code, body, err := fetch(t.Context(), http.DefaultClient, p.url+"/api/v1/"+path+"?"+query.Encode(), "")
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s of %v: HTTP %d, %v: %s", path, query, code, err, body)
	}
	if err := json.Unmarshal([]byte(body), &struct {
		Data any `json:"data"`
	}{into}); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// value is what a query that gives one number gives now; NaN where it gives none.
func (p scraper) value(t *testing.T, query string) string {
	t.Helper()
	var answer struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	p.ask(t, "query", url.Values{"query": {query}}, &answer)
	if len(answer.Result) != 1 {
		return fmt.Sprintf("%d results", len(answer.Result))
	}
	return fmt.Sprint(answer.Result[0].Value[1])
}

// points is how many numbers a query gives over the time since Prometheus was started.
func (p scraper) points(t *testing.T, query string) (points int) {
	t.Helper()
	var answer struct {
		Result []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	}
	at := func(when time.Time) string { return strconv.FormatInt(when.Unix(), 10) }
	p.ask(t, "query_range", url.Values{"query": {query}, "start": {at(p.started)}, "end": {at(time.Now())}, "step": {"1"}}, &answer)
	for _, series := range answer.Result {
		for _, value := range series.Values {
			if value[1] != "NaN" {
				points++
			}
		}
	}
	return points
}

// panel is what the dashboard shows in one place.
type panel struct {
	Title   string `json:"title"`
	Type    string `json:"type"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(controlplane.Root(), "config", "prometheus", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var shown []panel
	for _, p := range dashboard.Panels {
		if p.Type != "row" {
			shown = append(shown, p)
		}
	}
	if len(shown) == 0 {
		t.Fatal("the dashboard is empty")
	}
	return shown
}

// asGrafana fills the variables of a query in.
func asGrafana(expr string) string {
	return strings.NewReplacer("$__rate_interval", "20s", "$namespace", ".*").Replace(expr)
}
