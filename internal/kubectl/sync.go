// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/sync"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// syncFolder implements the command sync.
type syncFolder struct {
	*plugin
	credentials credentialFlags
	selection   selectionFlags

	vectorStore string
	owner       string
	secret      string
	endpoint    string
	attributes  []string
	output      formatFlag

	dryRun, prune, allowEmpty bool
	retryFailed               bool
	maxPrune                  string
	withoutOperator           bool
	filesPerBatch             int
	chunkSize, chunkOverlap   int64
	ttl                       time.Duration

	timeout     time.Duration
	concurrency int
	attempts    int
	settleTime  time.Duration
	journal     string

	progress *progress
	// changing is true after the plan has something to do.
	changing bool
}

// The exit codes of sync beside exitFailed and exitPartial.
const (
	exitRefused     = 3
	exitWouldChange = 4
)

// gcPercent is the growth of the heap at which it is collected.
const gcPercent = 30

// callTimeout bounds the time of a request that is not an upload.
const callTimeout = time.Minute

const syncExample = `  # Show what would change
  kubectl vsfb sync docs/ --vector-store vs_abc123 --owner prod/handbook --dry-run

  # Make the vector store equal to the folder
  kubectl vsfb sync docs/ --vector-store vs_abc123 --owner prod/handbook --prune

  # In CI, without a cluster
  OPENAI_API_KEY=... kubectl vsfb sync docs/ --vector-store vs_abc123 --owner prod/handbook --prune --from-env --without-operator

  # Print the plan as JSON, for example for a comment on a pull request
  kubectl vsfb sync docs/ --vector-store vs_abc123 --owner prod/handbook --prune --dry-run -o json`

const syncLong = `Make the files of a vector store equal to a folder: upload and attach new and changed documents,
detach and delete the versions that they replace and, with --prune, the documents that the folder no
longer has.

Each file in the vector store has the attributes path and vsfb, the owner and the version of the document.
The list of the vector store's files is all that a run needs to know, so the result is the same from a
laptop, a CI job and another cluster. Files of other owners, and without one, are never changed: use
one --owner for each folder.

A document that changes is never missing from the vector store: its old version is removed after the new
one is processed. A run that is interrupted at any point is completed by the next one. A local record
of uploads lets that run also delete the files that the interrupted one left behind.

Nothing is changed if the list of the vector store's files is incomplete, if the folder is empty (unless
--allow-empty), or if more than --max-prune of the documents would be pruned. A document that exists, but
cannot be read or uploaded, is left out and named; its version in the vector store stays.

Files are attached by the operator, as VectorStoreFileBatches in the current namespace, or by the command
itself with --without-operator.

Exit codes: 0, the vector store is in step; 1, an error; 2, in step except for documents that failed or
were left out; 3, refused by a guard; with --dry-run 0, in step; 4, something would change.`

func (p *plugin) newSync() *cobra.Command {
	s := &syncFolder{plugin: p, output: newFormatFlag("text")}
	command := &cobra.Command{
		Use:     "sync FOLDER --vector-store ID --owner OWNER",
		Short:   "Make a vector store equal to a folder",
		Long:    syncLong,
		Example: syncExample,
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(command *cobra.Command, args []string) error { return s.run(command.Context(), args[0]) },
	}
	s.addFlags(command)
	return command
}

