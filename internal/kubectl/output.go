// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
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

// formatFlag is the flag --output of the commands that print a report.
type formatFlag struct {
	value string
	// formats are the valid values. The first one, which is the default, is a text.
	formats []string
}

// newFormatFlag returns a flag whose default has a name, such as table. There can be other texts.
func newFormatFlag(text string, others ...string) formatFlag {
	return formatFlag{value: text, formats: slices.Concat([]string{text}, others, []string{"json", "yaml"})}
}

func (f *formatFlag) addFlag(command *cobra.Command) {
	command.Flags().VarP(f, "output", "o", fmt.Sprintf("Output format. One of: (%s).", strings.Join(f.formats, ", ")))
	completeFlag(command, "output", fixedCompletions(f.formats...))
}

// String implements pflag.Value.
func (f *formatFlag) String() string { return f.value }

// Type implements pflag.Value.
func (f *formatFlag) Type() string { return "string" }

// Set implements pflag.Value.
func (f *formatFlag) Set(value string) error {
	if !slices.Contains(f.formats, value) {
		return fmt.Errorf("must be one of %s", strings.Join(f.formats, ", "))
	}
	f.value = value
	return nil
}

// isText reports whether the output is a text.
func (f *formatFlag) isText() bool { return f.value == f.formats[0] }

// write writes a report, or the text about it.
func (f *formatFlag) write(out io.Writer, report any, text func() string) error {
	var encoded []byte
	var err error
	switch f.value {
	case "json":
		encoded, err = json.MarshalIndent(report, "", "    ")
		encoded = append(encoded, '\n')
	case "yaml":
		encoded, err = yaml.Marshal(report)
	default:
		encoded = []byte(text())
	}
	if err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	_, err = out.Write(encoded)
	return err
}
