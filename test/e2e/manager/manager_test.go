// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// runManager runs the manager until it exits, and returns its exit code and its output.
func runManager(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	p, err := framework.Run(framework.Command{
		Path: env.Program("manager"), Args: args, Log: filepath.Join(t.TempDir(), "log"), Env: []string{"KUBECONFIG=" + managerKubeconfig},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.KillAfter(t)
	return p.MustExit(t), p.Output()
}

// flagLine matches the description of a flag in the help of package flag.
var flagLine = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: \S+)?\n    \t(.*)$`)

func TestManager_Help(t *testing.T) {
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
			t.Errorf("--%s has the description %q, want a sentence", name, text)
		}
	}
	want := []string{
		"allow-insecure-endpoints", "allowed-addresses", "allowed-endpoints", "concurrency", "creates-per-minute", "extra-ca-dir",
		"files-per-minute", "finalize-timeout", "health-probe-bind-address", "leader-elect", "leader-election-id", "leader-election-namespace",
		"metrics-bind-address", "metrics-cert-dir", "metrics-namespace-label", "metrics-secure", "not-found-grace", "poll-interval-max",
		"poll-interval-min", "pprof-bind-address", "rate-limit-window", "request-timeout", "requests-per-second", "watch-label-selector",
		"watch-namespaces",
	}
	if diff := cmp.Diff(want, flags); diff != "" {
		t.Errorf("flags (-want +got):\n%s\n%s", diff, output)
	}
}

func TestManager_RejectsFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--concurrency=0"}, "--concurrency is 0"},
		{[]string{"--concurrency=many"}, `invalid value "many" for flag -concurrency`},
		{[]string{"--poll-interval-min=99ms"}, "--poll-interval-min is 99ms"},
		{[]string{"--poll-interval-min=2"}, `invalid value "2" for flag -poll-interval-min`},
		{[]string{"--poll-interval-max=1s"}, "--poll-interval-max is 1s: it must not be shorter than --poll-interval-min, 2s"},
		{[]string{"--request-timeout=999ms"}, "--request-timeout is 999ms"},
		{[]string{"--not-found-grace=-1s"}, "--not-found-grace is -1s"},
		{[]string{"--not-found-grace=61m"}, "--not-found-grace is 1h1m0s"},
		{[]string{"--finalize-timeout=-1s"}, "--finalize-timeout is -1s"},
		{[]string{"--allowed-endpoints=https://api.openai.com/v1"}, "--allowed-endpoints: "},
		{[]string{"--allowed-endpoints=good.example,*"}, "--allowed-endpoints: "},
		{[]string{"--allowed-addresses=localhost"}, "--allowed-addresses: allowed address \"localhost\""},
		{[]string{"--allowed-addresses=127.0.0.1,10.0.0.0/33"}, "--allowed-addresses: "},
		{[]string{"--leader-elect=perhaps"}, `invalid boolean value "perhaps" for -leader-elect`},
		{[]string{"--metrics-secure=maybe"}, `invalid boolean value "maybe" for -metrics-secure`},
		{[]string{"--zap-log-level=loud"}, "-zap-log-level"},
		{[]string{"--zap-log-level=6"}, "--zap-log-level is 6: it must be at most 5"},
		{[]string{"--zap-log-level=264"}, "--zap-log-level is 264: it must be at most 5"},
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
			if !strings.Contains(output, test.want) {
				t.Errorf("the output does not contain %q:\n%.2000s", test.want, output)
			}
		})
	}
}

func TestManager_SIGTERM(t *testing.T) {
	t.Parallel()
	f := newFixtureWithoutSecret(t)
	for name, flags := range map[string][]string{
		"without leader election": {},
		"as the leader":           {"--leader-elect", "--leader-election-namespace=" + framework.SystemNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := env.StartManager(framework.ManagerOptions{
				Name: "sigterm-" + strings.ReplaceAll(name, " ", "-"), Kubeconfig: managerKubeconfig, Flags: append(flags, "--watch-namespaces="+f.Namespace),
			})
			if err != nil {
				t.Fatal(err)
			}
			p.KillAfter(t)
			p.MustOutput(t, framework.Working)
			p.Terminate()
			if code := p.MustExit(t); code != 0 {
				t.Errorf("exit code = %d, want 0: %s", code, p.Tail())
			}
			if len(flags) > 0 {
				holder := env.Kubectl.In(framework.SystemNamespace).Must(t, "get", "lease", "vector-store-operator.dev", "--output=jsonpath={.spec.holderIdentity}")
				if holder != "" {
					t.Errorf("%q still holds the lease, so the next leader must wait until it expires", holder)
				}
			}
		})
	}
}

func TestMetrics_Authorization(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-m]`))
	f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	f.Must(t, "create", "serviceaccount", "scraper")
	f.Must(t, "create", "serviceaccount", "stranger")
	f.Must(t, "create", "clusterrolebinding", f.Namespace, "--clusterrole=vector-store-operator-metrics-reader", "--serviceaccount="+f.Namespace+":scraper")
	token := func(account string) string { return strings.TrimSpace(f.Must(t, "create", "token", account)) }

	// The manager creates its certificate at each start, so there is no CA to verify it with.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	for _, test := range []struct {
		client, token string
		code          int
	}{
		{"without a token", "", http.StatusUnauthorized},
		{"with the token of a stranger", token("stranger"), http.StatusForbidden},
		{"with the token of the scraper", token("scraper"), http.StatusOK},
	} {
		t.Run(test.client, func(t *testing.T) {
			code, body, err := framework.Fetch(t.Context(), client, "https://"+manager.Metrics+"/metrics", test.token)
			if err != nil {
				t.Fatal(err)
			}
			if code != test.code {
				t.Errorf("HTTP %d, want %d: %.1000s", code, test.code, body)
			}
			metrics := strings.Contains(body, `controller_runtime_reconcile_total{controller="vectorstorefilebatch",result="success"}`)
			if metrics != (test.code == http.StatusOK) {
				t.Errorf("the answer contains metrics of the controller: %t: %.1000s", metrics, body)
			}
			if keys := keysIn(body); len(keys) > 0 {
				t.Errorf("the metrics contain %v", keys)
			}
			for _, name := range []string{f.Namespace, "handbook", f.store} {
				// The error for a client that is not authorized names the client.
				if metrics && strings.Contains(body, name) {
					t.Errorf("the metrics name an object: %s", name)
				}
			}
		})
	}
	if code, body, err := framework.Fetch(t.Context(), client, "https://"+manager.Metrics+"/metrics", "invalid"); err != nil || code < http.StatusBadRequest {
		t.Errorf("an invalid token gets HTTP %d, %v: %.1000s", code, err, body)
	}
	if code, _, err := framework.Fetch(t.Context(), http.DefaultClient, "http://"+manager.Metrics+"/metrics", token("scraper")); err == nil && code == http.StatusOK {
		t.Error("metrics are served without TLS")
	}
}
