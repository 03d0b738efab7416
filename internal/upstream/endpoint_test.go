// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEndpointPolicyCheck(t *testing.T) {
	insecure := EndpointPolicy{AllowInsecure: true}
	only := func(allowed ...string) EndpointPolicy {
		return EndpointPolicy{AllowInsecure: true, Allowed: allowed}
	}
	for name, test := range map[string]struct {
		policy    EndpointPolicy
		baseURL   string
		wantError string // a part of the error; empty if the endpoint is permitted
	}{
		"https":                        {EndpointPolicy{}, "https://api.openai.com/v1", ""},
		"https without a path":         {EndpointPolicy{}, "https://api.openai.com", ""},
		"https to an address and port": {EndpointPolicy{}, "https://[::1]:8443/v1", ""},
		"upper case scheme":            {EndpointPolicy{}, "HTTPS://api.openai.com/v1", ""},
		"http":                         {EndpointPolicy{}, "http://api.openai.com/v1", "--allow-insecure-endpoints"},
		"http, allowed":                {insecure, "http://api.openai.com/v1", ""},
		"another scheme":               {insecure, "ftp://api.openai.com/v1", "must begin with https://"},
		"no scheme":                    {insecure, "api.openai.com/v1", "must begin with https://"},
		"opaque":                       {insecure, "https:api.openai.com", "must begin with https://"},
		"host:port for a scheme":       {insecure, "localhost:8080", "must begin with https://"},
		"empty":                        {insecure, "", "must begin with https://"},
		"no host":                      {insecure, "https:///v1", "has no host"},
		"no host but a port":           {insecure, "https://:443/v1", "has no host"},
		"not a URL":                    {insecure, "https://exa mple/v1", "is not a valid URL"},
		"query":                        {insecure, "https://api.openai.com/v1?key=a", "query or a fragment"},
		"empty query":                  {insecure, "https://api.openai.com/v1?", "query or a fragment"},
		"fragment":                     {insecure, "https://api.openai.com/v1#a", "query or a fragment"},
		"empty fragment":               {insecure, "https://api.openai.com/v1#", "query or a fragment"},
		"port too big":                 {insecure, "https://api.openai.com:70000/v1", "has a port"},
		"port zero":                    {insecure, "https://api.openai.com:0/v1", "has a port"},
		"port empty":                   {insecure, "https://api.openai.com:/v1", "has a port"},

		"listed":                          {only("other", "api.openai.com"), "https://api.openai.com/v1", ""},
		"listed in another case":          {only("API.openai.com"), "https://api.OpenAI.com/v1", ""},
		"listed, fully qualified":         {only("api.openai.com"), "https://api.openai.com./v1", ""},
		"listed with the default port":    {only("api.openai.com:443"), "https://api.openai.com/v1", ""},
		"explicit default port":           {only("api.openai.com"), "https://api.openai.com:443/v1", ""},
		"default port of http":            {only("api.openai.com"), "http://api.openai.com:80/v1", ""},
		"listed with a port":              {only("llm.svc:8080"), "http://llm.svc:8080/v1", ""},
		"listed address":                  {only("[::1]:8080"), "http://[::1]:8080/v1", ""},
		"listed address without brackets": {only("::1"), "https://[::1]/v1", ""},
		"subdomain":                       {only("*.example.com"), "https://a.example.com/v1", ""},
		"deep subdomain with a port":      {only("*.example.com:8443"), "https://a.b.example.com:8443/v1", ""},

		"not listed":                    {only("api.openai.com"), "https://evil.example/v1", "evil.example:443, which"},
		"another port of a listed host": {only("api.openai.com"), "https://api.openai.com:22/v1", "--allowed-endpoints"},
		"another port than the listed":  {only("llm.svc:8080"), "http://llm.svc:8081/v1", "--allowed-endpoints"},
		"http port for an https entry":  {only("api.openai.com:443"), "http://api.openai.com/v1", "--allowed-endpoints"},
		"the apex of a wildcard":        {only("*.example.com"), "https://example.com/v1", "--allowed-endpoints"},
		"an empty label":                {only("*.example.com"), "https://.example.com/v1", "--allowed-endpoints"},
		"a name with the same suffix":   {only("*.example.com"), "https://evilexample.com/v1", "--allowed-endpoints"},
		"a name with the same prefix":   {only("api.openai.com"), "https://api.openai.com.evil.example/v1", "--allowed-endpoints"},
		"a listed host in the path":     {only("api.openai.com"), "https://evil.example/api.openai.com", "--allowed-endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.policy.Check(test.baseURL)
			if test.wantError == "" {
				if err != nil {
					t.Fatalf("Check(%q) = %v, want nil", test.baseURL, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("Check(%q) = nil, want an error that contains %q", test.baseURL, test.wantError)
			}
			for _, want := range []string{test.wantError, "OPENAI_BASE_URL"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check(%q) = %q, want it to contain %q", test.baseURL, err, want)
				}
			}
		})
	}
}

func TestEndpointPolicyCheck_ErrorsContainNoPassword(t *testing.T) {
	for _, baseURL := range []string{
		"https://user:hunter2@api.openai.com/v1",
		"http://user:hunter2@api.openai.com/v1",
		"https://hunter2@api.openai.com/v1",
		"https://user:hunter2@api.openai.com:99999/v1",
		"https://user:hunter2@/v1",
		"https://user:hunter2@exa mple/v1",
		"https://user:hunter2%@api.openai.com/v1",
		"https://api.openai.com/v1?password=hunter2",
		"hunter2",
	} {
		for _, policy := range []EndpointPolicy{{}, {AllowInsecure: true}, {Allowed: []string{"example.com"}}} {
			err := policy.Check(baseURL)
			if err == nil {
				t.Errorf("Check(%q) = nil, want an error", baseURL)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Check(%q) = %v, which contains the password", baseURL, err)
			}
		}
	}
}

func TestParseAllowed_Normalizes(t *testing.T) {
	got, err := ParseAllowed([]string{" API.openai.com ", "", "*.Example.com:8443", "10.0.0.1:80", "::1", "[::1]:80", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"api.openai.com", "*.example.com:8443", "10.0.0.1:80", "::1", "[::1]:80", "localhost"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseAllowed (-want +got):\n%s", diff)
	}
}

func TestParseAllowed_InvalidPatterns(t *testing.T) {
	for _, pattern := range []string{
		"https://api.openai.com", "api.openai.com/v1", "user@api.openai.com", "*", "*.", "a.*.example.com", "*example.com",
		"*.*.example.com", "api.openai.com:", "api.openai.com:0", "api.openai.com:70000", "api.openai.com:https", ":443",
		"a:b:c", "two hosts", "[::1", "a?b",
	} {
		if got, err := ParseAllowed([]string{"good.example", pattern}); err == nil {
			t.Errorf("ParseAllowed(%q) = %q, want an error", pattern, got)
		} else if !strings.Contains(err.Error(), pattern) {
			t.Errorf("ParseAllowed(%q) = %q, which does not name the entry", pattern, err)
		}
	}
}
