// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check implements kubectl vsfb check. It examines three things: the installation of the
// operator in a cluster, the credentials that a Secret or the environment defines, and the behavior of
// the server that they name.
package check

// Status is the result of a check.
type Status string

// The values of Status.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	// Skipped means that the check could not be made, such as without a permission.
	Skipped Status = "skipped"
)

// Row is a check of the operator or of credentials.
type Row struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Message describes what was found and, unless Status is OK, the remedy. It contains no key.
	Message string `json:"message"`
}

// rows collects the results of checks.
type rows []Row

func (r *rows) add(check string, status Status, message string) {
	*r = append(*r, Row{Check: check, Status: status, Message: message})
}

// AnyFailed reports whether a check failed.
func AnyFailed(checked []Row) bool {
	for _, row := range checked {
		if row.Status == Failed {
			return true
		}
	}
	return false
}
