// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// flagUsage matches a flag in the output of package flag.
var flagUsage = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: (\S+))?\n((?:    \t.*\n)+)`)

// flags writes the manager's flags from its --help.
func (p *page) flags(root string) error {
	command := exec.Command("go", "run", "./cmd/manager", "--help") //nolint:noctx // --help exits immediately
	command.Dir = root
	help, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running the manager with --help: %w: %s", err, bytes.TrimSpace(help))
	}
	found := flagUsage.FindAllStringSubmatch(string(help), -1)
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
