# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Builds the image with Docker. `make image` builds an equivalent, reproducible image without
# Docker; releases use that one.
FROM --platform=$BUILDPLATFORM golang:1.26.5@sha256:3aff6657219a4d9c14e27fb1d8976c49c29fddb70ba835014f477e1c70636647 AS build
WORKDIR /source
COPY . .
ARG TARGETOS=linux TARGETARCH=amd64 VERSION=dev
ENV CGO_ENABLED=0
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -tags=grpcnotrace \
    -ldflags="-s -w -X main.version=$VERSION" -o /image/manager ./cmd/manager
RUN go run -C hack/image ./licenses -root /source -tags grpcnotrace -platforms $TARGETOS/$TARGETARCH -o /image/licenses ./cmd/manager
RUN chown -R 0:0 /image && chmod -R a-w /image

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title=vector-store-operator \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.source=https://github.com/vector-store-operator/vector-store-operator
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/manager"]
