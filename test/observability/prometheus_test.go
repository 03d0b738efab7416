// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observability_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// endpoint is an endpoint of the ServiceMonitor.
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
	framework.ReadYAML(t, &monitor, "config", "prometheus", "monitor.yaml")
	if len(monitor.Spec.Endpoints) != 1 {
		t.Fatalf("the ServiceMonitor has %d endpoints, want 1", len(monitor.Spec.Endpoints))
	}
	return monitor.Spec.Endpoints[0]
}

// certificate creates the content of the Secret of config/metrics-tls in a folder.
func certificate(t *testing.T, serverName string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	chain, key, err := cert.GenerateSelfSignedCertKey(serverName, nil, []string{serverName})
	if err != nil {
		t.Fatal(err)
	}
	_, authority := pem.Decode(chain) // the certificate of the authority follows the one of the server
	framework.WriteFile(t, folder, "ca.crt", string(authority))
	framework.WriteFile(t, folder, "tls.crt", string(chain))
	framework.WriteFile(t, folder, "tls.key", string(key))
	return folder
}

// scraper is a running Prometheus.
type scraper struct {
	url     string
	started time.Time
}

// job is a scrape job of Prometheus, with the file of its token.
type job struct{ name, tokenFile string }

// startPrometheus starts a Prometheus with the rules of config/prometheus, which scrapes the manager as
// the ServiceMonitor defines, once for each job.
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
			"static_configs": []map[string]any{{"targets": []string{target}, "labels": map[string]string{"namespace": framework.SystemNamespace}}},
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
	process, err := framework.Run(framework.Command{
		Path: framework.Tool(t, "prometheus"), Log: filepath.Join(folder, "log"),
		Args: []string{
			"--config.file=" + framework.WriteFile(t, folder, "prometheus.yaml", string(config)),
			"--web.listen-address=" + address, "--storage.tsdb.path=" + filepath.Join(folder, "data"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	process.KillAfter(t)
	p := scraper{url: "http://" + address, started: time.Now()}
	framework.Eventually(t, "Prometheus to be ready", func() bool {
		code, _, err := framework.Fetch(t.Context(), http.DefaultClient, p.url+"/-/ready", "")
		return err == nil && code == http.StatusOK
	})
	return p
}

// ask decodes a response of Prometheus's API.
func (p scraper) ask(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	code, body, err := framework.Fetch(t.Context(), http.DefaultClient, p.url+"/api/v1/"+path+"?"+query.Encode(), "")
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s of %v: HTTP %d, %v: %s", path, query, code, err, body)
	}
	if err := json.Unmarshal([]byte(body), &struct {
		Data any `json:"data"`
	}{into}); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// value returns the current result of a query, which must be one number.
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

// points returns the number of values of a query since Prometheus was started.
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

// panel is a panel of the dashboard.
type panel struct {
	Title   string `json:"title"`
	Type    string `json:"type"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct {
		Panels []panel `json:"panels"`
	}
	framework.ReadYAML(t, &dashboard, "config", "prometheus", "dashboard.json")
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

// asGrafana substitutes the variables in a query.
func asGrafana(expr string) string {
	return strings.NewReplacer("$__rate_interval", "20s", "$namespace", ".*").Replace(expr)
}
