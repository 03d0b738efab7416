// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

// nonblock has no meaning: folders contain no pipes on Windows.
const nonblock = 0
