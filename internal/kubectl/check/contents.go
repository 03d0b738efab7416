// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// sample is a file whose extension or content some servers do not take.
type sample struct {
	suffix, content string
	// attach is the question whether the create is refused.
	attach string
	// fails is the question whether the file fails in its batch.
	fails string
}

// pixel is a PNG image of one pixel.
const pixel = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
	"\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"

// extensions attaches files with extensions that some servers refuse.
func (p *probe) extensions(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	for _, s := range []sample{
		{suffix: "-table.csv", content: "name,value\nfirst,1\n", attach: "attach_extensions_csv", fails: "failing_content_unsupported"},
		{suffix: "-image.png", content: pixel, attach: "attach_extensions_png", fails: "failing_content_image"},
		{suffix: "-header.h", content: "int first(void);\n", attach: "attach_extensions_h"},
		{suffix: "-none", content: "A file without an extension.\n", attach: "attach_extensions_none", fails: "failing_content_no_extension"},
	} {
		if _, _, err := p.attachSample(ctx, s); err != nil {
			return err
		}
	}
	return p.upperCase(ctx)
}

// attachSample uploads and attaches a file, alone, and answers its questions. It returns the file of the
// batch, or nil.
func (p *probe) attachSample(ctx context.Context, s sample) (upload, any, error) {
	refused := func(r response, call string) {
		for _, id := range []string{s.attach, s.fails} {
			if id != "" {
				p.unknown(id, call+" is refused: "+r.describe())
				p.details[id] = r.Message
			}
		}
	}
	file, err := p.upload(ctx, p.name(s.suffix), s.content)
	if err != nil {
		return file, nil, err
	}
	if file.id == "" {
		refused(file.sent, "the upload")
		return file, nil, nil
	}
	b, attached, err := p.attach(ctx, p.store, file.id, map[string]any{"text": "first"})
	if err != nil {
		return file, nil, err
	}
	if !b.accepted() {
		refused(b.created, "the create")
		if s.attach != "" {
			p.seeResponse(s.attach, true, b.created)
		}
		return file, nil, nil
	}
	if s.attach != "" {
		p.see(s.attach, false, outcome(attached))
	}
	if s.fails != "" {
		p.see(s.fails, textAt(attached, "status") == string(upstream.Failed), outcome(attached))
	}
	return file, attached, nil
}

// upperCase observes whether an extension in upper case is accepted.
func (p *probe) upperCase(ctx context.Context) error {
	const id = "any_extension_case"
	file, err := p.upload(ctx, p.name("-UPPER.TXT"), "A file with an extension in upper case.\n")
	if err != nil {
		return err
	}
	if file.id == "" {
		p.seeResponse(id, false, file.sent)
		return nil
	}
	b, attached, err := p.attach(ctx, p.store, file.id, nil)
	if err != nil {
		return err
	}
	if !b.accepted() {
		p.seeResponse(id, false, b.created)
		return nil
	}
	p.see(id, textAt(attached, "status") == string(upstream.Completed), outcome(attached))
	return nil
}

// contents attaches files whose content cannot be read.
func (p *probe) contents(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	var codes []string
	for _, s := range []sample{
		{suffix: "-empty.txt", fails: "failing_content_empty"},
		{suffix: "-blank.txt", content: " \n\n", fails: "failing_content_blank"},
		{suffix: "-broken.pdf", content: "This is no PDF.\n", fails: "failing_content_broken_pdf"},
	} {
		file, attached, err := p.attachSample(ctx, s)
		if err != nil {
			return err
		}
		if textAt(attached, "status") == string(upstream.Failed) {
			codes = append(codes, codeOf(attached))
			if p.failing.id == "" {
				p.failing = file
			}
		}
	}
	if len(codes) == 0 {
		return errRequired("no file failed")
	}
	p.see("failure_code", codes[0] == "server_error", codes[0])
	return nil
}

// reattach attaches files again, with other attributes.
func (p *probe) reattach(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	_, file, err := p.attach(ctx, p.store, p.second.id, map[string]any{"text": "again"})
	if err != nil {
		return err
	}
	text := textAt(file, "attributes", "text")
	p.see("reattach_skipped", strings.EqualFold(text, "value"), map[string]string{"value": "the old attributes", "again": "the new attributes"}[strings.ToLower(text)])
	if p.failing.id == "" {
		return errRequired("no file failed")
	}
	b, failed, err := p.attach(ctx, p.store, p.failing.id, map[string]any{"text": "again"})
	if err != nil {
		return err
	}
	p.seeResponse("reattach_failed_refused", !b.accepted(), b.created)
	if !b.accepted() {
		return errRequired("the create is refused")
	}
	text = textAt(failed, "attributes", "text")
	p.see("reattach_failed_skipped", text == "first", map[string]string{"first": "the old attributes", "again": "the new attributes"}[text]+", "+outcome(failed))
	return nil
}
