// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// flagUsage matches a flag in the output of package flag.
var flagUsage = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: (\S+))?\n((?:    \t.*\n)+)`)

// flags writes the manager's flags from its --help.
func (p *page) flags(root string) error {
	help, err := framework.Output(context.Background(), "go", "run", filepath.Join(root, "cmd", "manager"), "--help")
	if err != nil {
		return fmt.Errorf("reading the manager's flags: %w", err)
	}
	found := flagUsage.FindAllStringSubmatch(help+"\n", -1)
	if len(found) == 0 {
		return fmt.Errorf("no flags in the manager's --help: %s", help)
	}
	p.heading(2, "Manager flags")
	p.printf("The manager is configured by flags only; there is no configuration file. With `make run`, set `ARGS`; in a Deployment, set the container's `args`.\n")
	var rows [][]string
	for _, match := range found {
		rows = append(rows, []string{code("--" + match[1]), code(match[2]), strings.ReplaceAll(match[3], "<", "&lt;")})
	}
	p.table([]string{"flag", "value", "description"}, rows)
	return nil
}
