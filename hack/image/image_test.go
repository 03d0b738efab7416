// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	spdx "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
)

const created = "1700000000"

// buildImage builds the image of the manager for this machine's architecture. It returns the output
// directory and the image reference in the last line of the output.
func buildImage(t *testing.T, root string, more ...string) (dir, reference string) {
	t.Helper()
	dir = t.TempDir()
	var output bytes.Buffer
	args := append([]string{"-root", root, "-o", dir, "-created", created, "-tags", "grpcnotrace", "-version", "v1.2.3",
		"-revision", "abc", "-platforms", "linux/" + runtime.GOARCH}, more...)
	if err := run(t.Context(), args, &output); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(output.String()), "\n")
	return dir, lines[len(lines)-1]
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestImage_IsReproducible builds from the repository and from a copy of it, with another
// environment.
func TestImage_IsReproducible(t *testing.T) {
	here, first := buildImage(t, repository(t))
	elsewhere := copySource(t)
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOAMD64", "v2")
	t.Setenv("TZ", "Pacific/Auckland")
	there, second := buildImage(t, elsewhere)
	t.Log(first)
	if first != second {
		t.Errorf("the second build is %s", second)
	}
	for _, file := range []string{"vector-store-operator.tar", "vector-store-operator-linux-" + runtime.GOARCH + ".spdx.json"} {
		if !bytes.Equal(contentOf(t, here, file), contentOf(t, there, file)) {
			t.Errorf("%s differs", file)
		}
	}
}

