// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package controlplane pins the programs of the control plane that the demo and the tests run.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
