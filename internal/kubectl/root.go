// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubectl implements the kubectl plugin, which lists and cancels batches, lists their failed
// files, creates batches from local files, and checks the operator and servers.
package kubectl

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// Options configure the plugin.
type Options struct {
	Streams genericiooptions.IOStreams
	// Env returns the value of an environment variable.
	Env func(name string) string
	// Version is the version of the plugin.
	Version string
}

// plugin is the state that all commands share.
type plugin struct {
	Options
	configFlags *genericclioptions.ConfigFlags
}

// notef prints a line for the user on standard error. It can contain file names and texts of servers.
func (p *plugin) notef(format string, args ...any) {
	_, _ = fmt.Fprintln(p.Streams.ErrOut, terminal.Escape(fmt.Sprintf(format, args...)))
}

const rootExample = `  # List the batches in the current namespace and their progress
  kubectl vsfb

  # Watch the batches in all namespaces
  kubectl vsfb -A --watch

  # Show a batch in detail
  kubectl vsfb status scans

  # List all failed files of a batch
  kubectl vsfb failures scans

  # Upload a directory and create a batch from its files
  kubectl vsfb create handbook --vector-store vs_abc123 docs/

  # Wait until a batch is finished, and fail if it did not succeed
  kubectl vsfb wait handbook --timeout=1h

  # Cancel a batch and wait until it is finished
  kubectl vsfb cancel handbook --wait

  # Check the operator and the API key
  kubectl vsfb check`

// NewCommand returns the command kubectl vsfb.
func NewCommand(o Options) *cobra.Command {
	p := &plugin{Options: o, configFlags: genericclioptions.NewConfigFlags(true)}
	root := p.newList("kubectl-vsfb")
	root.Short = "Manage VectorStoreFileBatches, the file batches of OpenAI vector stores"
	root.Long = `Manage VectorStoreFileBatches, the file batches of OpenAI vector stores.

Without a subcommand, this command lists batches, as "kubectl vsfb list" does.`
	root.Example = rootExample
	root.Version = o.Version
	// With a NAME argument, a mistyped subcommand would be taken for a name.
	root.Args, root.ValidArgsFunction = nil, nil
	root.SilenceUsage, root.SilenceErrors = true, true
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl vsfb"}
	root.SetIn(o.Streams.In)
	root.SetOut(o.Streams.Out)
	root.SetErr(o.Streams.ErrOut)
	p.configFlags.AddFlags(root.PersistentFlags())
	list := p.newList("list [NAME...]")
	list.Aliases = []string{"get", "ls"}
	root.AddCommand(list, p.newStatus(), p.newCancel(), p.newWait(), p.newSuspend(), p.newResume(), p.newFailures(), p.newRetry(), p.newAdopt(),
		p.newCreate(), p.newUploads(), p.newSync(), p.newFiles(), p.newSearch(), p.newCheck(), p.newVersion())
	root.SetVersionTemplate("kubectl-vsfb {{.Version}}\n")
	p.completeGlobalFlags(root)
	return root
}
