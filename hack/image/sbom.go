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

	"github.com/vector-store-operator/vector-store-operator/hack/image/gobuild"
)

const noAssertion = "NOASSERTION"

// sbom returns the SBOM of an image in SPDX 2.3: the image, the program, and every module that is
// linked into it.
func (o options) sbom(p platformImage) ([]byte, error) {
	digest, err := p.image.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	sum := sha256.Sum256(p.program)
	image := &v2_3.Package{
		PackageName: o.baseName(), PackageSPDXIdentifier: "Image", PackageVersion: o.version,
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: "Apache-2.0", PackageCopyrightText: noAssertion,
		PackageChecksums:          []common.Checksum{{Algorithm: common.SHA256, Value: digest.Hex}},
		PackageExternalReferences: purl(fmt.Sprintf("pkg:oci/%s@%s?arch=%s", o.baseName(), url.QueryEscape(digest.String()), p.platform.Architecture)),
		PrimaryPackagePurpose:     "CONTAINER",
	}
	document := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      fmt.Sprintf("%s-%s-%s", o.baseName(), p.platform.OS, p.platform.Architecture),
		DocumentNamespace: homepage + "/spdx/" + digest.Hex,
		CreationInfo: &v2_3.CreationInfo{
			Created:  o.created.Format("2006-01-02T15:04:05Z"),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "vector-store-operator-hack-image"}},
		},
		Packages:      []*v2_3.Package{image},
		Relationships: []*v2_3.Relationship{relate("DOCUMENT", common.TypeRelationshipDescribe, "Image")},
	}
	for _, m := range p.modules {
		module := o.modulePackage(m)
		if m.Version == "" {
			module.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(sum[:])}}
			module.PrimaryPackagePurpose = "APPLICATION"
		}
		document.Packages = append(document.Packages, module)
		document.Relationships = append(document.Relationships, relate("Image", common.TypeRelationshipContains, module.PackageSPDXIdentifier))
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		return nil, fmt.Errorf("validating the SBOM: %w", err)
	}
	var text bytes.Buffer
	if err := json.Write(document, &text, json.Indent("  ")); err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	return text.Bytes(), nil
}

// invalidInID matches what an SPDX identifier cannot contain.
var invalidInID = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// modulePackage returns the SPDX package of a module. The program's own module has the version of the
// program.
func (o options) modulePackage(m gobuild.Module) *v2_3.Package {
	version := m.Version
	if version == "" {
		version = o.version
	}
	licenses := strings.Join(m.Licenses, " AND ")
	return &v2_3.Package{
		PackageName:               m.Path,
		PackageSPDXIdentifier:     common.ElementID("Module-" + invalidInID.ReplaceAllString(m.String(), "-")),
		PackageVersion:            version,
		PackageDownloadLocation:   noAssertion,
		PackageLicenseConcluded:   licenses,
		PackageLicenseDeclared:    licenses,
		PackageCopyrightText:      noAssertion,
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
