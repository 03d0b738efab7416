// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

// WriteProxyKubeconfig writes a kubeconfig for a proxy at a URL, which authenticates by itself.
func WriteProxyKubeconfig(file, url string) error {
	return writeKubeconfig(file, &clientcmdapi.Cluster{Server: url}, nil)
}
