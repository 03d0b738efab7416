// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
)

// maxErrorTokens is the maximum number of tokens in the body of an error response.
const maxErrorTokens = 1000

// apiError is an error in a body.
type apiError struct {
	code, message string
	// own is true if the body is the error object of OpenAI.
	own bool
}

// statesMissing reports whether the API's own error states that an object does not exist. A path that the
// server does not know can be an error of the same form.
func (e apiError) statesMissing(id string) bool {
	code, message := strings.ToLower(e.code), strings.ToLower(e.message)
	switch {
	case !e.own || strings.Contains(message, "url") || strings.Contains(code, "url") || strings.Contains(e.message, "/"+id):
		return false
	case strings.Contains(code, "not_found"):
		return true
	default:
		return strings.Contains(e.message, id) || strings.Contains(message, "vector store") || strings.Contains(message, "vector_store")
	}
}

// decodeFailure decodes the body of an error response. It recognizes the error object of OpenAI,
// {"error": {"message", "code", "type"}}, and, in a body that is declared as JSON, the forms of
// compatible servers and of gateways before them:
//
//	{"error": "text"}
//	{"message": "text"}
//	{"detail": "text"}, and {"detail": [{"msg": "text"}]} for invalid requests
//
// It returns no message for any other body, because OPENAI_BASE_URL can name a service that is no API,
// and what that returns can be confidential.
func decodeFailure(s *scanner, declared bool) apiError {
	var object, text, message, detail failureText
	err := s.document(func(name string) error {
		switch name {
		case "error":
			first, err := s.next()
			if err != nil {
				return err
			}
			if first == json.Delim('{') {
				return object.readObject(s, first)
			}
			return text.read(s, first)
		case "message":
			return message.readNext(s)
		case "detail":
			return detail.readNext(s)
		}
		return s.skipValue()
	})
	switch {
	case err != nil:
		return apiError{}
	case object.message != "" || object.code != "":
		return apiError{code: object.code, message: object.message, own: true}
	case !declared:
		return apiError{}
	}
	for _, found := range []failureText{text, message, detail} {
		if found.message != "" {
			return apiError{message: found.message}
		}
	}
	return apiError{}
}

// failureText is what a value of an error response contains for users.
type failureText apiError

func (f *failureText) readNext(s *scanner) error {
	first, err := s.next()
	if err != nil {
		return err
	}
	return f.read(s, first)
}

// read reads a value: a text, an object with one, or a list of these, of which it uses the first.
func (f *failureText) read(s *scanner, first json.Token) error {
	switch first := first.(type) {
	case string:
		f.message = first
	case json.Delim:
		if first == '{' {
			return f.readObject(s, first)
		}
		_, err := s.arrayFrom(first, func(first json.Token) error {
			var element failureText
			err := element.read(s, first)
			if f.message == "" {
				f.message = element.message
			}
			return err
		})
		return err
	}
	return nil
}

func (f *failureText) readObject(s *scanner, first json.Token) error {
	var message, msg, text, code, kind any
	into := map[string]*any{"message": &message, "msg": &msg, "error": &text, "code": &code, "type": &kind}
	_, err := s.objectFrom(first, func(name string) error {
		token, err := s.next()
		if err != nil {
			return err
		}
		if value := into[name]; value != nil {
			*value = token
		}
		return s.skip(token)
	})
	f.message, f.code = firstText(message, msg, text), firstText(code, kind)
	return err
}

// firstText returns the first value that is a text that is not empty or, as the code of some servers, a
// number.
func firstText(values ...any) string {
	for _, value := range values {
		switch value := value.(type) {
		case string:
			if value != "" {
				return value
			}
		case json.Number:
			return value.String()
		}
	}
	return ""
}

// isJSON reports whether a body is declared as JSON.
func isJSON(header http.Header) bool {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}
