// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/check"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// checkCommand implements the command check.
type checkCommand struct {
	*plugin
	output      formatFlag
	credentials credentialFlags

	secret            string
	baseURL           string
	operatorNamespace string
	server            bool
	write             bool
	timeout           time.Duration

	// status shows the progress. It is nil if standard error is not a terminal.
	status *terminal.StatusLine
}

const checkExample = `  # Check the operator and the Secret openai in the current namespace
  kubectl vsfb check

  # Check another Secret, and observe how its server behaves, without creating anything
  kubectl vsfb check --secret azure --server

  # Also upload a few small files and create batches of them, and remove everything again
  kubectl vsfb check --server --write

  # Use your own API key, and no cluster, and save the observations
  OPENAI_API_KEY=... kubectl vsfb check --from-env --server --write -o json > openai.json

  # Observe a server on your machine
  OPENAI_API_KEY=none kubectl vsfb check --base-url http://localhost:8321/v1 --server --write`

func (p *plugin) newCheck() *cobra.Command {
	c := &checkCommand{plugin: p, output: newFormatFlag("table", wide)}
	command := &cobra.Command{
		Use:   "check",
		Short: "Check the operator, the API key, and the behavior of the server",
		Long: `Check the operator, the API key, and the behavior of the server.

The command checks whether the operator is installed and healthy, and whether the Secret can be used:
its values, and with one read whether the server accepts the key. It uses your permissions; a check
without a permission is skipped.

With --server, it observes in which ways the server differs from others. With --write, it also
uploads about 20 files of a few bytes and creates batches from them in two new vector stores. It
removes everything that it created, also if it is interrupted, and lists what it could not remove.
The names of all of it begin with vsfb-check-.

With --from-env or --base-url, it uses OPENAI_API_KEY from the environment, and no cluster.

It exits with code 1 if a check failed.`,
		Example: checkExample,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return c.run(command.Context())
		},
	}
	flags := command.Flags()
	c.output.addFlag(command)
	flags.StringVar(&c.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret to check.")
	flags.StringVar(&c.baseURL, "base-url", "", "Base URL of the server. The API key is then that of the environment.")
	flags.StringVar(&c.operatorNamespace, "operator-namespace", "", "Namespace of the operator. Defaults to all namespaces.")
	flags.BoolVar(&c.server, "server", false, "Observe the behavior of the server.")
	flags.BoolVar(&c.write, "write", false, "With --server, create a few small objects on the server, and remove them again.")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "Timeout of each request, and of the processing of each batch.")
	c.credentials.addFlags(flags)
	completeFlag(command, "operator-namespace", p.completeNamespaces)
	return command
}

// checkReport is the output of the command.
type checkReport struct {
	// Operator is empty without a cluster.
	Operator []check.Row `json:"operator"`
	// Credentials are the checks of the Secret or of the environment.
	Credentials []check.Row `json:"credentials"`
	// Server is nil without --server.
	Server *check.Findings `json:"server,omitempty"`

	source string
}

func (c *checkCommand) run(ctx context.Context) error {
	if err := c.validate(); err != nil {
		return err
	}
	report, err := c.check(ctx)
	if err != nil {
		return err
	}
	if err := c.print(report); err != nil {
		return err
	}
	return c.result(ctx, report)
}

// check makes all checks, and shows their progress.
func (c *checkCommand) check(ctx context.Context) (checkReport, error) {
	if _, screen := c.newTable(c.Streams.ErrOut); screen != nil {
		c.status = terminal.NewStatusLine(screen)
		defer c.status.Close()
	}
	report := checkReport{Operator: []check.Row{}}
	var flags *check.ManagerFlags
	if !c.credentials.fromEnv {
		operator, err := c.checkOperator(ctx)
		if err != nil {
			return report, err
		}
		report.Operator, flags = operator.Rows, operator.Flags
	}
	return report, c.checkServer(ctx, &report, flags)
}

