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
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// create is the command that uploads files and makes batches of them.
type create struct {
	*plugin
	format      *genericclioptions.PrintFlags
	credentials credentials

	vectorStore   string
	secret        string
	attributes    []string
	nameAttribute string
	dryRun        string

	concurrency int
	attempts    int
	settle      time.Duration
	journal     string
}

// uploadTimeout bounds one upload: 512 MB take 9 minutes at 1 MB a second.
const uploadTimeout = 15 * time.Minute

const createExample = `  # Upload a folder, and make a batch of it
  kubectl vsfb create handbook --vector-store vs_abc123 docs/

  # Upload what a glob finds, and print the manifest for Git
  kubectl vsfb create handbook --vector-store vs_abc123 'docs/**/*.md' --dry-run=client -o yaml > handbook.yaml

  # With attributes for filtering a search: one for all files, and each file's own path
  kubectl vsfb create handbook --vector-store vs_abc123 docs/ --attribute team=docs --path-attribute=path

  # With a key of one's own, and without a cluster
  OPENAI_API_KEY=... kubectl vsfb create handbook --vector-store vs_abc123 docs/ --from-env --dry-run=client -o yaml`

func (p *plugin) newCreate() *cobra.Command {
	c := &create{plugin: p, format: genericclioptions.NewPrintFlags("created").WithTypeSetter(scheme)}
	command := &cobra.Command{
		Use:   "create NAME --vector-store ID PATH...",
		Short: "Upload files, and make a batch of them",
		Long: `Upload files, and make a batch of them. A PATH is a file, a folder, whose files it stands for at
any depth, or a glob in quotes, where ** stands for any number of folders. Files without content,
and, in folders and globs, names that begin with a dot are left out.

The key is that of the Secret, which is read with your own rights. Where you may not read it, or
with --from-env, it is the OPENAI_API_KEY of the environment.

A batch has at most 2000 files. More of them become several objects, called NAME-1, NAME-2 and so
on, filled in the order of the files' paths.

A run that was interrupted, however that happened, can be run again, and uploads nothing twice: a
journal on your disk remembers each upload by the file's path, size and SHA-256, and what was on its
way is looked for in the upstream's list of files. Running it again when some files have changed
uploads those; as the files of an object cannot be changed, that takes a new NAME.

With --dry-run=client the files are uploaded, since a manifest needs their IDs, and nothing is
created in the cluster.`,
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
	c.format.AddFlags(command)
	c.credentials.addFlags(command.Flags())
	flags := command.Flags()
	flags.StringVar(&c.vectorStore, "vector-store", "", "The ID of the vector store, such as vs_abc123.")
	flags.StringVar(&c.secret, "secret", v1alpha1.DefaultCredentialsSecret, "The Secret with the key, for the upload and for the objects.")
	flags.StringArrayVar(&c.attributes, "attribute", nil, `An attribute for all files, as KEY=VALUE; repeatable. A VALUE that is a number, true or false is one; quotes, as in 'version="5"', make it a string.`)
	flags.StringVar(&c.nameAttribute, "path-attribute", "", "Give each file an attribute of this KEY with its path, as seen from here.")
	flags.StringVar(&c.dryRun, "dry-run", dryRunNone, `"client" uploads, and prints the objects instead of creating them; "server" uploads, and has the API server check them.`)
	flags.IntVar(&c.concurrency, "concurrency", 8, "How many files are uploaded at a time.")
	flags.IntVar(&c.attempts, "attempts", 8, "How often a file is tried, at most, when the upstream is busy or out of order.")
	flags.DurationVar(&c.settle, "settle-time", 10*time.Second, "How long an upload whose answer was lost is looked for before it is repeated.")
	flags.StringVar(&c.journal, "journal", "", "Where to remember what was uploaded (default: a file for each key and endpoint in $XDG_STATE_HOME/kubectl-vsfb).")
	_ = command.MarkFlagRequired("vector-store") // it is there
	complete(command, "dry-run", fixed(dryRunNone, dryRunClient, dryRunServer))
	complete(command, "output", fixed(c.format.AllowedFormats()...))
	complete(command, "vector-store", c.completeStores)
}

func (c *create) run(ctx context.Context, name string, paths []string) error {
	if err := c.check(); err != nil {
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
	files, err := c.files(paths)
	if err != nil {
		return err
	}
	p := plan{
		namespace: namespace, name: name, vectorStore: c.vectorStore, secret: c.secret,
		attributes: attributes, nameAttribute: c.nameAttribute, files: files,
	}
	if err := p.check(); err != nil {
		return err
	}
	// What the API server will not take is better known before thousands of uploads.
	if err := c.preflight(ctx, p); err != nil {
		return err
	}
	ids, err := c.upload(ctx, namespace, files)
	if err != nil {
		return err
	}
	return c.store(ctx, p.objects(ids))
}

func (c *create) check() error {
	switch {
	case c.concurrency < 1 || c.concurrency > 64:
		return errors.New("--concurrency must be 1 to 64")
	case c.attempts < 1:
		return errors.New("--attempts must be at least 1")
	case c.settle < 0:
		return errors.New("--settle-time must not be negative")
	}
	return checkDryRun(c.dryRun)
}

func (c *create) files(paths []string) ([]upload.File, error) {
	files, skipped, err := upload.Find(paths)
	if err != nil {
		return nil, err
	}
	if len(skipped) > 0 {
		_, _ = fmt.Fprintf(c.Streams.ErrOut, "Leaving out %d files without content: %s\n", len(skipped), some(skipped))
	}
	if len(files) == 0 {
		return nil, errors.New("there is nothing to upload: no PATH has a file with content")
	}
	return files, nil
}

// some names a few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

func (c *create) upload(ctx context.Context, namespace string, files []upload.File) (ids []string, err error) {
	access, err := c.dial(ctx, c.credentials, namespace, c.secret, uploadTimeout)
	if err != nil {
		return nil, err
	}
	defer access.client.Close()
	path, err := c.journalPath(access.identity)
	if err != nil {
		return nil, err
	}
	journal, err := upload.OpenJournal(path)
	if errors.Is(err, upload.ErrInUse) {
		return nil, fmt.Errorf("another kubectl vsfb create is uploading with the journal %s: wait until it ends, or give --journal", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; --journal names another place", err)
	}
	defer func() { err = errors.Join(err, journal.Close()) }()

	progress := c.newProgress(files)
	progress.note("Uploading %d files with %s.", len(files), access.source)
	uploader := upload.Uploader{
		Client: access.client, Journal: journal,
		Concurrency: c.concurrency, Attempts: c.attempts, Settle: c.settle,
		Uploaded: progress.uploaded, Note: progress.note,
	}
	ids, err = uploader.Run(ctx, files)
	done := progress.close()
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%d of %d files are uploaded; run the same command again to go on", err, done, len(files))
	}
	return ids, nil
}

// journalPath is one for each connection: the IDs of files mean nothing elsewhere.
func (c *create) journalPath(identity string) (string, error) {
	if c.journal != "" {
		return c.journal, nil
	}
	folder := c.Env("XDG_STATE_HOME")
	if !filepath.IsAbs(folder) {
		home := c.Env("HOME")
		if !filepath.IsAbs(home) {
			return "", errors.New("there is no home folder to keep the journal in: say where with --journal")
		}
		folder = filepath.Join(home, ".local", "state")
	}
	sum := sha256.Sum256([]byte(identity))
	return filepath.Join(folder, "kubectl-vsfb", "uploads-"+hex.EncodeToString(sum[:8])+".jsonl"), nil
}
