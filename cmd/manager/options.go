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

	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// options are the settings of the manager, which are all flags.
type options struct {
	metricsAddress          string
	metricsSecure           bool
	metricsByNamespace      bool
	metricsCertDir          string
	probeAddress            string
	pprofAddress            string
	leaderElect             bool
	leaderElectionNamespace string
	leaderElectionID        string
	concurrency             int
	watchNamespaces         list
	watchLabelSelector      selector
	lifecycle               lifecycle.Config
	limits                  flowcontrol.Limits
	endpoints               upstream.EndpointPolicy
	allowedEndpoints        list
	addresses               upstream.AddressPolicy
	allowedAddresses        list
	extraCADir              string
	// caBundle is the content of extraCADir, PEM-encoded.
	caBundle string
}

func defaultOptions() *options {
	return &options{
		metricsAddress:   ":8443",
		metricsSecure:    true,
		probeAddress:     ":8081",
		pprofAddress:     "0",
		leaderElectionID: "vector-store-operator.dev",
		concurrency:      64,
		lifecycle:        lifecycle.DefaultConfig(),
		limits:           flowcontrol.DefaultLimits(),
	}
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", o.metricsAddress, "The `address` that the metrics endpoint binds to. 0 disables it.")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", o.metricsSecure, "Serve metrics over HTTPS, only to clients authorized to GET /metrics.")
	flags.BoolVar(&o.metricsByNamespace, "metrics-namespace-label", false, "Expose vector_store_operator_namespace_batches, the number of objects by their namespace and reason.")
	flags.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "The `directory` that contains tls.crt and tls.key for the metrics endpoint. Defaults to a generated self-signed certificate.")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", o.probeAddress, "The `address` that /healthz and /readyz bind to. 0 disables them.")
	flags.StringVar(&o.pprofAddress, "pprof-bind-address", o.pprofAddress, "The loopback `address` that serves profiles at /debug/pprof/. 0 disables them.")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "Enable leader election. Of several replicas, only the leader reconciles objects.")
	flags.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "The `namespace` of the Lease for leader election. Defaults to the namespace of the Pod.")
	flags.StringVar(&o.leaderElectionID, "leader-election-id", o.leaderElectionID, "The `name` of the Lease for leader election. Installations that share a namespace need different ones.")
	flags.IntVar(&o.concurrency, "concurrency", o.concurrency, "Number of objects reconciled in parallel.")
	flags.Var(&o.watchNamespaces, "watch-namespaces", "Comma-separated list of `namespaces` to watch. Defaults to all namespaces.")
	flags.Var(&o.watchLabelSelector, "watch-label-selector", "Label `selector` of the objects to reconcile, in the syntax of kubectl. Defaults to all objects. Several installations can share a cluster if no object matches the selectors of two of them.")
	flags.DurationVar(&o.lifecycle.PollMin, "poll-interval-min", o.lifecycle.PollMin, "Minimum interval between two polls of a batch in progress.")
	flags.DurationVar(&o.lifecycle.PollMax, "poll-interval-max", o.lifecycle.PollMax, "Maximum interval between two polls of a batch in progress.")
	flags.DurationVar(&o.lifecycle.RequestTimeout, "request-timeout", o.lifecycle.RequestTimeout, "Timeout of a call to the OpenAI API. The termination grace period of the Pod must be longer.")
	flags.DurationVar(&o.lifecycle.NotFoundGrace, "not-found-grace", o.lifecycle.NotFoundGrace, "How long after a change a server may not know it yet: after a batch is created, its 404 is not believed, and after a change of an object or its Secret, a 401, 403 or 404 is retried before the object is stalled.")
	flags.DurationVar(&o.lifecycle.FinalizeTimeout, "finalize-timeout", o.lifecycle.FinalizeTimeout, "How long a deletion is retried without progress before the finalizer is removed anyway. An Event names what was left behind.")
	flags.Float64Var(&o.limits.RequestsPerSecond, "requests-per-second", o.limits.RequestsPerSecond, "Maximum number of requests per second with the same credentials. Cancellations do not wait for it.")
	flags.IntVar(&o.limits.CreatesPerWindow, "creates-per-minute", o.limits.CreatesPerWindow, "Maximum number of batches created per minute in one vector store.")
	flags.IntVar(&o.limits.FilesPerWindow, "files-per-minute", o.limits.FilesPerWindow, "Maximum number of files added per minute with the same credentials.")
	flags.DurationVar(&o.limits.Window, "rate-limit-window", o.limits.Window, "Length of the window that --creates-per-minute and --files-per-minute count in, for servers whose window is not a minute.")
	flags.BoolVar(&o.endpoints.AllowInsecure, "allow-insecure-endpoints", false, "Permit http:// endpoints in Secrets. Keys are then sent unencrypted.")
	flags.Var(&o.allowedEndpoints, "allowed-endpoints", "Comma-separated list of `hosts` that Secrets can set as OPENAI_BASE_URL: host, host:port or *.domain. Defaults to all hosts.")
	flags.Var(&o.allowedAddresses, "allowed-addresses", "Comma-separated list of loopback, link-local, multicast and metadata `addresses` that the operator can connect to for a Secret: addresses or CIDRs. All others of these are refused, even if a host name resolves to them.")
	flags.StringVar(&o.extraCADir, "extra-ca-dir", "", "The `directory` that contains PEM-encoded CA certificates to trust, in addition to the system's, for calls to the OpenAI API.")
}