func (s *syncFolder) addFlags(command *cobra.Command) {
	flags := command.Flags()
	s.credentials.addFlags(flags)
	s.selection.addFlags(flags)
	flags.StringVar(&s.vectorStore, "vector-store", "", "ID of the vector store, such as vs_abc123.")
	flags.StringVar(&s.owner, "owner", "", "Name of the set of documents, such as prod/handbook. Files with another owner are never changed.")
	flags.StringVar(&s.secret, "secret", v1alpha1.DefaultCredentialsSecret, "Name of the Secret with the API key, for the upload and for spec.credentialsRef.")
	flags.StringVar(&s.endpoint, "endpoint", "", "Host, or base URL, that files may be sent to. Required for another host than api.openai.com if the input is not a terminal.")
	flags.StringArrayVar(&s.attributes, "attribute", nil, `Attribute of all files, as KEY=VALUE. Can be repeated. VALUE can be a number, true or false; quotes, as in 'version="5"', make it a string.`)
	s.output.addFlag(command)
	flags.BoolVar(&s.dryRun, "dry-run", false, "Print the plan, and change nothing.")
	flags.BoolVar(&s.prune, "prune", false, "Remove the documents of this owner that the folder does not have.")
	flags.BoolVar(&s.allowEmpty, "allow-empty", false, "Permit --prune to remove all documents because the folder has none. --max-prune applies too.")
	flags.StringVar(&s.maxPrune, "max-prune", fileset.DefaultMaxPrune.String(), "Maximum of documents that --prune may remove at once, as a number or a percentage of the documents of this owner.")
	flags.BoolVar(&s.retryFailed, "retry-failed", false, "Upload documents again that the server could not process in an earlier run.")
	flags.BoolVar(&s.withoutOperator, "without-operator", false, "Attach files without the operator, and without a cluster if --from-env is set.")
	flags.IntVar(&s.filesPerBatch, "files-per-batch", 500, "Maximum number of files in a batch, at most 2000. Some servers accept 100 or 500.")
	flags.Int64Var(&s.chunkSize, "chunk-size", 0, "Maximum size of a chunk, in tokens: 100 to 4096. By default, the server chooses. A change makes each document a new version.")
	flags.Int64Var(&s.chunkOverlap, "chunk-overlap", 0, "Number of tokens that adjacent chunks share: at most half of --chunk-size.")
	flags.DurationVar(&s.ttl, "ttl", 7*24*time.Hour, "Time after which the operator deletes the finished VectorStoreFileBatches of a run. The files stay.")
	flags.DurationVar(&s.timeout, "timeout", time.Hour, "Maximum duration of the run. The next run continues.")
	flags.IntVar(&s.concurrency, "concurrency", 8, "Number of parallel requests.")
	flags.IntVar(&s.attempts, "attempts", 8, "Advanced: maximum number of attempts for each request if the API is unavailable or limits the rate.")
	flags.DurationVar(&s.settleTime, "settle-time", settleTime, "Advanced: time after which the API lists every change.")
	flags.StringVar(&s.journal, "journal", "", "Advanced: path of the file that records uploads. Defaults to a file for each endpoint, vector store and owner in $XDG_STATE_HOME/kubectl-vsfb.")
	for _, name := range []string{"vector-store", "owner"} {
		_ = command.MarkFlagRequired(name) // fails only for an unknown flag
	}
	completeFlag(command, "vector-store", s.completeVectorStores)
}

func (s *syncFolder) validate() (fileset.Limit, error) {
	maxPrune, err := fileset.ParseLimit(s.maxPrune)
	if err != nil {
		return maxPrune, fmt.Errorf("--max-prune: %w", err)
	}
	if err := fileset.ValidateOwner(s.owner); err != nil {
		return maxPrune, fmt.Errorf("--owner: %w", err)
	}
	if !validID.MatchString(s.vectorStore) {
		return maxPrune, fmt.Errorf("--vector-store %q is not an ID: letters, digits and the characters _=-.: are valid, at most %d", s.vectorStore, v1alpha1.MaxIDLength)
	}
	return maxPrune, s.validateNumbers()
}

func (s *syncFolder) validateNumbers() error {
	for _, rule := range []struct {
		broken bool
		rule   string
	}{
		{s.concurrency < 1 || s.concurrency > 64, "--concurrency must be between 1 and 64"},
		{s.attempts < 1, "--attempts must be at least 1"},
		{s.settleTime < 0, "--settle-time must not be negative"},
		{s.timeout <= 0, "--timeout must be positive"},
		{s.ttl < 0 || s.ttl.Seconds() > math.MaxInt32, "--ttl must be between 0 and 68 years"},
		{s.filesPerBatch < 1 || s.filesPerBatch > maxFiles, fmt.Sprintf("--files-per-batch must be between 1 and %d", maxFiles)},
		{s.chunkSize != 0 && (s.chunkSize < 100 || s.chunkSize > 4096), "--chunk-size must be between 100 and 4096"},
		{s.chunkOverlap < 0 || 2*s.chunkOverlap > s.chunkSize, "--chunk-overlap must be at most half of --chunk-size"},
	} {
		if rule.broken {
			return errors.New(rule.rule)
		}
	}
	return nil
}

