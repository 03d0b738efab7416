// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"fmt"
	"testing"
)

func TestErrorPredicates(t *testing.T) {
	predicates := map[ErrorKind]func(error) bool{
		UnknownOutcome: IsUnknownOutcome,
		Transient:      IsTransient,
		RateLimited:    IsRateLimited,
		Rejected:       IsRejected,
		NotFound:       IsNotFound,
		Unauthorized:   IsUnauthorized,
		NotAllowed:     IsNotAllowed,
		NoCredentials:  IsNoCredentials,
	}
	for kind := range predicates {
		err := &Error{Kind: kind, Message: "it failed"}
		for other, is := range predicates {
			if got, want := is(err), other == kind; got != want {
				t.Errorf("an error of kind %s: the predicate of %s = %t, want %t", kind, other, got, want)
			}
			if got, want := is(fmt.Errorf("calling: %w", err)), other == kind; got != want {
				t.Errorf("a wrapped error of kind %s: the predicate of %s = %t, want %t", kind, other, got, want)
			}
		}
	}
	for name, err := range map[string]error{"nil": nil, "a nil *Error": (*Error)(nil)} {
		for kind, is := range predicates {
			if is(err) {
				t.Errorf("%s: the predicate of %s = true, want false", name, kind)
			}
		}
	}
	for kind, is := range predicates {
		if got, want := is(errors.New("unclassified")), kind == UnknownOutcome; got != want {
			t.Errorf("an unclassified error: the predicate of %s = %t, want %t", kind, got, want)
		}
	}
}

// TestIsRefused_IsOtherObject: these depend on more than the kind.
func TestIsRefused_IsOtherObject(t *testing.T) {
	for name, test := range map[string]struct {
		err            error
		refused, other bool
	}{
		"rejected":     {&Error{Kind: Rejected, StatusCode: 400}, true, false},
		"not found":    {&Error{Kind: NotFound, StatusCode: 404}, true, false},
		"conflict":     {&Error{Kind: Transient, StatusCode: 409}, true, false},
		"unavailable":  {&Error{Kind: Transient, StatusCode: 503}, false, false},
		"unauthorized": {&Error{Kind: Unauthorized, StatusCode: 401}, false, false},
		"rate limited": {&Error{Kind: RateLimited, StatusCode: 429}, false, false},
		"other object": {&Error{Kind: Transient, StatusCode: 200, OtherObject: true}, false, true},
		"wrapped":      {fmt.Errorf("calling: %w", &Error{Kind: Rejected, OtherObject: true}), true, true},
		"unclassified": {errors.New("unclassified"), false, false},
		"nil":          {nil, false, false},
		"a nil *Error": {(*Error)(nil), false, false},
	} {
		if refused, other := IsRefused(test.err), IsOtherObject(test.err); refused != test.refused || other != test.other {
			t.Errorf("%s: refused: %t, another object: %t", name, refused, other)
		}
	}
}

func TestAsError(t *testing.T) {
	if got := AsError(nil); got != nil {
		t.Errorf("AsError(nil) = %v, want nil", got)
	}
	classified := &Error{Kind: NotFound}
	if got := AsError(fmt.Errorf("calling: %w", classified)); got != classified {
		t.Errorf("AsError = %v, want the wrapped *Error", got)
	}
	unclassified := errors.New("unclassified")
	if got := AsError(unclassified); got.Kind != UnknownOutcome || got.Message != "unclassified" || !errors.Is(got, unclassified) {
		t.Errorf("AsError = %+v, want an unknown outcome that wraps the error", got)
	}
}

func TestError_Message(t *testing.T) {
	for want, err := range map[string]*Error{
		"no route to host":                    {Message: "no route to host", RequestID: "req_1"},
		"too many requests (HTTP 429)":        {Message: "too many requests", StatusCode: 429},
		"not found (HTTP 404, request req_1)": {Message: "not found", StatusCode: 404, RequestID: "req_1"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
	}
}
