// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/utils/ptr"
)

// The values of --dry-run.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// outputFlags are the flags --output and --dry-run of the commands that write objects.
type outputFlags struct {
	*genericclioptions.PrintFlags
	dryRun string
	// printed is the number of objects that were printed.
	printed int
}

func newOutputFlags() outputFlags {
	return outputFlags{PrintFlags: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)}
}

func (f *outputFlags) addFlags(command *cobra.Command, dryRunUsage string) {
	f.AddFlags(command)
	command.Flags().StringVar(&f.dryRun, "dry-run", dryRunNone, dryRunUsage)
	completeFlag(command, "dry-run", fixedCompletions(dryRunNone, dryRunClient, dryRunServer))
	completeFlag(command, "output", fixedCompletions(f.AllowedFormats()...))
}

func (f *outputFlags) validate() error {
	switch f.dryRun {
	case dryRunNone, dryRunClient, dryRunServer:
		return nil
	}
	return fmt.Errorf("--dry-run must be %s, %s or %s, got %q", dryRunNone, dryRunClient, dryRunServer, f.dryRun)
}

// serverDryRun returns the value of DryRun for the options of a request.
func (f *outputFlags) serverDryRun() []string {
	if f.dryRun == dryRunServer {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// printObject prints an object in the output format. The default format is the name and the operation.
func (f *outputFlags) printObject(out io.Writer, object runtime.Object, operation string) error {
	switch f.dryRun {
	case dryRunClient:
		operation += " (dry run)"
	case dryRunServer:
		operation += " (server dry run)"
	}
	f.NamePrintFlags.Operation = operation
	printer, err := f.ToPrinter()
	if err != nil {
		return err
	}
	if f.printed++; f.printed > 1 && ptr.Deref(f.OutputFormat, "") == "yaml" {
		if _, err := io.WriteString(out, "---\n"); err != nil {
			return err
		}
	}
	return printer.PrintObj(object, out)
}
