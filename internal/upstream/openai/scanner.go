// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxTokenBytes is the maximum length of a string or a number in a body. It bounds the memory of a
	// scanner, which keeps one of them.
	maxTokenBytes = 64 << 10
	// maxDepth is the maximum depth of objects and arrays in a body.
	maxDepth = 32
)

// limits are the limits of a body. They bound the time to read it: the memory that it takes depends on
// what a decoder keeps.
type limits struct {
	bytes  int64 // after decompression
	tokens int   // names, strings, numbers, literals, and both ends of objects and arrays
}

// limitError is the error of a body that exceeds a limit.
type limitError string

func (e limitError) Error() string { return string(e) }

var errNotJSON = errors.New("it is not a JSON object")

// scanner reads a JSON text from a stream. It keeps one token at a time.
type scanner struct {
	decoder *json.Decoder
	tokens  int // that are left
	depth   int
}

func newScanner(body io.Reader, tokens int) *scanner {
	window := &window{source: body}
	s := &scanner{decoder: json.NewDecoder(window), tokens: tokens}
	window.consumed = s.decoder.InputOffset
	s.decoder.UseNumber()
	return s
}

// next returns the next token. Its error is a limitError, errNotJSON, or that of the body.
func (s *scanner) next() (json.Token, error) {
	if s.tokens == 0 {
		return nil, limitError("it contains too many values")
	}
	s.tokens--
	token, err := s.decoder.Token()
	if err != nil {
		return nil, asSyntaxError(err)
	}
	switch token {
	case json.Delim('{'), json.Delim('['):
		s.depth++
	case json.Delim('}'), json.Delim(']'):
		s.depth--
	}
	if s.depth > maxDepth {
		return nil, limitError("its values are nested too deeply")
	}
	return token, nil
}

// asSyntaxError replaces the errors of the decoder, which quote the body.
func asSyntaxError(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNotJSON
	}
	return err
}

// skip reads the rest of the value that begins with a token.
func (s *scanner) skip(first json.Token) error {
	if first != json.Delim('{') && first != json.Delim('[') {
		return nil
	}
	for outside := s.depth - 1; s.depth > outside; {
		if _, err := s.next(); err != nil {
			return err
		}
	}
	return nil
}

// skipValue reads a value.
func (s *scanner) skipValue() error {
	first, err := s.next()
	if err != nil {
		return err
	}
	return s.skip(first)
}

// object reads a value. If it is an object, object calls field for each of its fields, which must read
// the value of the field. Otherwise, it returns false.
func (s *scanner) object(field func(name string) error) (bool, error) {
	first, err := s.next()
	if err != nil {
		return false, err
	}
	return s.objectFrom(first, field)
}

// objectFrom is like object for a value whose first token is read.
func (s *scanner) objectFrom(first json.Token, field func(name string) error) (bool, error) {
	if first != json.Delim('{') {
		return false, s.skip(first)
	}
	for {
		token, err := s.next()
		if err != nil {
			return true, err
		}
		name, ok := token.(string)
		if !ok {
			return true, nil // the end of the object
		}
		if err := field(name); err != nil {
			return true, err
		}
	}
}

// arrayFrom reads the rest of a value. If it is an array, arrayFrom calls element with the first token
// of each of its elements. The function must read the rest. Otherwise, arrayFrom returns false.
func (s *scanner) arrayFrom(first json.Token, element func(first json.Token) error) (bool, error) {
	if first != json.Delim('[') {
		return false, s.skip(first)
	}
	for {
		token, err := s.next()
		if err != nil {
			return true, err
		}
		if token == json.Delim(']') {
			return true, nil
		}
		if err := element(token); err != nil {
			return true, err
		}
	}
}

// root reads an object, which must be the first value of the text.
func (s *scanner) root(field func(name string) error) error {
	isObject, err := s.object(field)
	if err == nil && !isObject {
		return errNotJSON
	}
	return err
}

// document reads an object, which must be the only value of the text.
func (s *scanner) document(field func(name string) error) error {
	if err := s.root(field); err != nil {
		return err
	}
	return s.end()
}

// end returns an error if anything but space follows.
func (s *scanner) end() error {
	_, err := s.decoder.Token()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		return errNotJSON
	}
	return asSyntaxError(err)
}

// field is a field of an object.
type field[T any] struct {
	value T // the zero value if it is not valid
	count int
	null  bool
	valid bool
}

// read reads the value of a field. It is valid if it has the type T, and if it is the only one.
func (f *field[T]) read(s *scanner) error {
	token, err := s.next()
	if err != nil {
		return err
	}
	f.count++
	f.null = token == nil
	f.value, f.valid = token.(T)
	if f.count > 1 {
		f.value, f.valid = *new(T), false
	}
	return s.skip(token)
}

// empty reports whether the field is missing or null.
func (f *field[T]) empty() bool { return f.count == 0 || f.count == 1 && f.null }

// window limits the bytes that a decoder reads ahead, and so the memory that a token takes.
type window struct {
	source io.Reader
	read   int64
	// consumed returns the number of bytes in the tokens that the decoder returned.
	consumed func() int64
}

func (w *window) Read(p []byte) (int, error) {
	ahead := w.read - w.consumed()
	if ahead >= maxTokenBytes {
		return 0, limitError(fmt.Sprintf("it contains a value that is longer than %d bytes", maxTokenBytes))
	}
	n, err := w.source.Read(p[:min(int64(len(p)), maxTokenBytes-ahead)])
	w.read += int64(n)
	return n, err
}

// limitedReader returns an error after a number of bytes. Unlike io.LimitedReader, it distinguishes the end of
// the source from the limit.
type limitedReader struct {
	source      io.Reader
	left, limit int64
}

func limitReader(source io.Reader, limit int64) *limitedReader {
	return &limitedReader{source: source, left: limit, limit: limit}
}

func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left < 0 {
		return 0, r.exceeded() // a decoder drops an error that comes with bytes
	}
	// One more byte distinguishes the end of the source from the limit.
	n, err := r.source.Read(p[:min(int64(len(p)), r.left+1)])
	r.left -= int64(n)
	if r.left < 0 {
		return n - 1, r.exceeded()
	}
	return n, err
}

func (r *limitedReader) exceeded() error {
	return limitError(fmt.Sprintf("it is longer than %d bytes", r.limit))
}
