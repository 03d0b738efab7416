// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	quantity "k8s.io/apimachinery/pkg/api/resource"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// selectionFlags select the files of folders.
type selectionFlags struct {
	include, exclude []string
	extensions       []string
	maxFileSize      string
}

func (f *selectionFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.include, "include", nil, "Pattern of files to include, as in .gitignore. Can be repeated; a file must match one of them.")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "Pattern of files and folders to leave out, as in .gitignore. Can be repeated. Overrides .vsfbignore.")
	flags.StringSliceVar(&f.extensions, "allow-extension", nil, `Extension that the server accepts in addition to those of OpenAI, such as csv. Can be repeated. "*" allows all.`)
	flags.StringVar(&f.maxFileSize, "max-file-size", "512Mi", "Maximum size of a file that the server accepts.")
}

// options returns the options of a scan.
func (f *selectionFlags) options() (scan.Options, error) {
	size, err := quantity.ParseQuantity(f.maxFileSize)
	if err != nil || size.Value() < 1 {
		return scan.Options{}, fmt.Errorf("--max-file-size must be a size such as 100Mi, got %q", f.maxFileSize)
	}
	extensions := scan.Extensions()
	for _, extension := range f.extensions {
		if extension != scan.AnyExtension {
			extension = "." + strings.TrimPrefix(extension, ".")
		}
		extensions = append(extensions, extension)
	}
	return scan.Options{Include: f.include, Exclude: f.exclude, Extensions: extensions, MaxSize: size.Value()}, nil
}

// nameLeftOut names what is left out, and why. It counts what patterns exclude, because the user chose it.
func (p *plugin) nameLeftOut(leftOut []upload.LeftOut) {
	excluded := 0
	for _, l := range leftOut {
		if l.Reason == scan.Excluded {
			excluded++
			continue
		}
		p.notef("Leaving out %s", l)
	}
	if excluded > 0 {
		p.notef("Leaving out %s that patterns exclude.", counted(excluded, "file or folder", "files or folders"))
	}
}

// unexpected returns the number of files and folders that are left out although the user may want them.
func unexpected(leftOut []upload.LeftOut) int {
	return len(slices.DeleteFunc(slices.Clone(leftOut), func(l upload.LeftOut) bool { return l.Reason.Expected() }))
}

// leftOutError returns the error of a command that succeeded except for files that were left out.
func leftOutError(count int) error {
	if count == 0 {
		return nil
	}
	return &exitError{code: exitPartial, err: fmt.Errorf("%s left out; see above", counted(count, "file or folder was", "files or folders were"))}
}

// counted returns a number with a noun.
func counted(count int, singular, plural string) string {
	if count == 1 {
		return "1 " + singular
	}
	return fmt.Sprintf("%d %s", count, plural)
}
