// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/vector-store-operator/vector-store-operator/hack/image/inventory"
)

const unsaid = "NOASSERTION"

// bill is the bill of materials of an image: the image, the program in it, and every module
// that is linked into that, in SPDX 2.3.
func (s settings) bill(b built) ([]byte, error) {
	digest, err := b.image.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	sum := sha256.Sum256(b.program)
	image := &v2_3.Package{
		PackageName: s.base(), PackageSPDXIdentifier: "Image", PackageVersion: s.version,
		PackageDownloadLocation: unsaid, PackageLicenseConcluded: unsaid, PackageLicenseDeclared: "Apache-2.0", PackageCopyrightText: unsaid,
		PackageChecksums:          []common.Checksum{{Algorithm: common.SHA256, Value: digest.Hex}},
		PackageExternalReferences: purl(fmt.Sprintf("pkg:oci/%s@%s?arch=%s", s.base(), url.QueryEscape(digest.String()), b.platform.Architecture)),
		PrimaryPackagePurpose:     "CONTAINER",
	}
	document := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      fmt.Sprintf("%s-%s-%s", s.base(), b.platform.OS, b.platform.Architecture),
		DocumentNamespace: home + "/spdx/" + digest.Hex,
		CreationInfo: &v2_3.CreationInfo{
			Created:  s.created.Format("2006-01-02T15:04:05Z"),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "vector-store-operator-hack-image"}},
		},
		Packages:      []*v2_3.Package{image},
		Relationships: []*v2_3.Relationship{relate("DOCUMENT", common.TypeRelationshipDescribe, "Image")},
	}
	for _, m := range b.modules {
		p := s.material(m)
		if m.Version == "" {
			p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(sum[:])}}
			p.PrimaryPackagePurpose = "APPLICATION"
		}
		document.Packages = append(document.Packages, p)
		document.Relationships = append(document.Relationships, relate("Image", common.TypeRelationshipContains, p.PackageSPDXIdentifier))
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		return nil, fmt.Errorf("checking the bill of materials: %w", err)
	}
	var text bytes.Buffer
	if err := json.Write(document, &text, json.Indent("  ")); err != nil {
		return nil, fmt.Errorf("writing the bill of materials: %w", err)
	}
	return text.Bytes(), nil
}

// notInAnID is what an identifier of SPDX cannot have.
var notInAnID = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// material is a module as it stands in a bill. The program's own has the program's version.
func (s settings) material(m inventory.Module) *v2_3.Package {
	version := m.Version
	if version == "" {
		version = s.version
	}
	licenses := strings.Join(m.Licenses, " AND ")
	return &v2_3.Package{
		PackageName:               m.Path,
		PackageSPDXIdentifier:     common.ElementID("Module-" + notInAnID.ReplaceAllString(m.String(), "-")),
		PackageVersion:            version,
		PackageDownloadLocation:   unsaid,
		PackageLicenseConcluded:   licenses,
		PackageLicenseDeclared:    licenses,
		PackageCopyrightText:      unsaid,
		PackageExternalReferences: purl("pkg:golang/" + m.Path + "@" + url.PathEscape(version)),
		PrimaryPackagePurpose:     "LIBRARY",
	}
}

func purl(locator string) []*v2_3.PackageExternalReference {
	return []*v2_3.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: locator}}
}

func relate(a common.ElementID, how string, b common.ElementID) *v2_3.Relationship {
	return &v2_3.Relationship{RefA: common.MakeDocElementID("", string(a)), Relationship: how, RefB: common.MakeDocElementID("", string(b))}
}
