// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"io"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// ManagerFlags are the flags of the manager that decide about endpoints, leader election and
// namespaces.
type ManagerFlags struct {
	Endpoints upstream.EndpointPolicy
	Addresses upstream.AddressPolicy

	leaderElect     bool
	leaseNamespace  string
	lease           string
	watchNamespaces []string
	selector        string
}

// flagsOf returns the flags of the manager in a Pod. It ignores invalid flags, with which a manager does
// not start.
func flagsOf(pod corev1.Pod) ManagerFlags {
	container := managerContainer(pod)
	var flags ManagerFlags
	var endpoints, addresses []string
	set := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	set.ParseErrorsAllowlist.UnknownFlags = true
	set.SetOutput(io.Discard)
	set.BoolVar(&flags.Endpoints.AllowInsecure, "allow-insecure-endpoints", false, "")
	set.StringSliceVar(&endpoints, "allowed-endpoints", nil, "")
	set.StringSliceVar(&addresses, "allowed-addresses", nil, "")
	set.BoolVar(&flags.leaderElect, "leader-elect", false, "")
	set.StringVar(&flags.leaseNamespace, "leader-election-namespace", "", "")
	set.StringVar(&flags.lease, "leader-election-id", defaultLease, "")
	set.StringSliceVar(&flags.watchNamespaces, "watch-namespaces", nil, "")
	set.StringVar(&flags.selector, "watch-label-selector", "", "")
	args := make([]string, 0, len(container.Args))
	for _, arg := range container.Args {
		// The flag package accepts one hyphen too.
		if strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") {
			arg = "-" + arg
		}
		args = append(args, arg)
	}
	_ = set.Parse(args) // the flags before an invalid one are set
	flags.Endpoints.Allowed, _ = upstream.ParseAllowed(endpoints)
	flags.Addresses.Allowed, _ = upstream.ParseAddresses(addresses)
	return flags
}