// validate returns an error for every invalid setting. Each error names the flag.
func (o *options) validate() error {
	var errs []error
	invalid := func(condition bool, format string, args ...any) {
		if condition {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	invalid(!validAddress(o.metricsAddress), "--metrics-bind-address is %q: it must be host:port, :port or 0", o.metricsAddress)
	invalid(!validAddress(o.probeAddress), "--health-probe-bind-address is %q: it must be host:port, :port or 0", o.probeAddress)
	invalid(!validAddress(o.pprofAddress) || o.pprofAddress != "0" && !loopback(o.pprofAddress), "--pprof-bind-address is %q: it must be a loopback address, such as 127.0.0.1:6060, or 0, because profiles expose the memory of the process", o.pprofAddress)
	invalid(o.metricsCertDir != "" && !o.metricsSecure, "--metrics-cert-dir is set, but --metrics-secure is false")
	for _, file := range certificateFiles(o.metricsCertDir) {
		_, err := os.Stat(file)
		invalid(err != nil, "--metrics-cert-dir: %w", err)
	}
	for _, namespace := range o.watchNamespaces {
		invalid(!validNamespace(namespace), "--watch-namespaces has %q: it must be a valid namespace name", namespace)
	}
	invalid(o.leaderElectionNamespace != "" && !validNamespace(o.leaderElectionNamespace), "--leader-election-namespace is %q: it must be a valid namespace name", o.leaderElectionNamespace)
	invalid(len(validation.IsDNS1123Subdomain(o.leaderElectionID)) > 0, "--leader-election-id is %q: it must be a valid name of a Lease", o.leaderElectionID)
	invalid(o.concurrency < 1, "--concurrency is %d: it must be at least 1", o.concurrency)
	invalid(o.lifecycle.PollMin < 100*time.Millisecond, "--poll-interval-min is %s: it must be at least 100ms", o.lifecycle.PollMin)
	invalid(o.lifecycle.PollMax < o.lifecycle.PollMin, "--poll-interval-max is %s: it must not be shorter than --poll-interval-min, %s", o.lifecycle.PollMax, o.lifecycle.PollMin)
	invalid(o.lifecycle.RequestTimeout < time.Second, "--request-timeout is %s: it must be at least 1s", o.lifecycle.RequestTimeout)
	invalid(o.lifecycle.NotFoundGrace < 0 || o.lifecycle.NotFoundGrace > time.Hour, "--not-found-grace is %s: it must be from 0s to 1h", o.lifecycle.NotFoundGrace)
	invalid(!(o.limits.RequestsPerSecond >= 0.1 && o.limits.RequestsPerSecond <= 1e6), "--requests-per-second is %v: it must be from 0.1 to 1000000", o.limits.RequestsPerSecond)
	invalid(o.limits.CreatesPerWindow < 1, "--creates-per-minute is %d: it must be at least 1", o.limits.CreatesPerWindow)
	invalid(o.limits.FilesPerWindow < 1, "--files-per-minute is %d: it must be at least 1", o.limits.FilesPerWindow)
	invalid(o.limits.Window < time.Millisecond || o.limits.Window > time.Hour, "--rate-limit-window is %s: it must be from 1ms to 1h", o.limits.Window)
	invalid(o.lifecycle.FinalizeTimeout < 0, "--finalize-timeout is %s: it must not be negative", o.lifecycle.FinalizeTimeout)
	endpoints, err := upstream.ParseAllowed(o.allowedEndpoints)
	invalid(err != nil, "--allowed-endpoints: %w", err)
	o.endpoints.Allowed = endpoints
	o.addresses.Allowed, err = upstream.ParseAddresses(o.allowedAddresses)
	invalid(err != nil, "--allowed-addresses: %w", err)
	o.caBundle, err = readCABundle(o.extraCADir)
	invalid(err != nil, "--extra-ca-dir: %w", err)
	return errors.Join(errs...)
}

// validAddress reports whether an address is host:port, :port or 0.
func validAddress(address string) bool {
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

// loopback reports whether an address is on the loopback interface.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// certificateFiles returns the paths of the certificate and the key in a directory.
func certificateFiles(directory string) []string {
	if directory == "" {
		return nil
	}
	return []string{filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key")}
}

func validNamespace(name string) bool { return len(validation.IsDNS1123Label(name)) == 0 }

// maxLogLevel is the highest level of --zap-log-level. From level 8 on, client-go logs the bodies of
// responses, and with them the Secrets that the operator reads.
const maxLogLevel = 5

// validateLogLevel returns an error if --zap-log-level is a number that is too high.
func validateLogLevel(value string) error {
	if level, err := strconv.Atoi(value); err == nil && level > maxLogLevel {
		return fmt.Errorf("--zap-log-level is %d: it must be at most %d, because higher levels log the content of Secrets", level, maxLogLevel)
	}
	return nil
}

// list is a flag with comma-separated values. It can be repeated.
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

// selector is a flag with a label selector. Its zero value selects all objects.
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
