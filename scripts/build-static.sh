#!/usr/bin/env bash
# Builds a service as its image holds it: static, and the same bytes wherever the same sources are built by the same Go.
#   scripts/build-static.sh SERVICE download        only fetches the modules
#   scripts/build-static.sh SERVICE FILE VERSION
set -euo pipefail
cd "$(dirname "$0")/../${1:?}"
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly
if [ "$2" = download ]; then
	go mod download
else
	go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/bankmore/bankmore/platform/service.version=${3:?}" -o "$2" .
fi
