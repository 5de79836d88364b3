# One image per service: docker build --build-arg SERVICE=account-svc -t bankmore/account-svc .
# The same for the operator's commands: docker build --build-arg SERVICE=ops -t bankmore/ops .
# What is released also gets --build-arg VERSION=… and REVISION=$(git rev-parse HEAD).
# Static, without a shell, as a user without rights; it writes nothing, so its file system can be read-only.
ARG GO_VERSION=1.26.8

FROM golang:${GO_VERSION} AS build
WORKDIR /src
# The modules first: they change less often than the code, and this layer with them.
COPY platform/go.mod platform/go.sum platform/
COPY account-svc/go.mod account-svc/go.sum account-svc/
COPY transfer-svc/go.mod transfer-svc/go.sum transfer-svc/
COPY fee-svc/go.mod fee-svc/go.sum fee-svc/
COPY ops/go.mod ops/go.sum ops/
COPY scripts/build-static.sh scripts/
ARG SERVICE
RUN --mount=type=cache,target=/go/pkg/mod scripts/build-static.sh "$SERVICE" download
COPY platform platform
COPY account-svc account-svc
COPY transfer-svc transfer-svc
COPY fee-svc fee-svc
COPY ops ops
ARG VERSION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    scripts/build-static.sh "$SERVICE" /out/service "$VERSION"

FROM scratch
ARG SERVICE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="BankMore ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/bankmore/bankmore"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/service /service
USER 65532:65532
ENTRYPOINT ["/service"]
CMD ["serve"]
