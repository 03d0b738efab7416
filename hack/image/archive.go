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

// noArtifact is an image whose entry in an index has no artifactType. The library derives one from the type of
// the configuration, and tools that do not know that field, such as older versions of skopeo, drop it when they
// copy the index, which changes its digest.
type noArtifact struct{ v1.Image }

func (noArtifact) ArtifactType() (string, error) { return "", nil }

// index returns the multi-platform image.
func (o options) index(images []platformImage) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: noArtifact{p.image}, Descriptor: v1.Descriptor{Platform: &p.platform}})
	}
	annotated := mutate.Annotations(index, o.labels())
	result, isIndex := annotated.(v1.ImageIndex)
	if !isIndex {
		return nil, fmt.Errorf("annotating the index returned a %T", annotated)
	}
	return result, nil
}

// dockerManifest is an entry of the manifest.json that `docker save` writes.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// archive writes an OCI image layout, which containerd and registry tools read, and the
// manifest.json that `docker load` reads. The latter supports one platform, so it has the first.
func (o options) archive(w io.Writer, images []platformImage, index v1.ImageIndex) error {
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	if err := o.addIndex(files, index); err != nil {
		return err
	}
	for i, p := range images {
		entry, err := addImage(files, p.image)
		if err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		entry.RepoTags = []string{o.shortName()}
		if files["manifest.json"], err = json.Marshal([]dockerManifest{entry}); err != nil {
			return fmt.Errorf("writing manifest.json: %w", err)
		}
	}
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: o.created}); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if _, err := out.Write(files[name]); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return out.Close()
}

// fullName returns the image name as containerd spells it. The library that parses names has another
// name for Docker Hub.
func (o options) fullName() string {
	return strings.Replace(o.tag.Name(), "index.docker.io/", "docker.io/", 1)
}

// shortName returns the image name as users of Docker spell it.
func (o options) shortName() string {
	return strings.TrimPrefix(strings.TrimPrefix(o.fullName(), "docker.io/"), "library/")
}

// addIndex adds the multi-platform image, and the index.json of the layout, which refers to it.
func (o options) addIndex(files map[string][]byte, index v1.ImageIndex) error {
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
			"io.containerd.image.name":          o.fullName(),
			"org.opencontainers.image.ref.name": o.tag.TagStr(),
		},
	}}}
	if files["index.json"], err = json.Marshal(entry); err != nil {
		return fmt.Errorf("writing index.json: %w", err)
	}
	return nil
}

func addImage(files map[string][]byte, image v1.Image) (dockerManifest, error) {
	digest, err := image.Digest()
	if err != nil {
		return dockerManifest{}, fmt.Errorf("reading an image: %w", err)
	}
	if files[blob(digest)], err = image.RawManifest(); err != nil {
		return dockerManifest{}, fmt.Errorf("reading an image: %w", err)
	}
	config, err := image.ConfigName()
	if err != nil {
		return dockerManifest{}, fmt.Errorf("reading an image: %w", err)
	}
	if files[blob(config)], err = image.RawConfigFile(); err != nil {
		return dockerManifest{}, fmt.Errorf("reading an image: %w", err)
	}
	layers, err := image.Layers()
	if err != nil {
		return dockerManifest{}, fmt.Errorf("reading an image: %w", err)
	}
	entry := dockerManifest{Config: blob(config)}
	for _, layer := range layers {
		name, err := addLayer(files, layer)
		if err != nil {
			return dockerManifest{}, fmt.Errorf("reading a layer: %w", err)
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