func (c *checkCommand) validate() error {
	if c.write && !c.server {
		return errors.New("--write requires --server")
	}
	if c.timeout <= 0 {
		return errors.New("--timeout must be positive")
	}
	// The key of a Secret is not sent to another endpoint.
	c.credentials.fromEnv = c.credentials.fromEnv || c.baseURL != ""
	return nil
}

func (c *checkCommand) checkOperator(ctx context.Context) (check.Operator, error) {
	c.progress("Checking the operator")
	config, err := c.restConfig()
	if err != nil {
		return check.Operator{}, fmt.Errorf("%w; without a cluster, set --from-env", err)
	}
	namespace, err := c.namespace()
	if err != nil {
		return check.Operator{}, err
	}
	operator, err := check.Cluster{
		Config: config, Namespace: namespace, OperatorNamespace: c.operatorNamespace, Version: c.Version, Timeout: c.timeout, Now: time.Now,
	}.Check(ctx)
	if err != nil {
		return check.Operator{}, fmt.Errorf("checking the operator: %w", err)
	}
	return operator, nil
}

// checkServer checks the credentials, and the server if they can be used.
func (c *checkCommand) checkServer(ctx context.Context, report *checkReport, flags *check.ManagerFlags) error {
	value, row, err := c.values(ctx, report)
	if err != nil || row != nil {
		if row != nil {
			report.Credentials = []check.Row{*row}
		}
		return err
	}
	c.progress("Checking " + report.source)
	report.Credentials = check.Credentials{
		Source: report.source, Value: value, Flags: flags, Environment: c.credentials.fromEnv, AllowInsecure: c.credentials.allowInsecure || c.isLocal(value), Now: time.Now,
	}.Check()
	if check.AnyFailed(withoutEndpoint(report.Credentials)) {
		report.Credentials = append(report.Credentials, check.Row{Check: "key_accepted", Status: check.Skipped, Message: "Requires valid credentials."})
		return nil
	}
	connection := connectionFrom(func(name string) string { text, _ := value(name); return text })
	connection.CABundle, _ = value(v1alpha1.SecretKeyCABundle)
	client, err := c.dial(connection, report.source, c.credentials.allowInsecure, c.timeout)
	if err != nil {
		return err
	}
	defer client.Close()
	accepted := check.KeyAccepted(ctx, client.Client)
	report.Credentials = append(report.Credentials, accepted)
	if c.server && accepted.Status != check.Failed && ctx.Err() == nil {
		findings := check.Server{
			Client: client.Client, BaseURL: connection.BaseURL, Write: c.write, Timeout: c.timeout, Progress: c.progress, Now: time.Now,
		}.Examine(ctx)
		report.Server = &findings
	}
	return nil
}

// withoutEndpoint returns the rows that decide whether this machine can use the credentials.
func withoutEndpoint(checked []check.Row) []check.Row {
	return slices.DeleteFunc(slices.Clone(checked), func(r check.Row) bool { return r.Check == "allowed_endpoint" })
}

// isLocal reports whether the server is on this machine.
func (c *checkCommand) isLocal(value func(string) (string, bool)) bool {
	baseURL, _ := value(v1alpha1.SecretKeyBaseURL)
	return c.credentials.fromEnv && isLoopback(strings.TrimSpace(baseURL))
}

// values returns the values of the Secret or of the environment, or a row if the Secret cannot be read.
func (c *checkCommand) values(ctx context.Context, report *checkReport) (func(string) (string, bool), *check.Row, error) {
	if c.credentials.fromEnv {
		report.source = "the environment"
		return c.environment, nil, nil
	}
	namespace, err := c.namespace()
	if err != nil {
		return nil, nil, err
	}
	report.source = fmt.Sprintf("Secret %s/%s", namespace, c.secret)
	client, err := c.newCoreClient()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	secret, err := client.Secrets(namespace).Get(ctx, c.secret, metav1.GetOptions{})
	row := func(status check.Status, message string) *check.Row {
		return &check.Row{Check: "secret", Status: status, Message: message}
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, row(check.Failed, fmt.Sprintf("%s not found. Create it with the key %s.", report.source, v1alpha1.SecretKeyAPIKey)), nil
	case apierrors.IsForbidden(err):
		return nil, row(check.Skipped, fmt.Sprintf("You are not permitted to get secrets in namespace %s. Ask for it, or set --from-env to check your own key.", namespace)), nil
	case err != nil:
		return nil, row(check.Failed, fmt.Sprintf("%s could not be read: %v.", report.source, err)), nil
	}
	return func(name string) (string, bool) {
		text, found := secret.Data[name]
		return string(text), found
	}, nil, nil
}

