// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// createManager is the field manager of objects that the plugin creates.
const createManager = "kubectl-vsfb"

// create implements the command create.
type create struct {
	*plugin
	output      outputFlags
	credentials credentialFlags

	vectorStore   string
	secret        string
	attributes    []string
	pathAttribute string

	spec          specFlags
	selection     selectionFlags
	filesPerBatch int
	expiresAfter  time.Duration
	endpoint      string
	checkStore    bool
	uploadOnly    bool
	deleteUnused  bool
	wait          bool
	timeout       time.Duration

	concurrency int
	attempts    int
	settleTime  time.Duration
	journal     string
}

const (
	// uploadTimeout bounds the time of an upload: 512 MB take 9 minutes at 1 MB/s.
	uploadTimeout = 15 * time.Minute
	// minExpiry and maxExpiry are the limits of the API.
	minExpiry = time.Hour
	maxExpiry = 30 * 24 * time.Hour
)

const createExample = `  # Upload a folder and create a batch from its files
  kubectl vsfb create handbook --vector-store vs_abc123 docs/

  # List the files that would be uploaded, and those that would be left out
  kubectl vsfb create handbook --vector-store vs_abc123 docs/ --dry-run=client -o yaml

  # Upload the files that match a glob and print the manifest, for example for Git
  kubectl vsfb create handbook --vector-store vs_abc123 'docs/**/*.md' --upload-only > handbook.yaml

  # Leave out drafts, and set the path of each file as an attribute
  kubectl vsfb create handbook --vector-store vs_abc123 docs/ --exclude 'draft-*' --path-attribute=path

  # Set fields of the spec, and wait for the result
  kubectl vsfb create handbook --vector-store vs_abc123 docs/ --deletion-policy=DetachFiles --deadline=2h --wait

  # Use your own API key, and no cluster
  OPENAI_API_KEY=... kubectl vsfb create handbook --vector-store vs_abc123 docs/ --from-env --upload-only`

const createLong = `Upload files and create a batch from them. PATH is a file, a folder, which includes files at any
depth, or a quoted glob, in which ** matches any number of folders.

The command names every file that it leaves out, and why: one file that the API refuses would make it
refuse the whole batch. It leaves out extensions that vector stores do not accept, empty files, files
that are too large, pointers of Git LFS, symbolic links that leave the folder or have no target, what
cannot be read, and names that begin with a dot. --exclude and files named .vsfbignore leave out more.
An extension in upper case is sent in lower case.

The command uses the API key from the Secret, which it reads with your permissions. If you cannot
read the Secret, or with --from-env, it uses OPENAI_API_KEY from the environment. Before it sends files
to another host than api.openai.com, it asks, unless --endpoint names that host.

A batch has at most --files-per-batch files, and an object at most 1 MiB. For more files, the command
creates several batches, named NAME-1, NAME-2 and so on, in the order of the paths.

If a run is interrupted, run the same command again. No file is uploaded twice: a local journal
records each upload by path, size and SHA-256, and interrupted uploads are searched for in the API's
list of files. If some files have changed, only those are uploaded; the files of a batch are
immutable, so this requires a new NAME.

The exit code is 2 if the batches were created without some of the files, except for names that begin
with a dot and for what a pattern excludes.`

func (p *plugin) newCreate() *cobra.Command {
	c := &create{plugin: p, output: newOutputFlags()}
	command := &cobra.Command{
		Use:     "create NAME --vector-store ID PATH...",
		Short:   "Upload files and create a batch from them",
		Long:    createLong,
		Example: createExample,
		Args:    cobra.MinimumNArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(command *cobra.Command, args []string) error {
			return c.run(command.Context(), args[0], args[1:])
		},
	}
	c.addFlags(command)
	return command
}

