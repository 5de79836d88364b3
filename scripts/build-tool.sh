#!/usr/bin/env bash
# build-tool.sh NAME FOLDER PACKAGE [GO BUILD FLAG...]
# Builds a program from the module in FOLDER into .tools/bin/NAME, and shows signs of life while that takes long.
set -euo pipefail
name=$1 folder=$2 package=$3
shift 3
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$PWD/.tools/bin/$name
mkdir -p .tools/bin
log=$(mktemp)

echo "building $name"
(cd "$folder" && GOWORK=off CGO_ENABLED=0 exec go build -buildvcs=false -trimpath "$@" -o "$program" "$package") >"$log" 2>&1 &
build=$!
trap 'kill $build 2>/dev/null || true; rm -f "$log"' EXIT

SECONDS=0
next=10
while kill -0 $build 2>/dev/null; do
	if ((SECONDS >= next)); then
		printf '  %s: %d s  %s\n' "$name" $SECONDS "$(tail -n 1 "$log")"
		next=$((next + 10))
	fi
	sleep 0.2
done
if ! wait $build; then
	tail -n 30 "$log" >&2
	echo "building $name failed" >&2
	exit 1
fi
touch "$program" # go leaves alone what is up to date, and make would ask again
if ((SECONDS > 2)); then echo "  $name: built in $SECONDS s"; fi
