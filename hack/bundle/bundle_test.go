// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apimanifests "github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	validationerrors "github.com/operator-framework/api/pkg/validation/errors"
)

// TestBundle_IsValid validates the bundle as `operator-sdk bundle validate --select-optional suite=operatorframework`
// does.
func TestBundle_IsValid(t *testing.T) {
	folder := t.TempDir()
	if err := generate("../..", "1.2.3", folder); err != nil {
		t.Fatal(err)
	}
	if problems := validate(t, folder); len(problems) > 0 {
		t.Errorf("the bundle is invalid:\n%s", strings.Join(problems, "\n"))
	}
}

// accepted are warnings that the project accepts.
var accepted = []string{
	"csv.Spec.Maintainers", // there are no addresses of persons in the project's files
	// The validator pulls the image with Docker, and it is not published.
	"unable to inspect the image", "node affinity configuration for the image",
	"Migrate the API(s) for events: ", // a rule has a group and no version; the operator uses events.k8s.io/v1
}

// validate returns the errors and the warnings of the validators.
func validate(t *testing.T, folder string) []string {
	t.Helper()
	bundle, err := apimanifests.GetBundleFromDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	validators := validation.AllValidators.WithValidators(
		validation.OperatorHubV2Validator, validation.StandardCapabilitiesValidator, validation.StandardCategoriesValidator,
		validation.GoodPracticesValidator,
	)
	var problems []string
	ran := 0
	for _, result := range validators.Validate(bundle, bundle.CSV, bundle.V1CRDs[0]) {
		ran++
		for _, problem := range append(append([]validationerrors.Error{}, result.Errors...), result.Warnings...) {
			if text := problem.Error(); !containsAny(text, accepted) {
				problems = append(problems, text)
			}
		}
	}
	if ran < 3 {
		t.Fatalf("only %d validators ran", ran)
	}
	return problems
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// TestBundle_InvalidIsReported breaks the bundle, which the validators must notice.
func TestBundle_InvalidIsReported(t *testing.T) {
	folder := t.TempDir()
	if err := generate("../..", "1.2.3", folder); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "manifests", project+".clusterserviceversion.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(content), "kind: VectorStoreFileBatch", "kind: Another", 1)
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if problems := validate(t, folder); len(problems) == 0 || broken == string(content) {
		t.Error("the validators report nothing")
	}
}

// TestBundle_IsUpToDate compares bundle/ with what is generated from dist/install.yaml.
func TestBundle_IsUpToDate(t *testing.T) {
	folder := t.TempDir()
	if err := generate("../..", "0.1.0", folder); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "bundle", name))
		if err != nil || string(got) != string(want) {
			t.Errorf("bundle/%s is outdated, run `make bundle`: %v", name, err)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("compared %d files: %v", files, err)
	}
}
