// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observability_test

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// monitoredManager is a manager with the rights of its ServiceAccount and a TLS certificate, and a
// Prometheus that scrapes it.
type monitoredManager struct {
	*framework.Fixture
	prometheus   scraper
	metrics      string
	certificates string
}

func watch(t *testing.T) monitoredManager {
	t.Helper()
	framework.Tool(t, "prometheus")
	w := monitoredManager{Fixture: env.NewFixture(t, emulator.Options{Settings: emulator.Settings{Pace: 100 * time.Millisecond}})}
	w.certificates, w.metrics = certificate(t, monitored(t).TLSConfig.ServerName), freeAddress(t)
	kubeconfig, err := env.ServiceAccountKubeconfig(t.Context(), framework.SystemNamespace, framework.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	w.StartManager(t, "watched", framework.Setup{Kubeconfig: kubeconfig, Flags: []string{
		"--leader-elect", "--leader-election-namespace=" + framework.SystemNamespace, "--finalize-timeout=2s",
		"--metrics-bind-address=" + w.metrics, "--metrics-cert-dir=" + w.certificates, "--metrics-secure",
	}})
	for _, account := range []string{"prometheus", "stranger"} {
		w.Create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: account}})
	}
	w.Kubectl.Must(t, "create", "clusterrolebinding", w.Namespace, "--clusterrole=vector-store-operator-metrics-reader", "--serviceaccount="+w.Namespace+":prometheus")
	folder := t.TempDir()
	file := func(account string) string { return framework.WriteFile(t, folder, account, w.token(t, account)) }
	w.prometheus = startPrometheus(t, w.metrics, w.certificates,
		job{"vector-store-operator", file("prometheus")}, job{"stranger", file("stranger")}, job{"anonymous", ""})
	return w
}

func (w monitoredManager) token(t *testing.T, account string) string {
	t.Helper()
	return strings.TrimSpace(w.Kubectl.Must(t, "create", "token", account))
}

// wantValues waits until queries have the expected results, and reports those that do not.
func (w monitoredManager) wantValues(t *testing.T, wanted map[string]string) {
	t.Helper()
	got := map[string]string{}
	t.Cleanup(func() {
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("Prometheus (-want +got):\n%s", diff)
		}
	})
	framework.Eventually(t, "the expected results in Prometheus", func() bool {
		for query := range wanted {
			got[query] = w.prometheus.value(t, query)
		}
		return maps.Equal(wanted, got)
	})
}

// runJob creates batches that complete, fail, are cancelled, are adopted, or whose create has an unknown
// outcome; and causes rejected credentials and an abandoned finalizer.
func (w monitoredManager) runJob(t *testing.T) {
	t.Helper()
	create := func(name string, spec v1alpha1.VectorStoreFileBatchSpec) { w.Create(t, w.Batch(name, spec)) }
	spec := func(files ...string) v1alpha1.VectorStoreFileBatchSpec {
		return v1alpha1.VectorStoreFileBatchSpec{FileIDs: files}
	}
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Create, Times: 1, AfterEffect: true, Status: 500, Body: emulator.OpenAIError("server_error", "", "lost")})
	create("lost", spec("file-lost-1", "file-lost-2"))
	w.WaitForReason(t, "lost", v1alpha1.ReasonCompleted)

	create("handbook", spec("file-a-1", "file-a-2", "file-a-3"))
	create("scans", spec("file-b-1", "file-fail-invalid-b"))
	create("archive", spec("file-stuck-c"))
	create("abandoned", spec("file-stuck-d"))
	w.Create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "empty"},
		StringData: map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:1"},
	})
	refused := spec("file-e")
	refused.CredentialsRef = &v1alpha1.CredentialsReference{Name: "empty"}
	create("refused", refused)
	w.WaitForReason(t, "refused", v1alpha1.ReasonCredentialsNotFound)
	w.WaitForReason(t, "archive", v1alpha1.ReasonInProgress)
	w.WaitForReason(t, "abandoned", v1alpha1.ReasonInProgress)
	create("adopted", v1alpha1.VectorStoreFileBatchSpec{BatchID: w.WaitForReason(t, "handbook", v1alpha1.ReasonCompleted).Status.BatchID})
	w.WaitForReason(t, "adopted", v1alpha1.ReasonCompleted)
	w.WaitForReason(t, "scans", v1alpha1.ReasonFilesFailed)

	w.Kubectl.Must(t, "patch", "vsfb", "archive", "--type=merge", "--patch", `{"spec":{"cancel":true}}`)
	w.WaitForReason(t, "archive", v1alpha1.ReasonCancelled)
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Status: 503})
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Retrieve, Status: 503})
	w.Kubectl.Must(t, "delete", "vsfb", "abandoned")
}

