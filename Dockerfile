# The operator's image: one static binary, no shell, no root.
#
#   docker build -t REGISTRY/redis-operator:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/redis-operator:0.1.0 --push .
#
# `make dockerfile` tries it whole; `make image` builds the binary with the cargo of this machine and gives it in place of the stage `build`.

FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95.0-bookworm AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    binary=$(scripts/build-static "$TARGETARCH") && mkdir /out && cp "$binary" /out/redis-operator

FROM scratch
COPY --from=build /out/redis-operator /redis-operator
USER 65532:65532
ENTRYPOINT ["/redis-operator"]
