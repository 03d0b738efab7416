// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// index is the image of all platforms.
func (s settings) index(all []built) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range all {
		platform := b.platform
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: b.image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	annotated, isIndex := mutate.Annotations(index, s.labels()).(v1.ImageIndex)
	if !isIndex {
		return nil, fmt.Errorf("annotating the index gives a %T", annotated)
	}
	return annotated, nil
}

// saved is an entry of the manifest.json that `docker save` writes.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// archive writes an OCI image layout, which registries' tools and containerd read, with the
// manifest.json beside it that `docker load` has always read. The latter knows one platform: it
// names the first.
func (s settings) archive(w io.Writer, all []built, index v1.ImageIndex) error {
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	if err := s.addIndex(files, index); err != nil {
		return err
	}
	for i, b := range all {
		entry, err := addImage(files, b.image)
		if err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		entry.RepoTags = []string{s.familiar()}
		if files["manifest.json"], err = json.Marshal([]saved{entry}); err != nil {
			return fmt.Errorf("writing manifest.json: %w", err)
		}
	}
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: s.created}); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if _, err := out.Write(files[name]); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return out.Close()
}

// full is the name as container runtimes have it, and familiar as people write it. The library
// that parses names has another one for Docker's registry.
func (s settings) full() string {
	return strings.Replace(s.tag.Name(), "index.docker.io/", "docker.io/", 1)
}

func (s settings) familiar() string {
	return strings.TrimPrefix(strings.TrimPrefix(s.full(), "docker.io/"), "library/")
}

// addIndex adds the image of all platforms, and the layout's entry point, which names it.
func (s settings) addIndex(files map[string][]byte, index v1.ImageIndex) error {
	raw, err := index.RawManifest()
	if err != nil {
		return fmt.Errorf("reading the index: %w", err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("reading the index: %w", err)
	}
	files[blob(digest)] = raw
	entry := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIImageIndex, Digest: digest, Size: size,
		Annotations: map[string]string{
			"io.containerd.image.name":          s.full(),
			"org.opencontainers.image.ref.name": s.tag.TagStr(),
		},
	}}}
	if files["index.json"], err = json.Marshal(entry); err != nil {
		return fmt.Errorf("writing index.json: %w", err)
	}
	return nil
}

func addImage(files map[string][]byte, image v1.Image) (saved, error) {
	digest, err := image.Digest()
	if err != nil {
		return saved{}, fmt.Errorf("reading an image: %w", err)
	}
	if files[blob(digest)], err = image.RawManifest(); err != nil {
		return saved{}, fmt.Errorf("reading an image: %w", err)
	}
	config, err := image.ConfigName()
	if err != nil {
		return saved{}, fmt.Errorf("reading an image: %w", err)
	}
	if files[blob(config)], err = image.RawConfigFile(); err != nil {
		return saved{}, fmt.Errorf("reading an image: %w", err)
	}
	layers, err := image.Layers()
	if err != nil {
		return saved{}, fmt.Errorf("reading an image: %w", err)
	}
	entry := saved{Config: blob(config)}
	for _, layer := range layers {
		name, err := addLayer(files, layer)
		if err != nil {
			return saved{}, fmt.Errorf("reading a layer: %w", err)
		}
		entry.Layers = append(entry.Layers, name)
	}
	return entry, nil
}

func addLayer(files map[string][]byte, layer v1.Layer) (string, error) {
	digest, err := layer.Digest()
	if err != nil {
		return "", err
	}
	compressed, err := layer.Compressed()
	if err != nil {
		return "", err
	}
	defer func() { _ = compressed.Close() }()
	files[blob(digest)], err = io.ReadAll(compressed)
	return blob(digest), err
}

func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }
