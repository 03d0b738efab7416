// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubectl is the kubectl plugin: the list of batches with their progress, cancelling
// them, what failed in them, and making them of files on disk.
package kubectl

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Options are what the plugin has from the process that it runs in.
type Options struct {
	Streams genericiooptions.IOStreams
	// Env reads a variable of the environment.
	Env func(name string) string
	// Version is the plugin's own.
	Version string
}

// plugin is what all commands share.
type plugin struct {
	Options
	cluster *genericclioptions.ConfigFlags
}

const rootExample = `  # The batches of the namespace, with their progress
  kubectl vsfb

  # Those of all namespaces, until Ctrl-C
  kubectl vsfb -A --watch

  # Why files failed, all of them
  kubectl vsfb failures scans

  # Upload a folder, and make a batch of it
  kubectl vsfb create handbook --vector-store vs_abc123 docs/

  # Cancel a batch, and wait until it is over
  kubectl vsfb cancel handbook --wait`

// NewCommand makes the command kubectl vsfb.
func NewCommand(o Options) *cobra.Command {
	p := &plugin{Options: o, cluster: genericclioptions.NewConfigFlags(true)}
	list := p.newList("kubectl-vsfb")
	list.Short = "Work with VectorStoreFileBatches: batches of files in OpenAI vector stores"
	list.Long = `Work with VectorStoreFileBatches: batches of files in OpenAI vector stores.

Without a subcommand it lists them, as "kubectl vsfb list" does.`
	list.Example = rootExample
	list.Version = o.Version
	// A name here would hide a subcommand that was mistyped.
	list.Args, list.ValidArgsFunction = nil, nil
	list.SilenceUsage, list.SilenceErrors = true, true
	list.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl vsfb"}
	list.SetIn(o.Streams.In)
	list.SetOut(o.Streams.Out)
	list.SetErr(o.Streams.ErrOut)
	p.cluster.AddFlags(list.PersistentFlags())
	named := p.newList("list [NAME...]")
	named.Aliases = []string{"get", "ls"}
	list.AddCommand(named, p.newCancel(), p.newFailures(), p.newCreate())
	list.SetVersionTemplate("kubectl-vsfb {{.Version}}\n")
	p.completeGlobalFlags(list)
	return list
}
