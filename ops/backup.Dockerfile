# The operator's commands with PostgreSQL's own programs, for `ops backup`, `verify -backup` and `restore`:
#   docker build -f ops/backup.Dockerfile --build-arg VERSION=1.0.0 -t bankmore/ops-backup:1.0.0 ops
# out of the images that the Dockerfile above has made. pg_dump may not be older than the server.
ARG REPOSITORY=bankmore
ARG VERSION=local
ARG POSTGRES_VERSION=15.18

FROM ${REPOSITORY}/account-svc:${VERSION} AS account-svc
FROM ${REPOSITORY}/transfer-svc:${VERSION} AS transfer-svc
FROM ${REPOSITORY}/fee-svc:${VERSION} AS fee-svc
FROM ${REPOSITORY}/ops:${VERSION} AS ops

FROM postgres:${POSTGRES_VERSION}
COPY --from=account-svc /service /usr/local/bin/account-svc
COPY --from=transfer-svc /service /usr/local/bin/transfer-svc
COPY --from=fee-svc /service /usr/local/bin/fee-svc
COPY --from=ops /service /usr/local/bin/ops
USER 65532:65532
ENTRYPOINT ["ops"]
CMD ["version"]
