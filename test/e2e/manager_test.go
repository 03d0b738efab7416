// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// runManager runs the manager to its end, and gives its exit code and what it wrote.
func runManager(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(shared.folder, "manager"), args...)
	command.Env = []string{"KUBECONFIG=" + shared.managerKubeconfig}
	text, err := command.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && (!errors.As(err, &exited) || ctx.Err() != nil) {
		t.Fatalf("manager %v: %v (%v): %s", args, err, ctx.Err(), text)
	}
	return command.ProcessState.ExitCode(), string(text)
}

// flagLine is how package flag begins what it says of a flag.
var flagLine = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: \S+)?\n    \t(.*)$`)

func TestHelpListsTheFlags(t *testing.T) {
	t.Parallel()
	code, output := runManager(t, "--help")
	if code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	var flags []string
	for _, match := range flagLine.FindAllStringSubmatch(output, -1) {
		name, text := match[1], match[2]
		if foreign := name == "kubeconfig" || strings.HasPrefix(name, "zap-"); foreign {
			continue
		}
		flags = append(flags, name)
		if words := strings.Fields(text); len(words) < 5 || strings.ToUpper(text[:1]) != text[:1] || !strings.Contains(text, ".") {
			t.Errorf("--%s is described as %q, want a sentence", name, text)
		}
	}
	want := []string{
		"allow-insecure-endpoints", "allowed-endpoints", "concurrency", "creates-per-minute", "extra-ca-dir",
		"files-per-minute", "finalize-timeout", "health-probe-bind-address", "leader-elect", "leader-election-namespace",
		"metrics-bind-address", "metrics-cert-dir", "metrics-secure", "poll-interval-max",
		"poll-interval-min", "pprof-bind-address", "rate-limit-window", "request-timeout", "requests-per-second", "watch-label-selector",
		"watch-namespaces",
	}
	if diff := cmp.Diff(want, flags); diff != "" {
		t.Errorf("flags (-want +got):\n%s\n%s", diff, output)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--concurrency=0"}, "--concurrency is 0"},
		{[]string{"--concurrency=many"}, `invalid value "many" for flag -concurrency`},
		{[]string{"--poll-interval-min=99ms"}, "--poll-interval-min is 99ms"},
		{[]string{"--poll-interval-min=2"}, `invalid value "2" for flag -poll-interval-min`},
		{[]string{"--poll-interval-max=1s"}, "--poll-interval-max is 1s: it must not be shorter than --poll-interval-min, 2s"},
		{[]string{"--request-timeout=999ms"}, "--request-timeout is 999ms"},
		{[]string{"--finalize-timeout=-1s"}, "--finalize-timeout is -1s"},
		{[]string{"--allowed-endpoints=https://api.openai.com/v1"}, "--allowed-endpoints: "},
		{[]string{"--allowed-endpoints=good.example,*"}, "--allowed-endpoints: "},
		{[]string{"--leader-elect=perhaps"}, `invalid boolean value "perhaps" for -leader-elect`},
		{[]string{"--metrics-secure=maybe"}, `invalid boolean value "maybe" for -metrics-secure`},
		{[]string{"--zap-log-level=loud"}, "-zap-log-level"},
		{[]string{"--kubeconfig=/nonexistent/kubeconfig"}, "/nonexistent/kubeconfig"},
		{[]string{"--extra-ca-dir=/nonexistent"}, "--extra-ca-dir: open /nonexistent"},
		{[]string{"--extra-ca-dir=."}, "_test.go contains no PEM-encoded certificate"},
		{[]string{"--metrics-bind-address=nowhere"}, `--metrics-bind-address is "nowhere"`},
		{[]string{"--metrics-bind-address="}, `--metrics-bind-address is ""`},
		{[]string{"--metrics-bind-address=:65536"}, `--metrics-bind-address is ":65536"`},
		{[]string{"--health-probe-bind-address=nowhere"}, `--health-probe-bind-address is "nowhere"`},
		{[]string{"--metrics-cert-dir=/nonexistent"}, "--metrics-cert-dir: stat /nonexistent/tls.crt"},
		{[]string{"--metrics-cert-dir=/nonexistent", "--metrics-secure=false"}, "--metrics-cert-dir is set, but --metrics-secure is false"},
		{[]string{"--watch-namespaces=default,No_Namespace"}, `--watch-namespaces has "No_Namespace"`},
		{[]string{"--watch-label-selector=team in"}, `invalid value "team in" for flag -watch-label-selector`},
		{[]string{"--leader-elect", "--leader-election-namespace=No_Namespace"}, `--leader-election-namespace is "No_Namespace"`},
		{[]string{"--leader-elect"}, "please specify LeaderElectionNamespace"},
		{[]string{"--no-such-flag"}, "flag provided but not defined: -no-such-flag"},
		{[]string{"start"}, `unexpected argument "start"`},
		{[]string{"--leader-elect", "true"}, `unexpected argument "true"`},
	} {
		t.Run(strings.ReplaceAll(strings.Join(test.args, " "), "/", "|"), func(t *testing.T) {
			t.Parallel()
			code, output := runManager(t, append([]string{"--metrics-bind-address=0", "--health-probe-bind-address=0", "--watch-namespaces=kube-public"}, test.args...)...)
			if code == 0 {
				t.Error("exit code = 0")
			}
			if !strings.Contains(output, test.says) {
				t.Errorf("it does not say %q:\n%.2000s", test.says, output)
			}
		})
	}
}

func TestSIGTERMEndsTheManager(t *testing.T) {
	t.Parallel()
	n := newTenant(t)
	for name, flags := range map[string][]string{
		"alone":                      {},
		"with the lease in its hand": {"--leader-elect", "--leader-election-namespace=" + systemNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probes, err := freeAddress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, err := shared.launch("sigterm-"+strings.ReplaceAll(name, " ", "-"), "manager", nil, append(flags,
				"--kubeconfig="+shared.managerKubeconfig, "--watch-namespaces="+n.namespace,
				"--metrics-bind-address=0", "--health-probe-bind-address="+probes)...)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err = until(ctx, "the manager to be at work", func(context.Context) (bool, error) {
				return strings.Contains(p.output(), "Starting workers"), p.died()
			})
			if err == nil {
				err = p.terminate(ctx)
			}
			if err != nil {
				t.Errorf("%v: %s", err, p.tail())
			}
			if code := p.command.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code = %d, want 0: %s", code, p.tail())
			}
			if len(flags) > 0 {
				holder := tenant{namespace: systemNamespace}.kubectl(t, "get", "lease", "vector-store-operator.dev", "--output=jsonpath={.spec.holderIdentity}")
				if holder != "" {
					t.Errorf("the lease is still held by %q, so the next leader has to wait for it to run out", holder)
				}
			}
		})
	}
}

func TestProbesAnswer(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/healthz", "/readyz"} {
		code, body, err := fetch(t.Context(), http.DefaultClient, "http://"+shared.probes+path, "")
		if err != nil {
			t.Fatal(err)
		}
		if code != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", path, code, body)
		}
	}
}

func TestMetricsAreForWhoMayReadThem(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-m]`))
	n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	n.kubectl(t, "create", "serviceaccount", "scraper")
	n.kubectl(t, "create", "serviceaccount", "stranger")
	n.kubectl(t, "create", "clusterrolebinding", n.namespace, "--clusterrole=vector-store-operator-metrics-reader", "--serviceaccount="+n.namespace+":scraper")
	token := func(account string) string { return strings.TrimSpace(n.kubectl(t, "create", "token", account)) }

	// The certificate is made anew at each start, so there is nothing to hold it against.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	for _, test := range []struct {
		who, token string
		code       int
	}{
		{"without a token", "", http.StatusUnauthorized},
		{"with the token of a stranger", token("stranger"), http.StatusForbidden},
		{"with the token of the scraper", token("scraper"), http.StatusOK},
	} {
		t.Run(test.who, func(t *testing.T) {
			code, body, err := fetch(t.Context(), client, "https://"+shared.metrics+"/metrics", test.token)
			if err != nil {
				t.Fatal(err)
			}
			if code != test.code {
				t.Errorf("HTTP %d, want %d: %.1000s", code, test.code, body)
			}
			metrics := strings.Contains(body, `controller_runtime_reconcile_total{controller="vectorstorefilebatch",result="success"}`)
			if metrics != (test.code == http.StatusOK) {
				t.Errorf("there are metrics of the controller: %t: %.1000s", metrics, body)
			}
			if keys := keysIn(body); len(keys) > 0 {
				t.Errorf("they show %v", keys)
			}
			for _, name := range []string{n.namespace, "handbook", n.store} {
				// Who is refused is told his own name.
				if metrics && strings.Contains(body, name) {
					t.Errorf("they name an object: %s", name)
				}
			}
		})
	}
	if code, body, err := fetch(t.Context(), client, "https://"+shared.metrics+"/metrics", "nonsense"); err != nil || code < http.StatusBadRequest {
		t.Errorf("a token that is none gets HTTP %d, %v: %.1000s", code, err, body)
	}
	if code, _, err := fetch(t.Context(), http.DefaultClient, "http://"+shared.metrics+"/metrics", token("scraper")); err == nil && code == http.StatusOK {
		t.Error("metrics are served without TLS")
	}
}
