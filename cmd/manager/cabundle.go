// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// readCABundle returns the CA certificates in the files of a directory, PEM-encoded. It ignores names
// that begin with a dot: in a mounted ConfigMap or Secret, the other names are links to them.
func readCABundle(directory string) (string, error) {
	if directory == "" {
		return "", nil
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return "", err
	}
	var bundle strings.Builder
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			return "", err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(content) {
			return "", fmt.Errorf("%s contains no PEM-encoded certificate", entry.Name())
		}
		bundle.Write(content)
		bundle.WriteByte('\n')
	}
	if bundle.Len() == 0 {
		return "", errors.New("the directory contains no files")
	}
	return bundle.String(), nil
}
