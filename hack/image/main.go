// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image builds a reproducible container image of a Go program without a container runtime.
// The image contains the program and the licenses of the modules linked into it, and nothing else.
//
// It writes an archive that containerd, registry tools and `docker load` read, and an SBOM (SPDX)
// for each platform. With -push it also pushes the image to a registry.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// options holds the parsed flags.
type options struct {
	// root is the directory of the module, and program a package in it.
	root, program string
	// tags are the build tags.
	tags string
	// tag is the name of the image, with its tag.
	tag         name.Tag
	description string
	version     string
	revision    string
	created     time.Time
	platforms   []v1.Platform
	output      string
	push        bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", ".", "`directory` of the Go module")
	flags.StringVar(&o.program, "program", "./cmd/manager", "`package` of the program")
	flags.StringVar(&o.tags, "tags", "", "build `tags`, separated by commas")
	tag := flags.String("tag", "ghcr.io/vector-store-operator/vector-store-operator:dev", "`name` of the image, with its tag")
	flags.StringVar(&o.description, "about", "Kubernetes operator for the file batches of OpenAI vector stores", "`description` of the program, for the image's labels")
	flags.StringVar(&o.version, "version", "dev", "`version` of the program")
	flags.StringVar(&o.revision, "revision", "", "`commit` of the source")
	created := flags.Int64("created", 0, "creation time, in `seconds` since the Unix epoch; use the time of the commit, so that the image is reproducible")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "`platforms` to build for, separated by commas")
	flags.StringVar(&o.output, "o", "bin/images", "`directory` for the archive and the SBOMs")
	flags.BoolVar(&o.push, "push", false, "push the image to the registry in the tag, with the credentials in ~/.docker/config.json")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.created = time.Unix(*created, 0).UTC()
	for _, text := range strings.Split(*platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil || platform.OS != "linux" || platform.Architecture == "" {
			return options{}, fmt.Errorf("-platforms: invalid platform %q, want linux and an architecture, such as linux/amd64", text)
		}
		o.platforms = append(o.platforms, *platform)
	}
	var err error
	if o.tag, err = name.NewTag(*tag); err != nil {
		return options{}, fmt.Errorf("-tag: %w", err)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	images, err := o.build(ctx)
	if err != nil {
		return err
	}
	index, err := o.index(images)
	if err != nil {
		return err
	}
	if err := o.write(images, index); err != nil {
		return err
	}
	if o.push {
		if err := remote.WriteIndex(o.tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("pushing the image: %w", err)
		}
	}
	return o.report(stdout, images, index)
}

// build builds the image of every platform.
func (o options) build(ctx context.Context) ([]platformImage, error) {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, fmt.Errorf("creating a temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var images []platformImage
	for _, platform := range o.platforms {
		image, err := o.buildImage(ctx, platform, filepath.Join(dir, platform.Architecture))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		images = append(images, image)
	}
	return images, nil
}

// baseName returns the last element of the image name, which the names of the output files begin
// with.
func (o options) baseName() string {
	repository := o.tag.RepositoryStr()
	return repository[strings.LastIndex(repository, "/")+1:]
}

// write writes the archive and the SBOMs to the output directory.
func (o options) write(images []platformImage, index v1.ImageIndex) error {
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return fmt.Errorf("creating the output directory: %w", err)
	}
	for _, p := range images {
		sbom, err := o.sbom(p)
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.sbomFile(p.platform), sbom, 0o644); err != nil { //nolint:gosec // it is published
			return fmt.Errorf("writing an SBOM: %w", err)
		}
	}
	file, err := os.Create(o.archiveFile())
	if err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	if err := errors.Join(o.archive(file, images, index), file.Close()); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

func (o options) archiveFile() string { return filepath.Join(o.output, o.baseName()+".tar") }

func (o options) sbomFile(platform v1.Platform) string {
	return filepath.Join(o.output, fmt.Sprintf("%s-%s-%s.spdx.json", o.baseName(), platform.OS, platform.Architecture))
}

// report prints the archive, the sizes, and the image reference with its digest as the last line.
func (o options) report(w io.Writer, images []platformImage, index v1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("reading the digest: %w", err)
	}
	var text strings.Builder
	fmt.Fprintln(&text, o.archiveFile())
	for _, p := range images {
		size, err := p.pullSize()
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "  %-12s %5.1f MB compressed, program %.1f MB, %d modules\n",
			p.platform, megabytes(size), megabytes(int64(len(p.program))), len(p.modules))
	}
	fmt.Fprintf(&text, "%s@%s\n", o.tag.Name(), digest)
	_, err = io.WriteString(w, text.String())
	return err
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
