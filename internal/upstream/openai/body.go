// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
)

// body reads the body of a response. It decompresses it, and limits the bytes of both forms: a
// compressed body can be a thousand times longer than it looks, or as long as the server likes without
// any content.
type body struct {
	wire     io.Reader
	encoding string
	limit    int64

	// content is nil before the first read.
	content io.Reader
	// lost is the error of the connection, if there is one.
	lost error
	// html is true if the body begins as an HTML page does.
	html   bool
	begins bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.content == nil {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	n, err := b.content.Read(p)
	if text := bytes.TrimLeft(p[:n], " \t\r\n"); !b.begins && len(text) > 0 {
		b.begins, b.html = true, text[0] == '<'
	}
	return n, err
}

func (b *body) open() error {
	received := limitReader(connectionReader{b}, b.limit)
	switch strings.ToLower(b.encoding) {
	case "", "identity":
		b.content = received
	case "gzip", "x-gzip":
		decompressed, err := gzip.NewReader(received)
		if err != nil {
			return err
		}
		b.content = limitReader(decompressed, b.limit)
	default:
		return errors.New("it has an unknown Content-Encoding")
	}
	return nil
}

// connectionReader reads from the connection and records its errors.
type connectionReader struct{ *body }

func (r connectionReader) Read(p []byte) (int, error) {
	n, err := r.wire.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.lost = err
	}
	return n, err
}
