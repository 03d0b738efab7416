// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Root returns the root of the repository: the folder with PROJECT in it, at or above the working
// directory.
func Root() string {
	here, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return here
		}
	}
}

// Path returns the path of a file in the repository.
func Path(elements ...string) string {
	return filepath.Join(append([]string{Root()}, elements...)...)
}

// ReadFile reads a file in the repository.
func ReadFile(t testing.TB, elements ...string) string {
	t.Helper()
	content, err := os.ReadFile(Path(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// ReadYAML decodes a YAML or JSON file in the repository.
func ReadYAML(t testing.TB, into any, elements ...string) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(ReadFile(t, elements...)), into); err != nil {
		t.Fatalf("%s: %v", filepath.Join(elements...), err)
	}
}

// Glob returns the files that match patterns, relative to the root of the repository. The test ends if
// there are none.
func Glob(t testing.TB, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		paths, err := fs.Glob(os.DirFS(Root()), pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	if len(found) == 0 {
		t.Fatalf("%v match no file", patterns)
	}
	return found
}

// WriteFile writes a file into a folder, and returns its path.
func WriteFile(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Build builds programs of cmd/, such as "manager", into dir.
func Build(ctx context.Context, dir string, flags []string, programs ...string) error {
	if len(programs) == 0 {
		return nil
	}
	args := slices.Concat([]string{"build", "-o", dir + string(filepath.Separator)}, flags)
	for _, program := range programs {
		args = append(args, "./cmd/"+program)
	}
	_, err := Output(ctx, "go", args...)
	return err
}

// Output runs a program in the root of the repository, and returns what it writes to both outputs.
func Output(ctx context.Context, program string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = Root()
	text, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(string(text)), nil
}

// Tool returns the path of a program in bin/. The test is skipped if make has not built it.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := Path("bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("bin/%s is missing: `make bin/%s` builds it", name, name)
	}
	return path
}

// CommitSeed returns a seed for random tests that depends on the commit alone: a run that failed fails
// again, a commit that passed keeps passing, and the next commit tries another seed. Outside a git
// repository the seed is random.
func CommitSeed() uint64 {
	commit, err := Output(context.Background(), "git", "rev-parse", "HEAD")
	if err != nil {
		return rand.Uint64() //nolint:gosec // it protects no secret
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(commit)) // it never fails
	return hash.Sum64()
}
