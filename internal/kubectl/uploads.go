// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	filesync "github.com/vector-store-operator/vector-store-operator/internal/kubectl/sync"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// uploads implements the command uploads.
type uploads struct {
	*plugin
	credentials credentialFlags
	secret      string
	journal     string
	output      formatFlag

	deleteUnused   bool
	yes            bool
	withoutCluster bool
}

const uploadsExample = `  # List the files that "kubectl vsfb create" uploaded from this machine, and what uses them
  kubectl vsfb uploads

  # Delete those that nothing uses
  kubectl vsfb uploads --delete-unused

  # Delete those of a folder, without a question
  kubectl vsfb uploads --delete-unused --yes docs/`

func (p *plugin) newUploads() *cobra.Command {
	u := &uploads{plugin: p, output: newFormatFlag("table")}
	command := &cobra.Command{
		Use:   "uploads [PATH...]",
		Short: "List the files that create uploaded, and delete those that nothing uses",
		Long: `List the files that "kubectl vsfb create" uploaded from this machine, as its local journal records them,
and what uses each of them: VectorStoreFileBatches of all namespaces, and all vector stores that the API key
can list. A PATH, a file or a folder, selects the files that were uploaded from there.

With --delete-unused, the command deletes the files that nothing uses, after a question. It does not know
whether a manifest in Git names a file, or an application uses it otherwise. It deletes nothing if it cannot
list all vector stores, or the objects of all namespaces. With -n, if you may not list all namespaces, only
the objects of that one count.

Files of "kubectl vsfb sync" are not listed: its next run deletes those that it does not need.`,
		Example: uploadsExample,
		RunE:    func(command *cobra.Command, args []string) error { return u.run(command.Context(), args) },
	}
	flags := command.Flags()
	u.credentials.addFlags(flags)
	flags.StringVar(&u.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret with the API key.")
	flags.StringVar(&u.journal, "journal", "", "Advanced: path of the file that records uploads. Defaults to a file for each endpoint, organization and project in $XDG_STATE_HOME/kubectl-vsfb.")
	u.output.addFlag(command)
	flags.BoolVar(&u.deleteUnused, "delete-unused", false, "Delete the files that nothing uses, and list them.")
	flags.BoolVarP(&u.yes, "yes", "y", false, "Delete without a question. Required if the input is not a terminal.")
	flags.BoolVar(&u.withoutCluster, "without-cluster", false, "Do not read VectorStoreFileBatches: only vector stores count.")
	return command
}

// uploadedFile is a file in the output of uploads.
type uploadedFile struct {
	FileID string `json:"fileID"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	// UsedBy are the vector stores and the objects that have the file.
	UsedBy []string `json:"usedBy"`
	// Gone is true if the API no longer lists the file.
	Gone bool `json:"gone,omitempty"`
	// Deleted is true if the command deleted the file.
	Deleted bool `json:"deleted,omitempty"`
}

func (u *uploads) run(ctx context.Context, paths []string) error {
	if u.yes && !u.deleteUnused {
		return errors.New("--yes requires --delete-unused")
	}
	namespace := ""
	if !u.credentials.fromEnv {
		var err error
		if namespace, err = u.namespace(); err != nil {
			return err
		}
	}
	client, err := u.newAPIClient(ctx, u.credentials, namespace, u.secret, callTimeout)
	if err != nil {
		return err
	}
	defer client.Close()
	journal, err := u.openJournal(client, u.journal)
	if err != nil {
		return err
	}
	return errors.Join(u.runWith(ctx, client, journal, paths), journal.Close())
}

// settleTime is the time after which the API lists an upload.
const settleTime = 10 * time.Second

func (u *uploads) runWith(ctx context.Context, client apiClient, journal *upload.Journal, paths []string) error {
	if u.deleteUnused {
		var lost []string
		err := u.resolveUploads(ctx, client, journal, readAttempts, settleTime, func(path string) { lost = append(lost, relative(path)) })
		if len(lost) > 0 {
			u.notef("%s", lostUploads(lost))
		}
		if err != nil {
			return err
		}
	}
	recorded, err := selectUploads(journal.Uploaded(), paths)
	if err != nil {
		return err
	}
	// The objects first: a batch that is created meanwhile is in the list of a vector store.
	objects, err := u.objectUses(ctx)
	if err != nil {
		return err
	}
	stores, err := newStoreUses(ctx, client)
	if err != nil {
		return err
	}
	for i, f := range recorded {
		recorded[i].UsedBy = append(append(recorded[i].UsedBy, stores.listed[f.FileID]...), objects[f.FileID]...)
		recorded[i].Gone = !stores.uploaded[f.FileID]
	}
	if u.deleteUnused {
		if recorded, err = u.delete(ctx, journal, stores, recorded); err != nil {
			return err
		}
	}
	return u.output.write(u.Streams.Out, recorded, func() string { return u.table(recorded) })
}

// selectUploads returns the recorded uploads of paths, sorted by path; without paths, all of them.
func selectUploads(recorded map[string]upload.Uploaded, paths []string) ([]uploadedFile, error) {
	var folders []string
	for _, path := range paths {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("resolving %s: %w", path, err)
		}
		folders = append(folders, absolute)
	}
	below := func(folder, path string) bool {
		inside, err := filepath.Rel(folder, path)
		return err == nil && filepath.IsLocal(inside)
	}
	selected := []uploadedFile{}
	for id, f := range recorded {
		if filesync.IsDocument(f.Path) {
			continue // sync deletes it
		}
		if len(folders) == 0 || slices.ContainsFunc(folders, func(folder string) bool { return below(folder, f.Path) }) {
			selected = append(selected, uploadedFile{FileID: id, Path: relative(f.Path), Bytes: f.Size, UsedBy: []string{}})
		}
	}
	slices.SortFunc(selected, func(a, b uploadedFile) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.FileID, b.FileID))
	})
	return selected, nil
}

// objectUses returns the VectorStoreFileBatches that have files, by the IDs of the files.
func (u *uploads) objectUses(ctx context.Context) (map[string][]string, error) {
	uses := map[string][]string{}
	if u.withoutCluster {
		return uses, nil
	}
	client, err := u.newBatchClient()
	if err != nil {
		return nil, fmt.Errorf("%w; --without-cluster needs none", err)
	}
	namespace := client.namespace
	client.namespace = metav1.NamespaceAll
	list, err := client.list(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) && u.explicitNamespace() != "" {
		u.notef("Objects of other namespaces than %s are not considered: %v", namespace, err)
		client.namespace = namespace
		list, err = client.list(ctx, metav1.ListOptions{})
	}
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w; with -n, only the objects of one namespace are considered", err)
	case err != nil:
		return nil, fmt.Errorf("%w; --without-cluster needs none", err)
	}
	for i := range list.Items {
		b := &list.Items[i]
		for _, id := range fileIDsOf(b) {
			uses[id] = append(uses[id], fmt.Sprintf("vsfb %s/%s", b.Namespace, b.Name))
		}
	}
	return uses, nil
}

// delete deletes the files that nothing uses, and returns them.
func (u *uploads) delete(ctx context.Context, journal *upload.Journal, stores *storeUses, recorded []uploadedFile) ([]uploadedFile, error) {
	unused := slices.DeleteFunc(recorded, func(f uploadedFile) bool { return len(f.UsedBy) > 0 })
	if len(unused) == 0 {
		return unused, nil
	}
	var bytes int64
	var ids []string
	for _, f := range unused {
		bytes += f.Bytes
		ids = append(ids, f.FileID)
	}
	question := fmt.Sprintf("Delete %s (%s) that nothing uses at %s?", counted(len(unused), "file", "files"), formatBytes(bytes), stores.client.target)
	if !u.yes {
		yes, asked, err := u.ask(ctx, question)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w; nothing was deleted", err)
		case !asked:
			return nil, fmt.Errorf("%s would be deleted: set --yes to do that without a question", counted(len(unused), "file", "files"))
		case !yes:
			return nil, errors.New("not confirmed; nothing was deleted")
		}
	}
	removed, err := stores.deleteUnused(ctx, journal, ids)
	for i, f := range unused {
		unused[i].Deleted = removed[f.FileID]
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%d of %d files deleted", err, len(removed), len(unused))
	}
	return unused, nil
}

func (u *uploads) table(files []uploadedFile) string {
	if len(files) == 0 {
		return "No files found.\n"
	}
	rows := [][]string{{"PATH", "BYTES", "FILE", "USED BY"}}
	if u.deleteUnused {
		rows[0][3] = "STATE"
	}
	for _, f := range files {
		use := strings.Join(f.UsedBy, ", ")
		switch {
		case f.Deleted:
			use = "deleted"
		case u.deleteUnused:
			use = "kept: it is used"
		case f.Gone && use == "":
			use = "(the API does not list it)"
		}
		rows = append(rows, []string{f.Path, fmt.Sprint(f.Bytes), f.FileID, use})
	}
	t, _ := u.newTable(u.Streams.Out)
	return strings.Join(t.section(rows), "\n") + "\n"
}
