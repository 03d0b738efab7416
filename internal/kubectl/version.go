// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/check"
)

// versionTimeout bounds each request.
const versionTimeout = 10 * time.Second

// versionCommand implements the command version.
type versionCommand struct {
	*plugin
	output            formatFlag
	client            bool
	operatorNamespace string
}

const versionExample = `  # Print the versions of the plugin and of the operator
  kubectl vsfb version

  # Print the version of the plugin, without a cluster
  kubectl vsfb version --client -o json`

func (p *plugin) newVersion() *cobra.Command {
	v := &versionCommand{plugin: p, output: newFormatFlag("text")}
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the plugin and of the operator",
		Long: `Print the version of the plugin, the version of the API that it uses, and the images of the operator's
Pods, which it finds by their labels. It uses your permissions: without that of listing Pods, it prints
the reason instead of the images.`,
		Example: versionExample,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return v.run(command.Context())
		},
	}
	flags := command.Flags()
	v.output.addFlag(command)
	flags.BoolVar(&v.client, "client", false, "Print the version of the plugin only.")
	flags.StringVar(&v.operatorNamespace, "operator-namespace", "", "Namespace of the operator. Defaults to all namespaces.")
	completeFlag(command, "operator-namespace", p.completeNamespaces)
	return command
}

// versions is the output of the command.
type versions struct {
	Plugin string `json:"plugin"`
	// API is the version of the API that the plugin uses.
	API string `json:"api"`
	// Operator are the images of the operator's Pods. It is nil if they were not read.
	Operator []string `json:"operator,omitempty"`
}

func (v *versionCommand) run(ctx context.Context) error {
	found := versions{Plugin: v.Version, API: v1alpha1.GroupVersion.String()}
	operator := "no Pods found"
	if !v.client {
		images, err := v.images(ctx)
		if err != nil {
			operator = "unknown"
			v.notef("Could not read the version of the operator: %v", err)
		}
		if found.Operator = images; len(images) > 0 {
			operator = strings.Join(images, ", ")
		}
	}
	return v.output.write(v.Streams.Out, found, func() string {
		rows := [][]string{{"Plugin:", found.Plugin}, {"API:", found.API}}
		if !v.client {
			rows = append(rows, []string{"Operator:", operator})
		}
		return strings.Join(align(escaped(rows)), "\n") + "\n"
	})
}

func (v *versionCommand) images(ctx context.Context) ([]string, error) {
	config, err := v.restConfig()
	if err != nil {
		return nil, err
	}
	return check.Cluster{Config: config, OperatorNamespace: v.operatorNamespace, Timeout: versionTimeout}.Images(ctx)
}
