// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// TestProfile_SDK calls each profile of the emulator with the SDK itself.
func TestProfile_SDK(t *testing.T) {
	for profile, missing := range map[string]int{
		emulator.ProfileOpenAI: 404, emulator.ProfileAzure: 404, emulator.ProfileOGX: 400, emulator.ProfileGateway: 404,
	} {
		t.Run(profile, func(t *testing.T) {
			emu := emulator.New(emulator.Options{Profile: profile, VectorStores: []string{testStore}})
			server := httptest.NewServer(emu)
			defer server.Close()
			batches := sdk.NewVectorStoreFileBatchService(
				option.WithBaseURL(server.URL+emu.Settings().BasePath+"/"), option.WithAPIKey(testKey), option.WithMaxRetries(0))
			created, err := batches.New(t.Context(), testStore, sdk.VectorStoreFileBatchNewParams{FileIDs: []string{"file-a", "file-b"}})
			if err != nil {
				t.Fatal(err)
			}
			read, err := batches.Get(t.Context(), testStore, created.ID)
			if err != nil || read.ID != created.ID || read.Status != sdk.VectorStoreFileBatchStatusCompleted || read.FileCounts.Completed != 2 {
				t.Fatalf("got %+v, %v", read, err)
			}
			_, err = batches.Get(t.Context(), testStore, strings.Replace(created.ID, "_", "_0", 1))
			var apiErr *sdk.Error
			// The body of OGX has no error object: the SDK returns an error without a message.
			if !errors.As(err, &apiErr) || apiErr.StatusCode != missing {
				t.Errorf("got error %v, want status %d", err, missing)
			}
		})
	}
}
