#!/usr/bin/env bash
# Checks the alert rules with promtool, and runs their tests (e2e/alerts/rules_test.yaml). promtool is part of Prometheus; on Debian,
# of the package `prometheus`.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v promtool >/dev/null || { echo "promtool is missing: apt-get install --no-install-recommends prometheus" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/prometheus-rules.sh >"$work/rules.yaml"
cp e2e/alerts/rules_test.yaml "$work"
promtool check rules "$work/rules.yaml"
promtool test rules "$work/rules_test.yaml"
