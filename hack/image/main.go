// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image makes a container image of a program, without a daemon: the program, the
// licences of what is linked into it, and nothing else. The same source and the same Go make
// the same image, to the byte.
//
// It writes an archive that a registry's tools, a container runtime and `docker load` read, and
// for each platform a bill of materials (SPDX). With -push it also sends the image to a registry.
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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// settings are what the flags say.
type settings struct {
	// root is the folder of the module, and program a package of it.
	root, program string
	// tags are the build tags.
	tags string
	// tag is the image's name.
	tag name.Tag
	// about says what the program is, for people who find the image.
	about     string
	version   string
	revision  string
	created   time.Time
	platforms []v1.Platform
	output    string
	push      bool
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

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&s.root, "root", ".", "the `folder` of the program's module")
	flags.StringVar(&s.program, "program", "./cmd/manager", "the `package` of the program")
	flags.StringVar(&s.tags, "tags", "", "the build `tags`, separated by commas")
	tag := flags.String("tag", "vector-store-operator:dev", "the image's `name`")
	flags.StringVar(&s.about, "about", "Kubernetes operator for the file batches of OpenAI vector stores", "what the program is, in a `line`")
	flags.StringVar(&s.version, "version", "dev", "the program's `version`")
	flags.StringVar(&s.revision, "revision", "", "the `commit` that it is built from")
	created := flags.Int64("created", 0, "when it was made, in `seconds` since 1970: the commit's time, so that it is the same in each build")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "the `platforms` to build for, separated by commas")
	flags.StringVar(&s.output, "o", "bin/images", "the `folder` to write into")
	flags.BoolVar(&s.push, "push", false, "send the image to the registry that the tag names, with the credentials of ~/.docker/config.json")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s.created = time.Unix(*created, 0).UTC()
	for _, text := range strings.Split(*platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil || platform.OS != "linux" || platform.Architecture == "" {
			return settings{}, fmt.Errorf("-platforms has %q, want linux and an architecture, such as linux/amd64", text)
		}
		s.platforms = append(s.platforms, *platform)
	}
	var err error
	if s.tag, err = name.NewTag(*tag); err != nil {
		return settings{}, fmt.Errorf("-tag: %w", err)
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	built, err := build(ctx, s)
	if err != nil {
		return err
	}
	index, err := s.index(built)
	if err != nil {
		return err
	}
	if err := s.write(built, index); err != nil {
		return err
	}
	if s.push {
		if err := remote.WriteIndex(s.tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("sending the image: %w", err)
		}
	}
	return s.report(stdout, built, index)
}

// build makes the image of every platform.
func build(ctx context.Context, s settings) ([]built, error) {
	folder, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var all []built
	for _, platform := range s.platforms {
		b, err := s.buildFor(ctx, platform, filepath.Join(folder, platform.Architecture))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		all = append(all, b)
	}
	return all, nil
}

// base is what the files are called that belong to the image.
func (s settings) base() string {
	repository := s.tag.RepositoryStr()
	return repository[strings.LastIndex(repository, "/")+1:]
}

// write leaves the archive and the bills of materials in the output folder.
func (s settings) write(all []built, index v1.ImageIndex) error {
	if err := os.MkdirAll(s.output, 0o755); err != nil {
		return fmt.Errorf("making the folder for the image: %w", err)
	}
	for _, b := range all {
		bill, err := s.bill(b)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.billFile(b.platform), bill, 0o644); err != nil { //nolint:gosec // it is published
			return fmt.Errorf("writing a bill of materials: %w", err)
		}
	}
	file, err := os.Create(s.archiveFile())
	if err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	if err := errors.Join(s.archive(file, all, index), file.Close()); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

func (s settings) archiveFile() string { return filepath.Join(s.output, s.base()+".tar") }

func (s settings) billFile(platform v1.Platform) string {
	return filepath.Join(s.output, fmt.Sprintf("%s-%s-%s.spdx.json", s.base(), platform.OS, platform.Architecture))
}

// report says what was made. The last line is the digest that the image is known by.
func (s settings) report(w io.Writer, all []built, index v1.ImageIndex) error {
	var errs []error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	say("%s", s.archiveFile())
	for _, b := range all {
		size, err := b.size()
		errs = append(errs, err)
		say("  %-12s %5.1f MB to pull, %.1f MB unpacked, %d modules", b.platform, mega(size), mega(int64(len(b.program))), len(b.modules))
	}
	digest, err := index.Digest()
	say("%s@%s", s.tag.Name(), digest)
	return errors.Join(slices.Concat(errs, []error{err})...)
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }
