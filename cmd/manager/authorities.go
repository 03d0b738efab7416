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

// readAuthorities joins the certificates of a folder, in PEM. Names that begin with a dot are
// left out: in a mounted ConfigMap or Secret they lead to the files that are there already.
func readAuthorities(folder string) (string, error) {
	if folder == "" {
		return "", nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(content) {
			return "", fmt.Errorf("%s contains no PEM-encoded certificate", entry.Name())
		}
		all.Write(content)
		all.WriteByte('\n')
	}
	if all.Len() == 0 {
		return "", errors.New("there is no file in it")
	}
	return all.String(), nil
}
