// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package controlplane pins the control plane programs of the oldest supported Kubernetes.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
