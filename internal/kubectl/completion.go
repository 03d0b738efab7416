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
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// completionTimeout bounds the time that shell completion takes.
const completionTimeout = 3 * time.Second

// completeFlag registers the completions of a flag.
func completeFlag(command *cobra.Command, flag string, completions cobra.CompletionFunc) {
	_ = command.RegisterFlagCompletionFunc(flag, completions) // fails only for an unknown or registered flag
}

func fixedCompletions(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// completeNames completes the names of batches that are not yet arguments.
func (p *plugin) completeNames(multiple bool) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !multiple {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := map[string]bool{}
		for _, b := range p.listForCompletion(command.Context()) {
			names[b.Name] = true
		}
		for _, arg := range args {
			delete(names, arg)
		}
		return slices.Sorted(maps.Keys(names)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeVectorStores completes the IDs of the vector stores that batches in the namespace use.
func (p *plugin) completeVectorStores(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ids := map[string]bool{}
	for _, b := range p.listForCompletion(command.Context()) {
		ids[b.Spec.VectorStoreID] = true
	}
	return slices.Sorted(maps.Keys(ids)), cobra.ShellCompDirectiveNoFileComp
}

// completeReasons completes the reasons that batches in the namespace have.
func (p *plugin) completeReasons(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	reasons := map[string]bool{}
	for _, b := range p.listForCompletion(command.Context()) {
		reasons[batch.Reason(b.Status)] = true
	}
	delete(reasons, "")
	return slices.Sorted(maps.Keys(reasons)), cobra.ShellCompDirectiveNoFileComp
}

// listForCompletion lists the batches in the namespace. It returns none after an error, because a
// shell does not display errors of a completion.
func (p *plugin) listForCompletion(ctx context.Context) []v1alpha1.VectorStoreFileBatch {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	client, err := p.newBatchClient()
	if err != nil {
		return nil
	}
	list, err := client.list(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	return list.Items
}

func (p *plugin) completeGlobalFlags(root *cobra.Command) {
	completeFlag(root, "namespace", p.completeNamespaces)
	completeFlag(root, "context", p.completeFromKubeconfig(func(c clientcmdapi.Config) []string { return slices.Sorted(maps.Keys(c.Contexts)) }))
	completeFlag(root, "cluster", p.completeFromKubeconfig(func(c clientcmdapi.Config) []string { return slices.Sorted(maps.Keys(c.Clusters)) }))
	completeFlag(root, "user", p.completeFromKubeconfig(func(c clientcmdapi.Config) []string { return slices.Sorted(maps.Keys(c.AuthInfos)) }))
}

func (p *plugin) completeNamespaces(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
	defer cancel()
	client, err := p.newCoreClient()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := client.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, namespace := range list.Items {
		names = append(names, namespace.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (p *plugin) completeFromKubeconfig(names func(clientcmdapi.Config) []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		config, err := p.configFlags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(config), cobra.ShellCompDirectiveNoFileComp
	}
}
