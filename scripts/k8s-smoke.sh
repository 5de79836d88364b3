#!/usr/bin/env bash
# The demo on the cluster of the current kubeconfig, through its ingress, after a look at whether everything is there. Exits
# with 1 if something is not as it should be.
#
#   K8S_NAMESPACE   bankmore
#   BANKMORE_URL    where the ingress is reached, such as https://bank.example.com; by a port-forward if not set
#   K8S_PATIENCE    how long everything may take to be ready: 10m
#   BANKMORE_CLI    the command-line client: bin/bankmore
set -euo pipefail
cd "$(dirname "$0")/.."
namespace=${K8S_NAMESPACE:-bankmore}
patience=${K8S_PATIENCE:-10m}
url=${BANKMORE_URL:-}

kube() { kubectl --namespace "$namespace" "$@"; }
fail() {
	printf '\nfailed: %s\n' "$*" >&2
	exit 1
}

work=$(mktemp -d)
forward=
finish() {
	[ -z "$forward" ] || kill "$forward" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

for app in account-svc transfer-svc fee-svc ingress; do
	kube rollout status "deployment/$app" --timeout="$patience" ||
		fail "$app does not get ready: kubectl --namespace $namespace describe pods -l app.kubernetes.io/name=$app"
	# A sidecar is among the containers, or, as a native one, among those that come first.
	kube get pods -l "app.kubernetes.io/name=$app" --field-selector status.phase=Running -o go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{range .spec.initContainers}} {{.name}}{{end}}{{range .spec.containers}} {{.name}}{{end}}{{"\n"}}{{end}}{{end}}' >"$work/pods"
	[ -s "$work/pods" ] || fail "$app has no pods"
	while read -r pod containers; do
		[[ " $containers " == *" daprd "* ]] || fail "$pod has no sidecar: does Dapr's injector run?"
	done <"$work/pods"
	echo "$app: $(wc -l <"$work/pods") ready, with sidecar"
done

if [ -z "$url" ]; then
	kube port-forward --address 127.0.0.1 service/ingress :80 >"$work/forward" 2>&1 &
	forward=$!
	for ((i = 0; i < 300; i++)); do
		port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$work/forward")
		[ -n "$port" ] && break
		kill -0 "$forward" 2>/dev/null || fail "$(cat "$work/forward")"
		sleep 0.1
	done
	[ -n "$port" ] || fail "no port-forward to the ingress"
	url=http://127.0.0.1:$port
fi
echo "the ingress is at $url"

# status METHOD PATH: what the ingress answers.
status() { curl -sS --path-as-is -m 15 -o /dev/null -w '%{http_code}' -X "$1" "$url$2" || true; }
[ "$(status GET /healthz)" = 200 ] || fail "/healthz: $(status GET /healthz)"
for path in /internal/movements /api/account/..%2f..%2finternal/movements /v1.0/metadata /metrics; do
	answer=$(status POST "$path")
	case $answer in
	404) ;;
	# What stands in front may have an answer of its own to such a path.
	30? | 400 | 403) [ -n "${BANKMORE_URL:-}" ] || fail "$path: $answer from outside, not 404" ;;
	*) fail "$path: $answer from outside, not 404" ;;
	esac
done
echo "what is internal stays inside"

BANKMORE_URL=$url scripts/demo.sh
echo
echo "The system on $(kubectl config current-context) works."