// environment returns a value of the environment, or of a flag.
func (c *checkCommand) environment(name string) (string, bool) {
	switch name {
	case v1alpha1.SecretKeyBaseURL:
		text := cmp.Or(c.baseURL, c.Env(name))
		return text, text != ""
	case v1alpha1.SecretKeyAPIKey, v1alpha1.SecretKeyOrganization, v1alpha1.SecretKeyProject:
		text := c.Env(name)
		return text, text != ""
	}
	return "", false
}

// progress shows what the command does.
func (c *checkCommand) progress(text string) {
	if c.status != nil {
		c.status.Draw(text + " ...")
		return
	}
	_, _ = fmt.Fprintln(c.Streams.ErrOut, text+" ...")
}

// result returns an error if a check failed.
func (c *checkCommand) result(ctx context.Context, report checkReport) error {
	switch {
	case report.Server != nil && len(report.Server.NotRemoved) > 0:
		return fmt.Errorf("could not remove %d objects from the server: remove them yourself", len(report.Server.NotRemoved))
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case check.AnyFailed(report.Operator), check.AnyFailed(report.Credentials):
		return errors.New("a check failed")
	}
	return nil
}

func (c *checkCommand) print(report checkReport) error {
	return c.output.write(c.Streams.Out, report, func() string {
		t, _ := c.newTable(c.Streams.Out)
		var sections []string
		if len(report.Operator) > 0 {
			sections = append(sections, t.checks("OPERATOR", report.Operator))
		}
		sections = append(sections, t.checks("CREDENTIALS", report.Credentials))
		if report.Server != nil {
			sections = append(sections, t.behaviors(*report.Server, c.output.value == wide))
			if len(report.Server.NotRemoved) > 0 {
				sections = append(sections, "NOT REMOVED\n"+strings.Join(report.Server.NotRemoved, "\n"))
			}
		}
		return strings.Join(sections, "\n\n") + "\n"
	})
}

// checks formats the results of checks.
func (t table) checks(title string, checked []check.Row) string {
	styles := map[check.Status]terminal.Style{check.OK: terminal.Green, check.Warning: terminal.Yellow, check.Failed: terminal.Red, check.Skipped: terminal.Dim}
	rows := [][]string{{title, "STATUS", "MESSAGE"}}
	for _, row := range checked {
		rows = append(rows, []string{row.Check, t.paint(styles[row.Status], string(row.Status)), terminal.Escape(row.Message)})
	}
	return strings.Join(align(rows), "\n")
}

// behaviors formats what was observed of a server.
func (t table) behaviors(f check.Findings, details bool) string {
	styles := map[check.Observation]terminal.Style{check.Observed: terminal.Bold, check.NotObserved: terminal.Plain, check.Unknown: terminal.Dim}
	header := []string{"SERVER " + f.Host, "STATUS", "ANSWER", "QUESTION"}
	if details {
		header = append(header, "DETAIL")
	}
	rows := [][]string{header}
	for _, b := range slices.Concat(f.Behaviors, f.Timing) {
		cells := []string{b.ID, t.paint(styles[b.Status], string(b.Status)), terminal.Escape(cmp.Or(b.Answer, "-")), b.Question}
		if details {
			cells = append(cells, terminal.Escape(cmp.Or(f.Details[b.ID], "-")))
		}
		rows = append(rows, cells)
	}
	return strings.Join(align(rows), "\n")
}
