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

// flagLine is how package flag says what a flag is.
var flagLine = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: (\S+))?\n((?:    \t.*\n)+)`)

// flags writes the manager's flags, as its --help says them.
func (p *page) flags(root string) error {
	command := exec.Command("go", "run", "./cmd/manager", "--help") //nolint:noctx // it ends by itself
	command.Dir = root
	help, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("asking the manager for its flags: %w: %s", err, bytes.TrimSpace(help))
	}
	found := flagLine.FindAllStringSubmatch(string(help), -1)
	if len(found) == 0 {
		return fmt.Errorf("the manager's --help shows no flags: %s", help)
	}
	p.heading(2, "Flags of the manager")
	p.say("Every setting is a flag, and there is no configuration file. With `make run`, give them as `ARGS`; in a Deployment, as the container's `args`.\n")
	var rows [][]string
	for _, match := range found {
		rows = append(rows, []string{code("--" + match[1]), code(match[2]), strings.ReplaceAll(match[3], "<", "&lt;")})
	}
	p.table([]string{"flag", "value", "meaning"}, rows)
	return nil
}
