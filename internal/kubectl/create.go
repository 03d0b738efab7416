// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

	concurrency int
	attempts    int
	settleTime  time.Duration
	journal     string
}

// uploadTimeout bounds the time of an upload: 512 MB take 9 minutes at 1 MB/s.
const uploadTimeout = 15 * time.Minute

const createExample = `  # Upload a directory and create a batch from its files
  kubectl vsfb create handbook --vector-store vs_abc123 docs/

  # Upload the files that match a glob and print the manifest, for example for Git
  kubectl vsfb create handbook --vector-store vs_abc123 'docs/**/*.md' --dry-run=client -o yaml > handbook.yaml

  # Set an attribute on all files, and the path of each file as another attribute
  kubectl vsfb create handbook --vector-store vs_abc123 docs/ --attribute team=docs --path-attribute=path

  # Use your own API key, and no cluster
  OPENAI_API_KEY=... kubectl vsfb create handbook --vector-store vs_abc123 docs/ --from-env --dry-run=client -o yaml`

func (p *plugin) newCreate() *cobra.Command {
	c := &create{plugin: p, output: newOutputFlags()}
	command := &cobra.Command{
		Use:   "create NAME --vector-store ID PATH...",
		Short: "Upload files and create a batch from them",
		Long: `Upload files and create a batch from them. PATH is a file, a directory, which includes files at any
depth, or a quoted glob, in which ** matches any number of directories. Empty files are skipped. In
directories and globs, names that begin with a dot are skipped.

The command uses the API key from the Secret, which it reads with your permissions. If you cannot
read the Secret, or with --from-env, it uses OPENAI_API_KEY from the environment.

A batch has at most 2000 files. For more files, the command creates several batches, named NAME-1,
NAME-2 and so on, in the order of the paths.

If a run is interrupted, run the same command again. No file is uploaded twice: a local journal
records each upload by path, size and SHA-256, and interrupted uploads are searched for in the API's
list of files. If some files have changed, only those are uploaded; the files of a batch are
immutable, so this requires a new NAME.

With --dry-run=client, the command uploads the files, because the manifest contains their IDs, but
creates nothing in the cluster.`,
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
	c.output.addFlags(command, `If "client", upload the files and print the objects without creating them. If "server", upload the files and have the API server validate the objects.`)
	c.credentials.addFlags(command.Flags())
	flags := command.Flags()
	flags.StringVar(&c.vectorStore, "vector-store", "", "ID of the vector store, such as vs_abc123.")
	flags.StringVar(&c.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret with the API key, for the upload and for spec.credentialsRef.")
	flags.StringArrayVar(&c.attributes, "attribute", nil, `Attribute of all files, as KEY=VALUE. Can be repeated. VALUE can be a number, true or false; quotes, as in 'version="5"', make it a string.`)
	flags.StringVar(&c.pathAttribute, "path-attribute", "", "Key of an attribute that contains the path of each file, relative to the working directory.")
	flags.IntVar(&c.concurrency, "concurrency", 8, "Number of parallel uploads.")
	flags.IntVar(&c.attempts, "attempts", 8, "Advanced: maximum number of attempts for each file if the API is unavailable or limits the rate.")
	flags.DurationVar(&c.settleTime, "settle-time", 10*time.Second, "Advanced: maximum time to wait until the API lists a file after the response to its upload was lost. After that, the upload is repeated.")
	flags.StringVar(&c.journal, "journal", "", "Advanced: path of the file that records uploads. Defaults to a file for each API key and endpoint in $XDG_STATE_HOME/kubectl-vsfb.")
	_ = command.MarkFlagRequired("vector-store") // fails only for an unknown flag
	completeFlag(command, "vector-store", c.completeVectorStores)
}

func (c *create) run(ctx context.Context, name string, paths []string) error {
	if err := c.validate(); err != nil {
		return err
	}
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	attributes, err := parseAttributes(c.attributes)
	if err != nil {
		return err
	}
	files, err := c.findFiles(paths)
	if err != nil {
		return err
	}
	p := plan{
		namespace: namespace, name: name, vectorStore: c.vectorStore, secret: c.secret,
		attributes: attributes, pathAttribute: c.pathAttribute, files: files,
	}
	if err := p.validate(); err != nil {
		return err
	}
	var client batchClient
	if c.output.dryRun != dryRunClient {
		if client, err = c.newBatchClient(); err != nil {
			return err
		}
		// Find out before the uploads whether the API server would reject the objects.
		if err := preflight(ctx, client, p); err != nil {
			return err
		}
	}
	ids, err := c.upload(ctx, namespace, files)
	if err != nil {
		return err
	}
	return c.createObjects(ctx, client, p.objects(ids))
}

func (c *create) validate() error {
	switch {
	case c.concurrency < 1 || c.concurrency > 64:
		return errors.New("--concurrency must be between 1 and 64")
	case c.attempts < 1:
		return errors.New("--attempts must be at least 1")
	case c.settleTime < 0:
		return errors.New("--settle-time must not be negative")
	}
	return c.output.validate()
}

func (c *create) findFiles(paths []string) ([]upload.File, error) {
	files, skipped, err := upload.Find(paths)
	if err != nil {
		return nil, err
	}
	if len(skipped) > 0 {
		_, _ = fmt.Fprintf(c.Streams.ErrOut, "Skipping %d empty files: %s\n", len(skipped), abbreviate(skipped))
	}
	if len(files) == 0 {
		return nil, errors.New("nothing to upload: PATH contains no files, or only empty ones")
	}
	return files, nil
}

// abbreviate lists the first few of many names.
func abbreviate(names []string) string {
	const limit = 5
	if len(names) <= limit {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
}

// preflight validates the objects with a server-side dry run.
func preflight(ctx context.Context, client batchClient, p plan) error {
	for _, name := range p.names() {
		b := p.object(name)
		b.Spec.FileIDs, b.Spec.Attributes = []string{"file-to-be-uploaded"}, p.attributes
		_, err := client.create(ctx, b, metav1.CreateOptions{FieldManager: createManager, DryRun: []string{metav1.DryRunAll}})
		// createObject compares an existing object once the file IDs are known.
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %s would fail, so nothing was uploaded: %w", name, err)
		}
	}
	return nil
}

func (c *create) upload(ctx context.Context, namespace string, files []upload.File) (ids []string, err error) {
	client, err := c.newAPIClient(ctx, c.credentials, namespace, c.secret, uploadTimeout)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	path, err := c.journalPath(client.identity)
	if err != nil {
		return nil, err
	}
	journal, err := upload.OpenJournal(path)
	if errors.Is(err, upload.ErrInUse) {
		return nil, fmt.Errorf("another kubectl vsfb create uses the journal %s: wait until it is finished, or set --journal", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; set --journal to use another file", err)
	}
	defer func() { err = errors.Join(err, journal.Close()) }()

	progress := c.newProgress(files)
	progress.logf("Uploading %d files to %s.", len(files), client.target)
	uploader := upload.Uploader{
		Client: client, Journal: journal,
		Concurrency: c.concurrency, Attempts: c.attempts, SettleTime: c.settleTime,
		OnUploaded: progress.uploaded, Logf: progress.logf,
	}
	ids, err = uploader.Run(ctx, files)
	done := progress.close()
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%d of %d files uploaded; run the same command again to continue", err, done, len(files))
	}
	return ids, nil
}

// journalPath returns the path of the journal. Each endpoint and API key has its own journal, because
// file IDs are not valid elsewhere.
func (c *create) journalPath(identity string) (string, error) {
	if c.journal != "" {
		return c.journal, nil
	}
	directory := c.Env("XDG_STATE_HOME")
	if !filepath.IsAbs(directory) {
		home := c.Env("HOME")
		if !filepath.IsAbs(home) {
			return "", errors.New("no directory for the journal, because $HOME is not set: set --journal")
		}
		directory = filepath.Join(home, ".local", "state")
	}
	sum := sha256.Sum256([]byte(identity))
	return filepath.Join(directory, "kubectl-vsfb", "uploads-"+hex.EncodeToString(sum[:8])+".jsonl"), nil
}

// createObjects creates the objects, except in a client-side dry run, and prints them.
func (c *create) createObjects(ctx context.Context, client batchClient, objects []*v1alpha1.VectorStoreFileBatch) error {
	for _, b := range objects {
		operation := "created"
		if c.output.dryRun != dryRunClient {
			var err error
			if b, operation, err = c.createObject(ctx, client, b); err != nil {
				return err
			}
		}
		if err := c.output.printObject(c.Streams.Out, b, operation); err != nil {
			return err
		}
	}
	return nil
}

// createObject creates an object, unless it exists, and returns it with the operation.
func (c *create) createObject(ctx context.Context, client batchClient, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, string, error) {
	created, err := client.create(ctx, b, metav1.CreateOptions{FieldManager: createManager, DryRun: c.output.serverDryRun()})
	if err == nil {
		return created, "created", nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, "", fmt.Errorf("creating %s: %w", b.Name, err)
	}
	existing, err := client.get(ctx, b.Name)
	if err != nil {
		return nil, "", err
	}
	if !equalFiles(existing, b) {
		return nil, "", fmt.Errorf("%s already exists with other files or settings, which are immutable: choose another NAME", b.Name)
	}
	return existing, "unchanged", nil
}