func copySource(t *testing.T) string {
	t.Helper()
	root, dir := repository(t), t.TempDir()
	command := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	command.Dir = root
	files, err := command.Output()
	if err != nil {
		t.Skipf("not a git repository: %v", err)
	}
	for file := range strings.SplitSeq(strings.TrimRight(string(files), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted in the working tree
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func contentOf(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpack extracts an archive to a directory.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range entriesOf(t, bytes.NewReader(contentOf(t, archive))) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), file.content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type entry struct {
	tar.Header
	content []byte
}

func entriesOf(t *testing.T, r io.Reader) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	for reader := tar.NewReader(r); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		all[header.Name] = entry{*header, content}
	}
}

// image returns the first image of an archive.
func image(t *testing.T, archive string) v1.Image {
	t.Helper()
	entrypoint, err := layout.ImageIndexFromPath(unpack(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	outer, err := entrypoint.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := entrypoint.ImageIndex(outer.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := index.Image(inner.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestImage_ContainsProgramAndLicensesOnly(t *testing.T) {
	dir, _ := buildImage(t, repository(t))
	img := image(t, filepath.Join(dir, "vector-store-operator.tar"))
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/manager"}) || len(config.Config.Env) != 0 {
		t.Errorf("the image runs %v as %s with environment %v", config.Config.Entrypoint, config.Config.User, config.Config.Env)
	}
	for _, label := range []string{"title", "description", "version", "revision", "created", "licenses", "source", "url", "documentation"} {
		if config.Config.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("the image has no label %s", label)
		}
	}
	files := entriesOf(t, mutate.Extract(img))
	for name, file := range files {
		if err := checkEntry(name, file); err != nil {
			t.Errorf("%s (mode %o, owner %d:%d) %v", name, file.Mode, file.Uid, file.Gid, err)
		}
	}
	for _, text := range []string{"licenses/github.com/vector-store-operator/vector-store-operator/LICENSE", "licenses/std@" + strings.TrimPrefix(runtime.Version(), "go") + "/LICENSE"} {
		if len(files[text].content) == 0 {
			t.Errorf("%s is missing", text)
		}
	}
	requireStatic(t, files["manager"].content)
}

// checkEntry returns an error for a file that the image must not contain.
func checkEntry(name string, file entry) error {
	isDir, isProgram := file.Typeflag == tar.TypeDir, name == "manager"
	switch {
	case file.Mode&0o7222 != 0, file.Uid != 0, file.Gid != 0:
		return errors.New("is writable, setuid, setgid, or not owned by root")
	case !isDir && !isProgram && file.Mode&0o111 != 0:
		return errors.New("is executable")
	case !isDir && file.Typeflag != tar.TypeReg:
		return errors.New("is neither a file nor a directory")
	case !isProgram && name != "licenses" && !strings.HasPrefix(name, "licenses/"):
		return errors.New("is unexpected")
	default:
		return nil
	}
}

// requireStatic fails the test if the program needs a dynamic loader, which the image does not have.
func requireStatic(t *testing.T, program []byte) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range file.Progs {
		if header.Type == elf.PT_INTERP {
			t.Error("the program is not statically linked")
		}
	}
}

// TestArchive_DockerLoadAndLayoutMatch reads the archive as `docker load` does.
func TestArchive_DockerLoadAndLayoutMatch(t *testing.T) {
	dir, _ := buildImage(t, repository(t), "-program", "./cmd/emulator", "-tag", "example.com/team/emulator:v1")
	archive := filepath.Join(dir, "emulator.tar")
	tag, err := name.NewTag("example.com/team/emulator:v1")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := image(t, archive).ConfigName(); err != nil || got != want {
		t.Errorf("docker load gets %s, want %s as in the layout (error %v)", got, want, err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(contentOf(t, unpack(t, archive), "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != "example.com/team/emulator:v1" {
		t.Errorf("got image name %q for containerd", got)
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	_, reference := buildImage(t, repository(t), "-program", "./cmd/emulator", "-push",
		"-tag", strings.TrimPrefix(server.URL, "http://")+"/team/emulator:v1", "-platforms", "linux/amd64,linux/arm64")
	tag, digest, _ := strings.Cut(reference, "@")
	parsed, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := index.Digest(); err != nil || got.String() != digest {
		t.Errorf("the registry has %s (error %v), want the printed digest %s", got, err, digest)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"linux/amd64", "linux/arm64"} {
		if got := manifest.Manifests[i].Platform.String(); got != want {
			t.Errorf("image %d is for %s, want %s", i, got, want)
		}
	}
}

// TestSBOM_ListsLinkedModules compares the SBOM with the build information of the program in the
// image.
func TestSBOM_ListsLinkedModules(t *testing.T) {
	dir, _ := buildImage(t, repository(t))
	document, err := spdx.Read(bytes.NewReader(contentOf(t, dir, "vector-store-operator-linux-"+runtime.GOARCH+".spdx.json")))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		t.Error(err)
	}
	img := image(t, filepath.Join(dir, "vector-store-operator.tar"))
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(entriesOf(t, mutate.Extract(img))["manager"].content))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"vector-store-operator": "v1.2.3", info.Main.Path: "v1.2.3", "std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	got := map[string]string{}
	for _, p := range document.Packages {
		got[p.PackageName] = p.PackageVersion
		switch {
		case p.PackageName == "vector-store-operator":
			if p.PackageChecksums[0].Value != digest.Hex {
				t.Errorf("the SBOM has the image digest %s, want %s", p.PackageChecksums[0].Value, digest.Hex)
			}
		case p.PackageLicenseConcluded == "" || p.PackageLicenseConcluded == noAssertion:
			t.Errorf("%s has no license", p.PackageName)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the SBOM lists %v, want %v as in the program", got, want)
	}
	t.Logf("%d modules", len(want)-1)
}

func TestRun_RejectsInvalidOptions(t *testing.T) {
	for name, args := range map[string][]string{
		"-tag":          {"-tag", "Not A Name"},
		"-platforms":    {"-platforms", "windows/amd64"},
		"unexpected":    {"more"},
		"./cmd/nothing": {"-root", repository(t), "-program", "./cmd/nothing", "-o", t.TempDir()},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: got error %v, want it to contain %s", args, err, name)
		}
	}
}
