// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/budget"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// options are the manager's flags.
type options struct {
	metricsAddress          string
	metricsSecure           bool
	metricsCertDir          string
	probeAddress            string
	pprofAddress            string
	leaderElect             bool
	leaderElectionNamespace string
	concurrency             int
	watchNamespaces         list
	watchLabelSelector      selector
	rules                   batch.Rules
	limits                  budget.Limits
	endpoints               upstream.EndpointPolicy
	allowedEndpoints        list
	extraCADir              string
	// authorities are the certificates of extraCADir, in PEM.
	authorities string
}

func defaultOptions() *options {
	return &options{
		metricsAddress: ":8443",
		metricsSecure:  true,
		probeAddress:   ":8081",
		pprofAddress:   "0",
		concurrency:    64,
		rules:          batch.DefaultRules(),
		limits:         budget.DefaultLimits(),
	}
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", o.metricsAddress, "The `address` that serves metrics; 0 turns them off.")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", o.metricsSecure, "Serve metrics over HTTPS, to those only whom the cluster lets get the URL /metrics.")
	flags.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "The `folder` with tls.crt and tls.key for the metrics; without it, a self-signed certificate is made.")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", o.probeAddress, "The `address` that serves /healthz and /readyz; 0 turns them off.")
	flags.StringVar(&o.pprofAddress, "pprof-bind-address", o.pprofAddress, "The `address`, on loopback, that serves profiles below /debug/pprof/; 0 turns them off.")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "Work only while holding the lease, so that several replicas can run.")
	flags.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "The `namespace` of the lease; the Pod's own by default.")
	flags.IntVar(&o.concurrency, "concurrency", o.concurrency, "How many objects are worked on at a time. Most of that is waiting for the upstream.")
	flags.Var(&o.watchNamespaces, "watch-namespaces", "The `namespaces` to watch, separated by commas; all of them by default.")
	flags.Var(&o.watchLabelSelector, "watch-label-selector", "The `selector` of the labels of the objects to look after, as kubectl takes it; all objects by default. Installations with selectors that exclude each other split the work.")
	flags.DurationVar(&o.rules.PollMin, "poll-interval-min", o.rules.PollMin, "The shortest time between two looks at a batch in progress.")
	flags.DurationVar(&o.rules.PollMax, "poll-interval-max", o.rules.PollMax, "The longest time between two looks at a batch in progress.")
	flags.DurationVar(&o.rules.RequestTimeout, "request-timeout", o.rules.RequestTimeout, "How long one call to the upstream may take. The Pod's termination grace period must be longer.")
	flags.DurationVar(&o.rules.FinalizeTimeout, "finalize-timeout", o.rules.FinalizeTimeout, "How long the deletion of an object is retried without getting on before it is let go, with a warning of what may be left upstream.")
	flags.Float64Var(&o.limits.RequestsPerSecond, "requests-per-second", o.limits.RequestsPerSecond, "How many requests a second are sent with the same credentials. Cancels do not wait for it.")
	flags.IntVar(&o.limits.CreatesPerWindow, "creates-per-minute", o.limits.CreatesPerWindow, "How many batches a minute are created in one vector store.")
	flags.IntVar(&o.limits.FilesPerWindow, "files-per-minute", o.limits.FilesPerWindow, "How many files a minute are attached with the same credentials.")
	flags.DurationVar(&o.limits.Window, "limits-minute", o.limits.Window, "How long the minute is, in which --creates-per-minute and --files-per-minute count; for servers that count in another time.")
	flags.BoolVar(&o.endpoints.AllowInsecure, "allow-insecure-endpoints", false, "Let Secrets name http:// endpoints. Keys then cross the network unencrypted.")
	flags.Var(&o.allowedEndpoints, "allowed-endpoints", "The `hosts` that Secrets may name in OPENAI_BASE_URL, separated by commas: host, host:port or *.domain; any by default.")
	flags.StringVar(&o.extraCADir, "extra-ca-dir", "", "The `folder` of certificate authorities to trust beside the system's when calling the upstream; each file in it has PEM-encoded ones.")
}

// validate refuses settings that cannot work, naming the flag.
func (o *options) validate() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!servable(o.metricsAddress), "--metrics-bind-address is %q: it must be host:port or :port, or 0", o.metricsAddress)
	refuse(!servable(o.probeAddress), "--health-probe-bind-address is %q: it must be host:port or :port, or 0", o.probeAddress)
	refuse(!servable(o.pprofAddress) || o.pprofAddress != "0" && !loopback(o.pprofAddress), "--pprof-bind-address is %q: it must be host:port with a host on loopback, such as 127.0.0.1:6060, or 0; anybody who reaches it can read the memory", o.pprofAddress)
	refuse(o.metricsCertDir != "" && !o.metricsSecure, "--metrics-cert-dir is given, and --metrics-secure is off: there is no use for a certificate")
	for _, file := range certificateFiles(o.metricsCertDir) {
		_, err := os.Stat(file)
		refuse(err != nil, "--metrics-cert-dir: %w", err)
	}
	for _, namespace := range o.watchNamespaces {
		refuse(!namespaceName(namespace), "--watch-namespaces has %q: that cannot be a namespace", namespace)
	}
	refuse(o.leaderElectionNamespace != "" && !namespaceName(o.leaderElectionNamespace), "--leader-election-namespace is %q: that cannot be a namespace", o.leaderElectionNamespace)
	refuse(o.concurrency < 1, "--concurrency is %d: it must be at least 1", o.concurrency)
	refuse(o.rules.PollMin < 100*time.Millisecond, "--poll-interval-min is %s: it must be at least 100ms", o.rules.PollMin)
	refuse(o.rules.PollMax < o.rules.PollMin, "--poll-interval-max is %s: it must not be shorter than --poll-interval-min, %s", o.rules.PollMax, o.rules.PollMin)
	refuse(o.rules.RequestTimeout < time.Second, "--request-timeout is %s: it must be at least 1s", o.rules.RequestTimeout)
	refuse(!(o.limits.RequestsPerSecond >= 0.1 && o.limits.RequestsPerSecond <= 1e6), "--requests-per-second is %v: it must be at least 0.1, and at most 1000000", o.limits.RequestsPerSecond)
	refuse(o.limits.CreatesPerWindow < 1, "--creates-per-minute is %d: it must be at least 1", o.limits.CreatesPerWindow)
	refuse(o.limits.FilesPerWindow < 1, "--files-per-minute is %d: it must be at least 1", o.limits.FilesPerWindow)
	refuse(o.limits.Window < time.Millisecond || o.limits.Window > time.Hour, "--limits-minute is %s: it must be at least 1ms, and at most 1h", o.limits.Window)
	refuse(o.rules.FinalizeTimeout < 0, "--finalize-timeout is %s: it must not be negative", o.rules.FinalizeTimeout)
	endpoints, err := upstream.ParseAllowed(o.allowedEndpoints)
	refuse(err != nil, "--allowed-endpoints: %w", err)
	o.endpoints.Allowed = endpoints
	o.authorities, err = readAuthorities(o.extraCADir)
	refuse(err != nil, "--extra-ca-dir: %w", err)
	return errors.Join(errs...)
}

// servable reports whether an address can be listened on, or is the word for none.
func servable(address string) bool {
	if address == "0" {
		return true
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// loopback reports whether an address can be reached from this machine, or this Pod, only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// certificateFiles are the files that a folder for a certificate must have.
func certificateFiles(folder string) []string {
	if folder == "" {
		return nil
	}
	return []string{filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")}
}

func namespaceName(name string) bool { return len(validation.IsDNS1123Label(name)) == 0 }

// list is a flag of values separated by commas; given more than once, it goes on.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(text string) error {
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// selector is a flag that selects objects by their labels; the zero value selects all.
type selector struct{ labels.Selector }

func (s *selector) String() string {
	if s.Selector == nil {
		return ""
	}
	return s.Selector.String()
}

func (s *selector) Set(text string) error {
	parsed, err := labels.Parse(text)
	if err != nil {
		return err
	}
	s.Selector = parsed
	return nil
}