// chunking describes the chunking strategy, as for fileset.Version.
func (s *syncFolder) chunking() string {
	if s.chunkSize == 0 {
		return ""
	}
	return fmt.Sprintf("static %d %d", s.chunkSize, s.chunkOverlap)
}

func (s *syncFolder) staticChunking() *upstream.StaticChunking {
	if s.chunkSize == 0 {
		return nil
	}
	return &upstream.StaticChunking{MaxChunkSizeTokens: s.chunkSize, ChunkOverlapTokens: s.chunkOverlap}
}

// documentAttributes returns the attributes that the flags set.
func (s *syncFolder) documentAttributes() (map[string]any, error) {
	parsed, err := parseAttributes(s.attributes)
	if err != nil {
		return nil, err
	}
	if len(parsed) > fileset.MaxAttributes {
		return nil, fmt.Errorf("too many attributes: %d (maximum: %d)", len(parsed), fileset.MaxAttributes)
	}
	attributes := map[string]any{}
	for key, value := range parsed {
		if key == fileset.AttributePath || key == fileset.AttributeOwner {
			return nil, fmt.Errorf("--attribute %s is set by the command", key)
		}
		if attributes[key], err = value.Scalar(); err != nil {
			return nil, fmt.Errorf("--attribute %s %w", key, err)
		}
	}
	return attributes, nil
}

func (s *syncFolder) run(ctx context.Context, path string) error {
	maxPrune, err := s.validate()
	if err != nil {
		return err
	}
	attributes, err := s.documentAttributes()
	if err != nil {
		return err
	}
	// Lists of 10,000 files leave much garbage. Collecting it sooner costs less than the memory.
	debug.SetGCPercent(gcPercent)
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("not finished after --timeout %s; the next run continues", s.timeout))
	defer cancel()
	s.progress = s.newProgress()
	progress := s.progress
	started := time.Now()
	folder, closeFolder, err := s.scan(ctx, path, attributes, progress)
	if err != nil {
		progress.close()
		return s.explain(ctx, err)
	}
	defer closeFolder()
	report := newSyncReport(s, folder)
	err = s.runWith(ctx, sync.Options{
		VectorStore: s.vectorStore, Owner: s.owner, Documents: folder.Documents, Protected: folder.Protected(), Chunking: s.chunking(),
		Policy:        fileset.Policy{Prune: s.prune, AllowEmpty: s.allowEmpty, MaxPrune: maxPrune, RetryFailed: s.retryFailed},
		FilesPerBatch: s.filesPerBatch, Concurrency: s.concurrency, Attempts: s.attempts, SettleTime: s.settleTime, Progress: progress,
	}, attributes, report)
	progress.close()
	report.Summary.Seconds = time.Since(started).Round(100 * time.Millisecond).Seconds()
	return s.finish(ctx, report, err)
}

// scan scans and hashes the folder.
func (s *syncFolder) scan(ctx context.Context, path string, attributes map[string]any, progress sync.Progress) (sync.Folder, func(), error) {
	options, err := s.selection.options()
	if err != nil {
		return sync.Folder{}, nil, err
	}
	options.MaxKeyLength = fileset.MaxPathLength
	result, err := scan.Folder(ctx, path, options)
	if err != nil {
		return sync.Folder{}, nil, fmt.Errorf("reading FOLDER %s: %w", path, err)
	}
	closeFolder := func() { _ = result.Close() } // opened for reading only
	folder, err := sync.Hash(ctx, result, s.chunking(), attributes, progress)
	if err != nil {
		closeFolder()
	}
	return folder, closeFolder, err
}

// syncAPI is the API with another timeout for uploads.
type syncAPI struct {
	*openai.Client
	uploads *openai.Client
}

// Upload implements upstream.Uploader.
func (a syncAPI) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	return a.uploads.Upload(ctx, request)
}