func TestPrometheus_Scrape(t *testing.T) {
	t.Parallel()
	w := watch(t)
	// An increase is visible only from one scrape to the next.
	w.wantValues(t, map[string]string{`count_over_time(vector_store_operator_create_outcome_unknown_total{attached="true"}[1m]) > bool 1`: "1"})
	w.runJob(t)

	const name = "vector_store_operator_"
	w.wantValues(t, map[string]string{
		`up{job="vector-store-operator"}`:                                                                          "1",
		`sum(leader_election_master_status{name="vector-store-operator.dev"})`:                                     "1",
		`sum(` + name + `batches)`:                                                                                 "6",
		name + `batches{reason="Completed",status="completed"}`:                                                    "3",
		name + `batches{reason="FilesFailed",status="completed"}`:                                                  "1",
		name + `batches{reason="Cancelled",status="cancelled"}`:                                                    "1",
		name + `batches{reason="CredentialsNotFound",status="none"}`:                                               "1",
		`operator_status_condition_count{type="Finished",status="True",reason="Completed"}`:                        "3",
		`sum(operator_status_condition_transitions_total{type="Succeeded",status="True"})`:                         "3",
		name + `batches_started_total{origin="created"}`:                                                           "5",
		name + `batches_started_total{origin="adopted"}`:                                                           "1",
		name + `batch_duration_seconds_count{reason="Cancelled"}`:                                                  "1",
		name + `files_total{result="completed"}`:                                                                   "9",
		name + `files_total{result="failed"}`:                                                                      "1",
		name + `files_total{result="cancelled"}`:                                                                   "1",
		name + `create_outcome_unknown_total{attached="true"}`:                                                     "1",
		name + `create_outcome_unknown_total{attached="false"}`:                                                    "0",
		name + `finalizers_abandoned_total{reason="DeletionIncomplete"}`:                                           "1",
		name + `cancel_duration_seconds_count`:                                                                     "1",
		name + `openai_requests_total{operation="create",code="200"}`:                                              "5",
		name + `openai_requests_total{operation="create",code="500"}`:                                              "1",
		name + `openai_requests_total{operation="cancel",code="200"}`:                                              "1",
		name + `openai_request_duration_seconds_count{operation="create"}`:                                         "6",
		`sum(` + name + `openai_requests_total{operation="cancel",code="503"}) > bool 0`:                           "1",
		`sum(` + name + `kubernetes_writes_total{resource="vectorstorefilebatches/status",verb="patch"}) > bool 5`: "1",
		`sum(` + name + `kubernetes_writes_total{resource="leases"}) > bool 0`:                                     "1",
		name + `pending_cancel_seconds`:                                                                            "0",
		name + `poll_age_seconds`:                                                                                  "0",
		`ALERTS{alertname="VectorStoreFileBatchRecreated",alertstate="firing"}`:                                    "1",
		`ALERTS{alertname="VectorStoreFileBatchCredentialsInvalid",alertstate="pending"}`:                          "1",
	})
	w.wantAuthorization(t)
	w.wantKnownMetrics(t)
	w.wantPanelData(t)
	for _, object := range []string{w.Namespace, "handbook", framework.VectorStore, "file-a-1"} {
		if _, body := w.scrape(t, w.token(t, "prometheus")); strings.Contains(body, object) {
			t.Errorf("the metrics contain %s", object)
		}
	}
}

// wantAuthorization requires that metrics need a token with the right permission.
func (w monitoredManager) wantAuthorization(t *testing.T) {
	t.Helper()
	for _, job := range []string{"stranger", "anonymous"} {
		w.wantValues(t, map[string]string{`up{job="` + job + `"}`: "0"})
		if points := w.prometheus.points(t, `vector_store_operator_build_info{job="`+job+`"}`); points != 0 {
			t.Errorf("%s received metrics", job)
		}
	}
	for token, want := range map[string]int{
		"": http.StatusUnauthorized, w.token(t, "stranger"): http.StatusForbidden, w.token(t, "prometheus"): http.StatusOK,
	} {
		if code, body := w.scrape(t, token); code != want {
			t.Errorf("HTTP %d, want %d: %.200s", code, want, body)
		}
	}
}

// scrape reads the metrics once. It trusts only the test's certificate authority.
func (w monitoredManager) scrape(t *testing.T, token string) (code int, body string) {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(w.certificates, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: monitored(t).TLSConfig.ServerName, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	code, body, err = framework.Fetch(t.Context(), &http.Client{Transport: transport}, "https://"+w.metrics+"/metrics", token)
	if err != nil {
		t.Fatal(err)
	}
	return code, body
}

// metricNames matches the metric names in a query. A bracket follows a function, and an operator
// follows a label.
var metricNames = regexp.MustCompile(`\b(?:vector_store_operator|operator|controller_runtime|workqueue|leader_election|process)_[a-z_]+`)

// wantKnownMetrics requires that Prometheus has each metric that an alert, the dashboard or
// docs/reference/metrics.md refers to.
func (w monitoredManager) wantKnownMetrics(t *testing.T) {
	t.Helper()
	var known []string
	w.prometheus.ask(t, "label/__name__/values", url.Values{}, &known)
	alerts, _ := rules(t, t.TempDir())
	var queries []string
	for _, alert := range alerts {
		queries = append(queries, alert.Expr)
	}
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, metric := range telemetry.Documented() {
		name := metric.Name
		if name == "vector_store_operator_namespace_batches" {
			continue // only with --metrics-namespace-label: TestStateCollector_CountsByNamespace
		}
		if metric.Type == "histogram" {
			name += "_bucket"
		}
		queries = append(queries, name)
	}
	for _, query := range queries {
		names := metricNames.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("no metric in %s", query)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("unknown metric %s in %s", name, query)
			}
		}
	}
	var loaded struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
			} `json:"rules"`
		} `json:"groups"`
	}
	w.prometheus.ask(t, "rules", url.Values{}, &loaded)
	healthy := 0
	for _, group := range loaded.Groups {
		for _, rule := range group.Rules {
			if rule.Health == "ok" {
				healthy++
			} else {
				t.Errorf("alert %s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
	if healthy != len(alerts) {
		t.Errorf("Prometheus evaluates %d alerts, want %d", healthy, len(alerts))
	}
}

// wantPanelData requires that every query of the dashboard has results.
func (w monitoredManager) wantPanelData(t *testing.T) {
	t.Helper()
	for _, panel := range panels(t) {
		if len(panel.Targets) == 0 {
			t.Errorf("panel %q has no query", panel.Title)
		}
		for _, target := range panel.Targets {
			if w.prometheus.points(t, asGrafana(target.Expr)) == 0 {
				t.Errorf("panel %q is empty: %s", panel.Title, target.Expr)
			}
		}
	}
}
