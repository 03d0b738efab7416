// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observability_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// alert is an alerting rule.
type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// rules returns the alerts of config/prometheus, and the path of their rule file for Prometheus.
func rules(t *testing.T, folder string) (alerts []alert, file string) {
	t.Helper()
	var resource struct {
		Spec map[string]any `json:"spec"`
	}
	framework.ReadYAML(t, &resource, "config", "prometheus", "rules.yaml")
	text, err := yaml.Marshal(resource.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var typed struct {
		Groups []struct {
			Rules []alert `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(text, &typed); err != nil {
		t.Fatal(err)
	}
	for _, group := range typed.Groups {
		alerts = append(alerts, group.Rules...)
	}
	if len(alerts) == 0 {
		t.Fatal("no alerts")
	}
	return alerts, framework.WriteFile(t, folder, "rules.yaml", string(text))
}

func TestAlerts_Promtool(t *testing.T) {
	t.Parallel()
	promtool := framework.Tool(t, "promtool")
	folder := t.TempDir()
	alerts, file := rules(t, folder)
	cases, err := os.ReadFile(filepath.Join("testdata", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests := framework.WriteFile(t, folder, "alerts.yaml", string(cases))
	for _, args := range [][]string{{"check", "rules", "--lint=all", "--lint-fatal", file}, {"test", "rules", tests}} {
		output, err := framework.Output(t.Context(), promtool, args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(output)
	}

	// promtool does not report alerts without a test.
	fires, silent := map[string]bool{}, map[string]bool{}
	var typed struct {
		Tests []struct {
			Checks []struct {
				Alert  string           `json:"alertname"`
				Expect []map[string]any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(cases, &typed); err != nil {
		t.Fatal(err)
	}
	for _, test := range typed.Tests {
		for _, check := range test.Checks {
			if len(check.Expect) > 0 {
				fires[check.Alert] = true
			} else {
				silent[check.Alert] = true
			}
		}
	}
	for _, alert := range alerts {
		if !fires[alert.Alert] || !silent[alert.Alert] {
			t.Errorf("%s: tests in which it fires: %t, in which it is silent: %t, want both", alert.Alert, fires[alert.Alert], silent[alert.Alert])
		}
	}
}

func TestAlerts_HaveRunbookEntry(t *testing.T) {
	t.Parallel()
	alerts, _ := rules(t, t.TempDir())
	text := framework.ReadFile(t, "docs", "operations", "alerts.md")
	const page = "https://github.com/vector-store-operator/vector-store-operator/blob/main/docs/operations/alerts.md#"
	var names []string
	for _, alert := range alerts {
		names = append(names, alert.Alert)
		if want := page + strings.ToLower(alert.Alert); alert.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %s", alert.Alert, alert.Annotations["runbook_url"], want)
		}
		for _, key := range []string{"summary", "description"} {
			if !strings.HasSuffix(alert.Annotations[key], ".") {
				t.Errorf("%s: its %s is %q, want a sentence", alert.Alert, key, alert.Annotations[key])
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, alert.Labels["severity"]) {
			t.Errorf("%s: its severity is %q", alert.Alert, alert.Labels["severity"])
		}
	}
	var entries []string
	for _, match := range regexp.MustCompile(`(?m)^## (\w+)\n\n\S`).FindAllStringSubmatch(text, -1) {
		entries = append(entries, match[1])
	}
	slices.Sort(names)
	slices.Sort(entries)
	if !slices.Equal(names, entries) {
		t.Errorf("docs/operations/alerts.md has entries for %v, want %v", entries, names)
	}
}
