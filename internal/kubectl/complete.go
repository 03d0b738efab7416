// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// completeTimeout is how long somebody who pressed Tab waits, at most.
const completeTimeout = 3 * time.Second

type completion = func(command *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

func complete(command *cobra.Command, flag string, values completion) {
	_ = command.RegisterFlagCompletionFunc(flag, values) // the flag is there, and has no other
}

func fixed(values ...string) completion {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// completeNames offers the names of batches that were not given yet; one of them, or several.
func (p *plugin) completeNames(several bool) completion {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !several {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := map[string]bool{}
		p.eachBatch(command.Context(), func(name, _ string) { names[name] = true })
		for _, given := range args {
			delete(names, given)
		}
		return slices.Sorted(maps.Keys(names)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeStores offers the vector stores that batches of the namespace name.
func (p *plugin) completeStores(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	stores := map[string]bool{}
	p.eachBatch(command.Context(), func(_, store string) { stores[store] = true })
	return slices.Sorted(maps.Keys(stores)), cobra.ShellCompDirectiveNoFileComp
}

// eachBatch shows the batches of the namespace. What fails shows none: a shell has no place for
// errors.
func (p *plugin) eachBatch(ctx context.Context, show func(name, store string)) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	namespace, err := p.namespace()
	if err != nil {
		return
	}
	client, err := p.batches()
	if err != nil {
		return
	}
	found, err := client.list(ctx, namespace, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, b := range found.Items {
		show(b.Name, b.Spec.VectorStoreID)
	}
}

func (p *plugin) completeGlobalFlags(root *cobra.Command) {
	complete(root, "namespace", func(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return p.namespaces(command.Context()), cobra.ShellCompDirectiveNoFileComp
	})
	complete(root, "context", p.ofKubeconfig(func(c kubeconfig) []string { return c.contexts }))
	complete(root, "cluster", p.ofKubeconfig(func(c kubeconfig) []string { return c.clusters }))
	complete(root, "user", p.ofKubeconfig(func(c kubeconfig) []string { return c.users }))
}

func (p *plugin) namespaces(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	core, err := p.core()
	if err != nil {
		return nil
	}
	found, err := core.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for _, namespace := range found.Items {
		names = append(names, namespace.Name)
	}
	return names
}

// kubeconfig is what can be chosen of a kubeconfig.
type kubeconfig struct{ contexts, clusters, users []string }

func (p *plugin) ofKubeconfig(choose func(kubeconfig) []string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		raw, err := p.cluster.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return choose(kubeconfig{
			contexts: slices.Sorted(maps.Keys(raw.Contexts)),
			clusters: slices.Sorted(maps.Keys(raw.Clusters)),
			users:    slices.Sorted(maps.Keys(raw.AuthInfos)),
		}), cobra.ShellCompDirectiveNoFileComp
	}
}
