# The image of wellkey: one static binary and the roots of the public web, no
# shell, no root user. docker build -t wellkey .

ARG GO_IMAGE=docker.io/library/golang:1.26

# The build runs on the builder's own machine and compiles for the other one.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false

# The modules change seldom: they are a layer of their own.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG TARGETOS TARGETARCH TARGETVARIANT
ARG VERSION=devel
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} go build -trimpath -o /out/wellkey \
      -ldflags "-s -w -buildid= -X wellkey/internal/cli.release=$VERSION" . \
 && mkdir /out/volume && mkdir -m 0700 /out/volume/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/wellkey /wellkey

# A volume takes owner and mode from /data, which is copied together with what it
# lies in, since some builders give a mode of their own to a directory that is
# named. The user is a number, since Kubernetes cannot check a name against
# runAsNonRoot; the same number as in Tesla's own images, so that both can share
# a key.
COPY --from=build --chown=65532:65532 /out/volume/ /
VOLUME /data
USER 65532:65532

# High ports, so that no capability is needed: publish them as 80 and 443. The
# admin listener is not published by anybody who does not ask for it.
ENV WELLKEY_HTTP_ADDR=:8080 \
    WELLKEY_HTTPS_ADDR=:8443 \
    WELLKEY_ADMIN_ADDR=:9090 \
    WELLKEY_DATA_DIR=/data
EXPOSE 8080 8443 9090

STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/wellkey", "healthcheck"]
ENTRYPOINT ["/wellkey"]
CMD ["serve"]

ARG VERSION=devel
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wellkey" \
      org.opencontainers.image.description="Hosts the public key of a Tesla Fleet API application and keeps its registration true" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
