// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// outage returns the result of a call to a server that is away or overloaded. Each error has its own
// message, because a gateway in front of the server has more than one.
func outage(random *rand.Rand, kinds ...upstream.ErrorKind) result {
	err := &upstream.Error{
		Kind: kinds[random.IntN(len(kinds))], StatusCode: 500 + random.IntN(5),
		Message: fmt.Sprintf("the call failed in way %d", random.IntN(3)), RequestID: fmt.Sprint("req_", random.Uint64()),
	}
	if random.IntN(4) == 0 {
		err.RetryAfter = time.Duration(random.IntN(600)) * time.Second
	}
	return result{err: err}
}

// TestOutage_CostsFewStatusWrites lets the server be away for a day.
func TestOutage_CostsFewStatusWrites(t *testing.T) {
	const most = 10
	for name, test := range map[string]struct {
		object *object
		kinds  []upstream.ErrorKind
	}{
		"not created":          {newObject(), []upstream.ErrorKind{upstream.Transient, upstream.RateLimited}},
		"create not recorded":  {newObject(withFinalizer, pendingSince(epoch.Add(-time.Hour))), []upstream.ErrorKind{upstream.Transient, upstream.RateLimited}},
		"in progress":          {tracked(), []upstream.ErrorKind{upstream.Transient, upstream.RateLimited}},
		"adopted":              {newObject(adopted), []upstream.ErrorKind{upstream.Transient}},
		"key rejected":         {tracked(), []upstream.ErrorKind{upstream.Unauthorized}},
		"request rejected":     {newObject(), []upstream.ErrorKind{upstream.Rejected}},
		"no longer found":      {tracked(), []upstream.ErrorKind{upstream.NotFound}},
		"missing Secret":       {newObject(), []upstream.ErrorKind{upstream.NoCredentials}},
		"endpoint not allowed": {newObject(), []upstream.ErrorKind{upstream.NotAllowed}},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			r := run(test.object, lifecycle.State{}, epoch, outage(random, test.kinds...))
			writes, attempts := 1, 1
			for now := epoch; now.Before(epoch.Add(24*time.Hour)) && r.final.RequeueAfter > 0; attempts++ {
				before := r.object.Status
				now = now.Add(r.final.RequeueAfter)
				r = run(r.object, r.state, now, outage(random, test.kinds...))
				if !equality.Semantic.DeepEqual(before, r.object.Status) {
					writes++
				}
			}
			if writes > most || attempts < 100 {
				t.Errorf("%d status writes in %d attempts, want at most %d", writes, attempts, most)
			}
		})
	}
}

// TestOutage_MessageIsRenewed checks that the status of a long outage does not show its first error only.
func TestOutage_MessageIsRenewed(t *testing.T) {
	r := run(tracked(), lifecycle.State{}, epoch, fails(upstream.Transient))
	now, messages := epoch, map[string]bool{r.message(): true}
	for i := range 64 {
		now = now.Add(r.final.RequeueAfter)
		failure := fails(upstream.Transient)
		failure.err.Message = fmt.Sprint("failure ", i)
		r = run(r.object, r.state, now, failure)
		messages[r.message()] = true
	}
	if len(messages) != 4 { // the failures 1, 4, 16 and 64
		t.Errorf("the messages were %v", messages)
	}
}

// TestOutage_OtherRemedyIsShownAtOnce checks that an error that needs another remedy replaces the message.
func TestOutage_OtherRemedyIsShownAtOnce(t *testing.T) {
	quota := fails(upstream.RateLimited)
	quota.err.Code = "insufficient_quota"
	for reason, failure := range map[string]result{
		v1alpha1.ReasonCredentialsRejected: fails(upstream.Unauthorized), v1alpha1.ReasonCredentialsNotFound: fails(upstream.NoCredentials),
		v1alpha1.ReasonEndpointNotAllowed: fails(upstream.NotAllowed), v1alpha1.ReasonRejected: fails(upstream.Rejected), v1alpha1.ReasonRateLimited: quota,
	} {
		t.Run(reason, func(t *testing.T) {
			r := run(tracked(), lifecycle.State{}, epoch, fails(upstream.Transient))
			if r = r.again(failure); r.reason() != reason {
				t.Errorf("the reason is %s: %s", r.reason(), r.message())
			}
		})
	}
}
