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

// makeImage runs the program for the manager, for this machine's architecture, and gives the folder
// with what it wrote and the reference that it printed last.
func makeImage(t *testing.T, root string, more ...string) (folder, reference string) {
	t.Helper()
	folder = t.TempDir()
	var output bytes.Buffer
	args := append([]string{"-root", root, "-o", folder, "-created", created, "-tags", "grpcnotrace", "-version", "v1.2.3",
		"-revision", "abc", "-platforms", "linux/" + runtime.GOARCH}, more...)
	if err := run(t.Context(), args, &output); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(output.String()), "\n")
	return folder, lines[len(lines)-1]
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestTheSameSourceMakesTheSameImage builds from two folders, one of which is a copy of what
// git knows of the other, with other settings of the machine.
func TestTheSameSourceMakesTheSameImage(t *testing.T) {
	here, first := makeImage(t, repository(t))
	elsewhere := copySource(t)
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOAMD64", "v2")
	t.Setenv("TZ", "Pacific/Auckland")
	there, second := makeImage(t, elsewhere)
	t.Log(first)
	if first != second {
		t.Errorf("the second build gives %s", second)
	}
	for _, file := range []string{"vector-store-operator.tar", "vector-store-operator-linux-" + runtime.GOARCH + ".spdx.json"} {
		if !bytes.Equal(contentOf(t, here, file), contentOf(t, there, file)) {
			t.Errorf("%s differs", file)
		}
	}
}

func copySource(t *testing.T) string {
	t.Helper()
	root, folder := repository(t), t.TempDir()
	command := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	command.Dir = root
	files, err := command.Output()
	if err != nil {
		t.Skipf("git does not know this folder: %v", err)
	}
	for file := range strings.SplitSeq(strings.TrimRight(string(files), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func contentOf(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpack writes an archive's files into a folder, as a tool that reads a layout wants them.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	folder := t.TempDir()
	for name, file := range entriesOf(t, bytes.NewReader(contentOf(t, archive))) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), file.content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
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

// image is the only image of an archive.
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

// TestTheImageHoldsTheProgramAndTexts looks at every file of the image.
func TestTheImageHoldsTheProgramAndTexts(t *testing.T) {
	folder, _ := makeImage(t, repository(t))
	made := image(t, filepath.Join(folder, "vector-store-operator.tar"))
	config, err := made.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/manager"}) || len(config.Config.Env) != 0 {
		t.Errorf("it runs %v as %s with %v", config.Config.Entrypoint, config.Config.User, config.Config.Env)
	}
	for _, label := range []string{"title", "description", "version", "revision", "created", "licenses", "source", "url", "documentation"} {
		if config.Config.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("it has no label %s", label)
		}
	}
	files := entriesOf(t, mutate.Extract(made))
	for name, file := range files {
		if complaint := complain(name, file); complaint != "" {
			t.Errorf("%s (mode %o, of %d:%d) %s", name, file.Mode, file.Uid, file.Gid, complaint)
		}
	}
	for _, text := range []string{"licenses/github.com/vector-store-operator/vector-store-operator/LICENSE", "licenses/std@" + strings.TrimPrefix(runtime.Version(), "go") + "/LICENSE"} {
		if len(files[text].content) == 0 {
			t.Errorf("%s is missing", text)
		}
	}
	isStatic(t, files["manager"].content)
}

// complain says what is wrong with a file of the image.
func complain(name string, file entry) string {
	isFolder, isProgram := file.Typeflag == tar.TypeDir, name == "manager"
	switch {
	case file.Mode&0o7222 != 0, file.Uid != 0, file.Gid != 0:
		return "can be written by somebody, or makes somebody of who runs it"
	case !isFolder && !isProgram && file.Mode&0o111 != 0:
		return "can be executed"
	case !isFolder && file.Typeflag != tar.TypeReg:
		return "is neither a file nor a folder"
	case !isProgram && name != "licenses" && !strings.HasPrefix(name, "licenses/"):
		return "is there, and nobody knows why"
	default:
		return ""
	}
}

// isStatic looks for the loader that a program would ask for, and the image does not have.
func isStatic(t *testing.T, program []byte) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
}

// TestTheArchiveIsReadByBoth reads it as `docker load` does, and compares with the layout.
func TestTheArchiveIsReadByBoth(t *testing.T) {
	folder, _ := makeImage(t, repository(t), "-program", "./cmd/emulator", "-tag", "example.com/team/emulator:v1")
	archive := filepath.Join(folder, "emulator.tar")
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
		t.Errorf("docker load would get %s, and the layout has %s (%v)", got, want, err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(contentOf(t, unpack(t, archive), "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != "example.com/team/emulator:v1" {
		t.Errorf("containerd would call it %q", got)
	}
}

// TestARegistryTakesTheImage sends it to a registry, and asks that for it.
func TestARegistryTakesTheImage(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	_, reference := makeImage(t, repository(t), "-program", "./cmd/emulator", "-push",
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
		t.Errorf("the registry has %s (%v), and the program said %s", got, err, digest)
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

// TestTheBillNamesWhatIsLinked reads the bill with its own parser, and holds it against what
// the program in the image says of itself.
func TestTheBillNamesWhatIsLinked(t *testing.T) {
	folder, _ := makeImage(t, repository(t))
	document, err := spdx.Read(bytes.NewReader(contentOf(t, folder, "vector-store-operator-linux-"+runtime.GOARCH+".spdx.json")))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		t.Error(err)
	}
	made := image(t, filepath.Join(folder, "vector-store-operator.tar"))
	digest, err := made.Digest()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(entriesOf(t, mutate.Extract(made))["manager"].content))
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
				t.Errorf("the bill is of image %s, and the image is %s", p.PackageChecksums[0].Value, digest.Hex)
			}
		case p.PackageLicenseConcluded == "" || p.PackageLicenseConcluded == unsaid:
			t.Errorf("%s has no licence", p.PackageName)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the bill names %v, and the program %v", got, want)
	}
	t.Logf("%d modules", len(want)-1)
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"-tag":          {"-tag", "Not A Name"},
		"-platforms":    {"-platforms", "windows/amd64"},
		"unexpected":    {"more"},
		"./cmd/nothing": {"-root", repository(t), "-program", "./cmd/nothing", "-o", t.TempDir()},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: got the error %v, want one that names %s", args, err, name)
		}
	}
}
