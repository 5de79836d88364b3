#!/bin/sh
# Prints the alert rules as a Prometheus without the operator reads them: what stands under `spec` in the PrometheusRule.
cd "$(dirname "$0")/.." && sed -n '/^spec:$/,$ { /^spec:$/d; s/^  //; p; }' k8s/components/monitoring/rules.yaml