func (c *create) addFlags(command *cobra.Command) {
	c.output.addFlags(command, `If "client", only print the objects, without uploading anything: in place of its ID, an object has the path of a file. If "server", also have the API server validate the objects.`)
	c.credentials.addFlags(command.Flags())
	c.spec.addFlags(command)
	c.selection.addFlags(command.Flags())
	flags := command.Flags()
	flags.StringVar(&c.vectorStore, "vector-store", "", "ID of the vector store, such as vs_abc123.")
	flags.StringVar(&c.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret with the API key, for the upload and for spec.credentialsRef.")
	flags.StringArrayVar(&c.attributes, "attribute", nil, `Attribute of all files, as KEY=VALUE. Can be repeated. VALUE can be a number, true or false; quotes, as in 'version="5"', make it a string.`)
	flags.StringVar(&c.pathAttribute, "path-attribute", "", "Key of an attribute that contains the path of each file, relative to the working directory.")
	flags.IntVar(&c.filesPerBatch, "files-per-batch", 500, "Maximum number of files in a batch, at most 2000. Some servers accept 100 or 500.")
	flags.DurationVar(&c.expiresAfter, "expires-after", 0, "Time after which the API deletes the files that are uploaded, such as 720h: 1 hour to 30 days. 0 means never. Azure OpenAI accepts 500 files without it.")
	flags.StringVar(&c.endpoint, "endpoint", "", "Host, or base URL, that files may be sent to. Required for another host than api.openai.com if the input is not a terminal.")
	flags.BoolVar(&c.checkStore, "check-vector-store", true, "Get the vector store before the first upload.")
	flags.BoolVar(&c.uploadOnly, "upload-only", false, "Upload the files and print the objects, without creating them.")
	flags.BoolVar(&c.deleteUnused, "delete-unused-uploads", false, "If the run ends without its objects, delete the files that it uploaded and that no vector store has.")
	flags.BoolVar(&c.wait, "wait", false, "Wait until the batches are finished, with the exit codes of the command wait.")
	flags.DurationVar(&c.timeout, "timeout", 0, "Maximum time to wait with --wait, such as 1h. 0 means no limit.")
	flags.IntVar(&c.concurrency, "concurrency", 8, "Number of parallel uploads.")
	flags.IntVar(&c.attempts, "attempts", 8, "Advanced: maximum number of attempts for each file if the API is unavailable or limits the rate.")
	flags.DurationVar(&c.settleTime, "settle-time", settleTime, "Advanced: maximum time to wait until the API lists a file after the response to its upload was lost. After that, the upload is repeated.")
	flags.StringVar(&c.journal, "journal", "", "Advanced: path of the file that records uploads. Defaults to a file for each endpoint, organization and project in $XDG_STATE_HOME/kubectl-vsfb.")
	_ = command.MarkFlagRequired("vector-store") // fails only for an unknown flag
	completeFlag(command, "vector-store", c.completeVectorStores)
}

func (c *create) run(ctx context.Context, name string, paths []string) error {
	if err := c.validate(); err != nil {
		return err
	}
	p, err := c.newPlan(name)
	if err != nil {
		return err
	}
	found, err := c.find(ctx, paths)
	if err != nil {
		return err
	}
	defer func() { _ = found.Close() }() // opened for reading only
	if len(found.Files) == 0 {
		return errors.New("nothing to upload: PATH contains no files that the API accepts")
	}
	if err := p.assign(found.Files); err != nil {
		return err
	}
	leftOut := unexpected(found.LeftOut)
	if c.output.dryRun == dryRunClient {
		_, err := c.createObjects(ctx, batchClient{}, p.objects(p.placeholders(unknownID)))
		return errors.Join(err, leftOutError(leftOut))
	}
	var client batchClient
	if !c.uploadOnly {
		if client, err = c.newBatchClient(); err != nil {
			return err
		}
		// Find out before the uploads whether the API server would reject the objects.
		if err := c.preflight(ctx, client, p); err != nil {
			return err
		}
	}
	if c.output.dryRun == dryRunServer {
		return leftOutError(leftOut)
	}
	objects, refused, err := c.uploadAndCreate(ctx, client, p)
	if err != nil {
		return err
	}
	if c.wait {
		if err := c.waitUntilFinished(ctx, client, objects, c.timeout); err != nil {
			return err
		}
	}
	if c.wait {
		err = unsuccessful(objects)
	}
	return errors.Join(err, leftOutError(leftOut+refused))
}

func (c *create) validate() error {
	switch {
	case c.concurrency < 1 || c.concurrency > 64:
		return errors.New("--concurrency must be between 1 and 64")
	case c.attempts < 1:
		return errors.New("--attempts must be at least 1")
	case c.settleTime < 0:
		return errors.New("--settle-time must not be negative")
	case c.filesPerBatch < 1 || c.filesPerBatch > maxFiles:
		return fmt.Errorf("--files-per-batch must be between 1 and %d", maxFiles)
	case c.expiresAfter != 0 && (c.expiresAfter < minExpiry || c.expiresAfter > maxExpiry):
		return fmt.Errorf("--expires-after must be between %s and %s", minExpiry, maxExpiry)
	case !validID.MatchString(c.vectorStore):
		return fmt.Errorf("--vector-store %q is not valid as spec.vectorStoreID, which has 1 to %d letters, digits and other characters of IDs", c.vectorStore, v1alpha1.MaxIDLength)
	}
	return errors.Join(c.validateOutput(), c.spec.validate())
}

func (c *create) validateOutput() error {
	switch {
	case c.uploadOnly && c.output.dryRun != dryRunNone:
		return errors.New("--upload-only and --dry-run are mutually exclusive")
	case c.wait && (c.uploadOnly || c.output.dryRun != dryRunNone):
		return errors.New("--wait requires that objects are created: leave out --upload-only and --dry-run")
	case c.timeout < 0:
		return errors.New("--timeout must not be negative")
	case c.timeout > 0 && !c.wait:
		return errors.New("--timeout requires --wait")
	}
	if c.uploadOnly && ptr.Deref(c.output.OutputFormat, "") == "" {
		c.output.OutputFormat = ptr.To("yaml")
	}
	return c.output.validate()
}

func (c *create) newPlan(name string) (*plan, error) {
	attributes, err := parseAttributes(c.attributes)
	if err != nil {
		return nil, err
	}
	p := &plan{
		name: name, vectorStore: c.vectorStore, secret: c.secret, filesPerBatch: c.filesPerBatch,
		attributes: attributes, pathAttribute: c.pathAttribute, chunking: c.spec.chunking(), configure: c.spec.apply,
	}
	if p.namespace = c.explicitNamespace(); c.uploadOnly || c.output.dryRun == dryRunClient {
		return p, nil
	}
	p.namespace, err = c.namespace()
	return p, err
}

// find returns the files to upload, and names the others.
func (c *create) find(ctx context.Context, paths []string) (*upload.Found, error) {
	options, err := c.selection.options()
	if err != nil {
		return nil, err
	}
	if c.pathAttribute != "" {
		options.MaxKeyLength = v1alpha1.MaxAttributeValueLength
	}
	found, err := upload.Find(ctx, paths, options)
	if err != nil {
		return nil, err
	}
	c.nameLeftOut(found.LeftOut)
	return found, nil
}

// preflight validates the objects with a server-side dry run, and prints them if the command is one.
func (c *create) preflight(ctx context.Context, client batchClient, p *plan) error {
	validated := p.objects(p.placeholders(futureID))
	for i, b := range validated {
		created, err := client.create(ctx, b, metav1.CreateOptions{FieldManager: createManager, DryRun: []string{metav1.DryRunAll}})
		if apierrors.IsAlreadyExists(err) {
			existing, err := client.get(ctx, b.Name)
			if err != nil {
				return err
			}
			// createOrCompare compares the files once their IDs are known. The API can refuse some of them.
			if !equalSettings(existing, b) || moreFiles(existing, b) {
				return alreadyExists(b.Name)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("creating %s would fail, so nothing was uploaded: %w", b.Name, err)
		}
		validated[i] = created
	}
	if c.output.dryRun != dryRunServer {
		return nil
	}
	for i, b := range p.objects(p.placeholders(unknownID)) {
		validated[i].Spec.FileIDs, validated[i].Spec.Files = b.Spec.FileIDs, b.Spec.Files
		if err := c.output.printObject(c.Streams.Out, validated[i], "created"); err != nil {
			return err
		}
	}
	return nil
}

// createObjects creates the objects, except in a client-side dry run, prints them, and returns them.
func (c *create) createObjects(ctx context.Context, client batchClient, objects []*v1alpha1.VectorStoreFileBatch) ([]*v1alpha1.VectorStoreFileBatch, error) {
	for i, b := range objects {
		operation := "created"
		if c.output.dryRun != dryRunClient && !c.uploadOnly {
			var err error
			if b, operation, err = client.createOrCompare(ctx, b, nil); err != nil {
				return nil, err
			}
			objects[i] = b
		}
		if err := c.output.printObject(c.Streams.Out, b, operation); err != nil {
			return nil, err
		}
	}
	return objects, nil
}
