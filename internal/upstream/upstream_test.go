// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestStatus_Terminal(t *testing.T) {
	for status, want := range map[Status]bool{
		InProgress: false, Completed: true, Failed: true, Cancelled: true, "": false, "cancelling": false, "COMPLETED": false,
	} {
		if got := status.Terminal(); got != want {
			t.Errorf("%q: Terminal is %t", status, got)
		}
	}
}

func TestConnection_OmitsKeyWhenPrinted(t *testing.T) {
	c := Connection{BaseURL: "https://llm.example/v1", APIKey: "sk-secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got, want := fmt.Sprintf(format, c), "connection to https://llm.example/v1"; got != want {
			t.Errorf("%s prints %q, want %q", format, got, want)
		}
	}
}

func TestErrorKind_String(t *testing.T) {
	names := make(map[string]bool)
	for kind := UnknownOutcome; kind <= NoCredentials; kind++ {
		names[kind.String()] = true
	}
	if len(names) != int(NoCredentials)+1 || (NoCredentials+1).String() != fmt.Sprintf("ErrorKind(%d)", NoCredentials+1) {
		t.Errorf("the names are %v and %s", names, NoCredentials+1)
	}
}

func TestError_Unwrap(t *testing.T) {
	cause := errors.New("cause")
	if !errors.Is(&Error{Err: cause}, cause) {
		t.Error("the cause is not wrapped")
	}
}

// TestParseAllowed_ExactForms requires brackets in pairs, and ports from 1 to 65535.
func TestParseAllowed_ExactForms(t *testing.T) {
	for pattern, valid := range map[string]bool{
		"llm.svc:1": true, "llm.svc:65535": true, "llm.svc:0": false, "llm.svc:65536": false, "llm.svc:-1": false,
		"[::1]": true, "[llm.svc": false, "llm.svc]": false, "[::1": false, "::1]": false,
		"fe80::1": true, "fe80::g": false, "10.0.0.1": true,
	} {
		if _, err := ParseAllowed([]string{pattern}); (err == nil) != valid {
			t.Errorf("ParseAllowed(%q) = %v", pattern, err)
		}
	}
	for baseURL, allowed := range map[string]string{
		"https://[::1]/v1": "[::1]", "https://[fe80::1]:8443/v1": "[fe80::1]:8443", "https://llm.svc:65535/v1": "llm.svc:65535", "http://llm.svc/v1": "llm.svc:80",
	} {
		patterns, err := ParseAllowed([]string{allowed})
		if err != nil {
			t.Fatal(err)
		}
		if err := (EndpointPolicy{AllowInsecure: true, Allowed: patterns}).Check(baseURL); err != nil {
			t.Errorf("%s does not permit %s: %v", allowed, baseURL, err)
		}
	}
	// Opaque URLs have a scheme, but no host.
	for _, baseURL := range []string{"https:api.openai.com", "http:api.openai.com"} {
		if err := (EndpointPolicy{AllowInsecure: true}).Check(baseURL); err == nil || !strings.Contains(err.Error(), "https://") {
			t.Errorf("Check(%q) = %v", baseURL, err)
		}
	}
}

func TestQuoted(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "sk-1": false, "https://a.example/v1": false, "a'b": false,
		`"sk-1"`: true, "'sk-1'": true, "`sk-1`": true, "\u201csk-1\u201d": true, `"sk-1`: true, "sk-1'": true,
	} {
		if got := Quoted(value); got != want {
			t.Errorf("%s: %t", value, got)
		}
	}
}

// TestConnection_Identity requires that the spellings of a base URL which make no difference to a server have the same
// rate limits.
func TestConnection_Identity(t *testing.T) {
	for baseURL, want := range map[string]string{
		"": DefaultBaseURL, " \n": DefaultBaseURL, "/": DefaultBaseURL, DefaultBaseURL + "/": DefaultBaseURL,
		"HTTPS://API.OpenAI.com:443/v1": DefaultBaseURL, "https://api.openai.com/V1": "https://api.openai.com/V1",
		"http://a.example:80//": "http://a.example", "http://a.example:443": "http://a.example:443", "https://a.example:8443/x/": "https://a.example:8443/x",
		"not a URL/": "not a URL",
	} {
		got := Connection{BaseURL: baseURL, APIKey: " key\n", Organization: " org ", Project: " proj ", CABundle: "ca"}.Identity()
		if want := (Connection{BaseURL: want, APIKey: "key", Organization: "org", Project: "proj"}); got != want {
			t.Errorf("%q: %q, want %q", baseURL, got.BaseURL, want.BaseURL)
		}
	}
}
