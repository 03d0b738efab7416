// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// storeCommand is what the commands that read a vector store share.
type storeCommand struct {
	*plugin
	credentials credentialFlags
	vectorStore string
	secret      string
	output      formatFlag
}

// readAttempts is the number of attempts for each request of a command that reads.
const readAttempts = 4

func (c *storeCommand) addFlags(command *cobra.Command) {
	flags := command.Flags()
	c.credentials.addFlags(flags)
	flags.StringVar(&c.vectorStore, "vector-store", "", "ID of the vector store, such as vs_abc123.")
	flags.StringVar(&c.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret with the API key.")
	c.output.addFlag(command)
	_ = command.MarkFlagRequired("vector-store") // fails only for an unknown flag
	completeFlag(command, "vector-store", c.completeVectorStores)
}

// connect returns a client for the vector store.
func (c *storeCommand) connect(ctx context.Context) (apiClient, error) {
	namespace := ""
	if !c.credentials.fromEnv {
		var err error
		if namespace, err = c.namespace(); err != nil {
			return apiClient{}, err
		}
	}
	return c.newAPIClient(ctx, c.credentials, namespace, c.secret, callTimeout)
}

// files implements the command files.
type files struct {
	storeCommand
	owner  string
	status string
}

// storeFile is a file in the output of files.
type storeFile struct {
	Path       string         `json:"path,omitempty"`
	Status     string         `json:"status"`
	Version    string         `json:"version,omitempty"`
	Owner      string         `json:"owner,omitempty"`
	Bytes      int64          `json:"bytes"`
	FileID     string         `json:"fileID"`
	AddedAt    time.Time      `json:"addedAt,omitzero"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Code       string         `json:"code,omitempty"`
	Message    string         `json:"message,omitempty"`
}

const filesExample = `  # List the files of a vector store
  kubectl vsfb files --vector-store vs_abc123

  # List those of one owner that failed
  kubectl vsfb files --vector-store vs_abc123 --owner prod/handbook --status failed

  # List the paths of all documents
  kubectl vsfb files --vector-store vs_abc123 -o json | jq -r '.[].path'`

func (p *plugin) newFiles() *cobra.Command {
	f := &files{storeCommand: storeCommand{plugin: p, output: newFormatFlag("table")}}
	command := &cobra.Command{
		Use:   "files --vector-store ID",
		Short: "List the files of a vector store",
		Long: `List the files of a vector store: the path, the status, the version and the owner that "kubectl vsfb sync"
sets as attributes, the bytes that the file uses in the vector store, and the ID. Files are sorted by path.`,
		Example:           filesExample,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(command *cobra.Command, _ []string) error { return f.run(command.Context()) },
	}
	f.addFlags(command)
	command.Flags().StringVar(&f.owner, "owner", "", "List only the files of this owner.")
	command.Flags().StringVar(&f.status, "status", "", "List only the files with this status: in_progress, completed, failed or cancelled.")
	completeFlag(command, "status", fixedCompletions("in_progress", "completed", "failed", "cancelled"))
	return command
}

func (f *files) run(ctx context.Context) error {
	client, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	var listed []storeFile
	err = upload.Retry(ctx, readAttempts, func(ctx context.Context) error {
		listed = []storeFile{}
		return client.StoreFiles(ctx, f.vectorStore, func(page []upstream.StoreFile) {
			for _, file := range page {
				if s := newStoreFile(file); (f.owner == "" || s.Owner == f.owner) && (f.status == "" || s.Status == f.status) {
					listed = append(listed, s)
				}
			}
		})
	})
	if err != nil {
		return fmt.Errorf("listing the files of vector store %s from %s: %w", f.vectorStore, client.target, err)
	}
	slices.SortFunc(listed, func(a, b storeFile) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.FileID, b.FileID))
	})
	// A file can be on two pages.
	listed = slices.CompactFunc(listed, func(a, b storeFile) bool { return a.FileID == b.FileID })
	return f.output.write(f.Streams.Out, listed, func() string { return f.table(listed) })
}

func newStoreFile(f upstream.StoreFile) storeFile {
	s := storeFile{
		FileID: f.ID, Status: string(f.Status), Bytes: f.Bytes, AddedAt: f.CreatedAt, Attributes: f.Attributes, Code: f.Code, Message: f.Message,
	}
	s.Path, _ = f.Attributes[fileset.AttributePath].(string)
	if owner, version, ok := fileset.ParseOwnerAttribute(f.Attributes[fileset.AttributeOwner]); ok {
		s.Owner, s.Version = owner, version
	}
	return s
}

// shortVersion is the number of digits of a version in a table.
const shortVersion = 12

func (f *files) table(listed []storeFile) string {
	if len(listed) == 0 {
		return "No files found.\n"
	}
	rows := [][]string{{"PATH", "STATUS", "VERSION", "OWNER", "BYTES", "FILE"}}
	for _, s := range listed {
		version := s.Version[:min(len(s.Version), shortVersion)]
		rows = append(rows, []string{s.Path, s.Status, version, s.Owner, fmt.Sprint(s.Bytes), s.FileID})
	}
	t, _ := f.newTable(f.Streams.Out)
	return strings.Join(t.section(rows), "\n") + "\n"
}

// search implements the command search.
type search struct {
	storeCommand
	limit  int
	filter []string
}

// searchResult is a result in the output of search.
type searchResult struct {
	Score      float64        `json:"score"`
	Path       string         `json:"path,omitempty"`
	Filename   string         `json:"filename"`
	FileID     string         `json:"fileID"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Text       string         `json:"text"`
}

const searchExample = `  # Ask a question
  kubectl vsfb search --vector-store vs_abc123 "How many days of vacation do I have?"

  # Search in one document only
  kubectl vsfb search --vector-store vs_abc123 --filter path=hr/vacation.md "carry over"`

func (p *plugin) newSearch() *cobra.Command {
	s := &search{storeCommand: storeCommand{plugin: p, output: newFormatFlag("text")}}
	command := &cobra.Command{
		Use:   "search --vector-store ID QUERY",
		Short: "Search in a vector store",
		Long: `Search in a vector store, as an application does, and print the passages that were found, best first.
A search costs money on some servers.`,
		Example:           searchExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(command *cobra.Command, args []string) error { return s.run(command.Context(), args[0]) },
	}
	s.addFlags(command)
	command.Flags().IntVar(&s.limit, "limit", 5, "Maximum number of results, at most 50.")
	command.Flags().StringArrayVar(&s.filter, "filter", nil, "Attribute that results must have, as KEY=VALUE. Can be repeated. VALUE can be a number, true or false.")
	return command
}

func (s *search) run(ctx context.Context, query string) error {
	const maxResults = 50
	if s.limit < 1 || s.limit > maxResults {
		return fmt.Errorf("--limit must be between 1 and %d", maxResults)
	}
	if strings.TrimSpace(query) == "" {
		return errors.New("QUERY is empty")
	}
	filters, err := s.filters()
	if err != nil {
		return err
	}
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	var found []upstream.SearchResult
	err = upload.Retry(ctx, readAttempts, func(ctx context.Context) (err error) {
		found, err = client.Search(ctx, s.vectorStore, upstream.SearchRequest{Query: query, Limit: s.limit, Filters: filters})
		return err
	})
	if err != nil {
		return fmt.Errorf("searching in vector store %s at %s: %w", s.vectorStore, client.target, err)
	}
	results := []searchResult{}
	for _, r := range found {
		results = append(results, newSearchResult(r))
	}
	return s.output.write(s.Streams.Out, results, func() string { return s.text(results) })
}

// filters returns the filter of the API.
func (s *search) filters() (any, error) {
	parsed, err := parseAttributes(s.filter)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "--attribute", "--filter"))
	}
	var all []any
	for _, key := range slices.Sorted(maps.Keys(parsed)) {
		value, err := parsed[key].Scalar()
		if err != nil {
			return nil, fmt.Errorf("--filter %s %w", key, err)
		}
		all = append(all, map[string]any{"type": "eq", "key": key, "value": value})
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return map[string]any{"type": "and", "filters": all}, nil
}

func newSearchResult(r upstream.SearchResult) searchResult {
	path, _ := r.Attributes[fileset.AttributePath].(string)
	// The ID of a result is another one on OGX.
	id, _ := r.Attributes["file_id"].(string)
	return searchResult{Score: r.Score, Path: path, Filename: r.Filename, FileID: cmp.Or(id, r.FileID), Attributes: r.Attributes, Text: r.Text}
}

// maxPassageLines is the number of lines of a passage in the text output.
const maxPassageLines = 6

func (s *search) text(results []searchResult) string {
	if len(results) == 0 {
		return "Nothing found.\n"
	}
	t, _ := s.newTable(s.Streams.Out)
	var text strings.Builder
	for i, r := range results {
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "%s  %.3f\n", t.paint(terminal.Bold, terminal.Escape(cmp.Or(r.Path, r.Filename, r.FileID))), r.Score)
		lines := strings.Split(strings.TrimSpace(r.Text), "\n")
		for n, line := range lines {
			if n == maxPassageLines {
				text.WriteString("  …\n")
				break
			}
			fmt.Fprintf(&text, "  %s\n", terminal.Escape(strings.TrimRight(line, "\r")))
		}
	}
	return text.String()
}
