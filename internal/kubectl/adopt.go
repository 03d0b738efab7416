// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// adopt implements the command adopt.
type adopt struct {
	*plugin
	output      outputFlags
	vectorStore string
	secret      string
	name        string
}

const adoptExample = `  # Observe a batch that a script created
  kubectl vsfb adopt vsfb_abc123 --vector-store vs_abc123

  # Print the manifest of the object
  kubectl vsfb adopt vsfb_abc123 --vector-store vs_abc123 --name=handbook --dry-run=client -o yaml`

func (p *plugin) newAdopt() *cobra.Command {
	a := &adopt{plugin: p, output: newOutputFlags()}
	command := &cobra.Command{
		Use:   "adopt BATCH_ID --vector-store ID",
		Short: "Create an object for a batch that exists already",
		Long: `Create an object for a batch that exists already, for example because a script created it. The operator
observes the batch, and can cancel it. When the object is deleted, the batch is left alone.

The name of the object is the ID in lower case, with hyphens in place of other characters than
letters and digits, unless --name is set.`,
		Example:           adoptExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, args []string) error {
			return a.run(command.Context(), args[0])
		},
	}
	a.output.addFlags(command, `If "client", only print the object. If "server", also have the API server validate it.`)
	flags := command.Flags()
	flags.StringVar(&a.vectorStore, "vector-store", "", "ID of the vector store, such as vs_abc123.")
	flags.StringVar(&a.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret with the API key, for spec.credentialsRef.")
	flags.StringVar(&a.name, "name", "", "Name of the object.")
	_ = command.MarkFlagRequired("vector-store") // fails only for an unknown flag
	completeFlag(command, "vector-store", p.completeVectorStores)
	return command
}

func (a *adopt) run(ctx context.Context, id string) error {
	if err := a.output.validate(); err != nil {
		return err
	}
	for what, value := range map[string]string{"BATCH_ID": id, "--vector-store": a.vectorStore} {
		if !validID.MatchString(value) {
			return fmt.Errorf("%s %q is not a valid ID", what, value)
		}
	}
	if a.name == "" {
		a.name = nameFor(id)
	}
	if problems := validation.IsDNS1123Subdomain(a.name); len(problems) > 0 {
		return fmt.Errorf("%q is not a valid object name; set --name: %s", a.name, strings.Join(problems, "; "))
	}
	b := a.newBatch(id)
	operation := "created"
	if a.output.dryRun != dryRunClient {
		client, err := a.newBatchClient()
		if err != nil {
			return err
		}
		b.Namespace = client.namespace
		if b, operation, err = client.createOrCompare(ctx, b, a.output.serverDryRun()); err != nil {
			return err
		}
	}
	return a.output.printObject(a.Streams.Out, b, operation)
}

func (a *adopt) newBatch(id string) *v1alpha1.VectorStoreFileBatch {
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Name: a.name, Namespace: a.explicitNamespace()}}
	b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	b.Spec.VectorStoreID, b.Spec.BatchID = a.vectorStore, id
	if a.secret != v1alpha1.DefaultCredentialsSecret {
		b.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: a.secret}
	}
	return b
}

// notInNames matches the characters that the name of an object cannot contain everywhere.
var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// nameFor returns a name for the object of a batch.
func nameFor(id string) string {
	name := notInNames.ReplaceAllString(strings.ToLower(id), "-")
	if len(name) > validation.DNS1123SubdomainMaxLength {
		name = name[:validation.DNS1123SubdomainMaxLength]
	}
	return strings.Trim(name, "-")
}