// runWith runs with the options that need no connection.
func (s *syncFolder) runWith(ctx context.Context, o sync.Options, attributes map[string]any, report *syncReport) (err error) {
	namespace := ""
	if !s.credentials.fromEnv || !s.withoutOperator {
		if namespace, err = s.namespace(); err != nil {
			return err
		}
	}
	connection, source, err := s.findCredentials(ctx, s.credentials, namespace, s.secret)
	if err != nil {
		return err
	}
	client, err := s.dial(connection, source, s.credentials.allowInsecure, callTimeout)
	if err != nil {
		return err
	}
	defer client.Close()
	uploads, err := s.dial(connection, source, s.credentials.allowInsecure, uploadTimeout)
	if err != nil {
		return err
	}
	defer uploads.Close()
	o.API = syncAPI{client.Client, uploads.Client}
	if o.Attacher, err = s.newAttacher(client, attributes); err != nil {
		return err
	}
	journal := s.journal
	if journal == "" {
		directory, err := s.journalDirectory()
		if err != nil {
			return err
		}
		journal = filepath.Join(directory, "sync-"+digest(client.scope, s.vectorStore, s.owner)+".jsonl")
	}
	o.RecordPath = journal + ".files"
	if s.dryRun {
		return s.plan(ctx, o, journal, report)
	}
	if len(o.Documents) > 0 {
		if err := s.confirmEndpoint(ctx, client, s.endpoint, len(o.Documents)); err != nil {
			return err
		}
	}
	if o.Journal, err = s.openJournal(client, journal); err != nil {
		return err
	}
	o.OnPlan = func(plan fileset.Plan) {
		report.planned(plan)
		s.printPlan(report)
		s.changing = !plan.InStep() && len(plan.Refused()) == 0
	}
	outcome, err := o.Run(ctx)
	report.finished(outcome)
	return errors.Join(err, o.Journal.Close())
}

// plan makes a dry run.
func (s *syncFolder) plan(ctx context.Context, o sync.Options, journal string, report *syncReport) error {
	paths, err := upload.PathsIn(journal)
	if err != nil {
		return err
	}
	o.Uploaded = map[string]upload.Uploaded{}
	for id, path := range paths {
		o.Uploaded[id] = upload.Uploaded{Path: path}
	}
	plan, err := o.DryRun(ctx)
	if err != nil {
		return err
	}
	report.planned(plan)
	s.printPlan(report)
	if refused := plan.Refused(); len(refused) > 0 {
		return &sync.Guarded{Refused: refused}
	}
	return nil
}

func (s *syncFolder) newAttacher(client apiClient, attributes map[string]any) (sync.Attacher, error) {
	if s.withoutOperator {
		return &sync.Direct{
			Client: client, VectorStore: s.vectorStore, Owner: s.owner, Chunking: s.staticChunking(), Attempts: s.attempts,
		}, nil
	}
	batches, err := s.newBatchClient()
	if err != nil {
		return nil, fmt.Errorf("%w; --without-operator needs no cluster", err)
	}
	return &objectAttacher{syncFolder: s, client: batches, attributes: attributes}, nil
}

// explain returns the reason for which a run ended, if the context is done.
func (s *syncFolder) explain(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil && s.changing:
		return fmt.Errorf("%w\nrun the same command again to continue: it uploads nothing twice, and deletes the uploads that are not needed", err)
	case cause == nil:
		return err
	case errors.Is(cause, context.Canceled):
		return errors.New("interrupted; run the same command again to continue")
	default:
		return cause
	}
}

// finish prints the report, and returns the error with the exit code.
func (s *syncFolder) finish(ctx context.Context, report *syncReport, err error) error {
	var guarded *sync.Guarded
	switch {
	case errors.As(err, &guarded):
		report.Result = "refused"
		err = &exitError{code: exitRefused, err: err}
	case err != nil:
		report.Result, err = "failed", s.explain(ctx, err)
	case s.dryRun:
		if report.Result = "in step"; report.changes() > 0 {
			report.Result = "would change"
			err = &exitError{code: exitWouldChange}
		}
	default:
		report.Result = "in step"
		if incomplete := report.incomplete(); incomplete > 0 {
			report.Result = "in step, except for some documents"
			err = &exitError{code: exitPartial, err: fmt.Errorf("%s failed or left out; see above", counted(incomplete, "document", "documents"))}
		}
	}
	return errors.Join(err, s.printReport(report, report.plan != nil))
}
