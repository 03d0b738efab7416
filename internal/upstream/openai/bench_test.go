// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// BenchmarkTranslate2000Files measures the encoding of the largest create request.
func BenchmarkTranslate2000Files(b *testing.B) {
	plain := upstream.CreateRequest{VectorStoreID: "vs_1"}
	detailed := plain
	for i := range 2000 {
		id := fmt.Sprintf("file-%032d", i)
		plain.FileIDs = append(plain.FileIDs, id)
		detailed.Files = append(detailed.Files, upstream.FileToAttach{
			FileID:     id,
			Attributes: map[string]any{"year": json.Number("2026"), "language": "en", "draft": true, "page": float64(i)},
			Chunking:   &upstream.StaticChunking{MaxChunkSizeTokens: 1200, ChunkOverlapTokens: 200},
		})
	}
	for name, request := range map[string]upstream.CreateRequest{"fileIDs": plain, "files": detailed} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, err := encodeCreate(request)
				if err != nil || len(body) < 2000*len(request.VectorStoreID) {
					b.Fatalf("%d bytes: %v", len(body), err)
				}
			}
		})
	}
}

// BenchmarkRetrieve measures a poll without the network.
func BenchmarkRetrieve(b *testing.B) {
	client := testClient()
	client.http.Transport = memoryTransport{http.StatusOK, http.Header{"Content-Type": {"application/json"}}, []byte(batchJSON)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Retrieve(b.Context(), testRef); err != nil {
			b.Fatal(err)
		}
	}
}
