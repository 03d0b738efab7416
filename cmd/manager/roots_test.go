// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
)

// TestUpstreamIsTrustedWhereTheSystemTrustsNobody runs itself again as it would run in the
// image, where there is no file with certificate authorities.
func TestUpstreamIsTrustedWhereTheSystemTrustsNobody(t *testing.T) {
	const inside = "IN_AN_EMPTY_IMAGE"
	if os.Getenv(inside) == "" {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
		command.Env = append(os.Environ(), inside+"=1", "SSL_CERT_FILE="+os.DevNull, "SSL_CERT_DIR="+t.TempDir())
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		return
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if pool.Equal(x509.NewCertPool()) {
		t.Error("no certificate authority is known, so no upstream could be reached")
	}
}
