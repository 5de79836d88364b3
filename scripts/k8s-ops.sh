#!/usr/bin/env bash
# An operator's command (docs/runbook.md) on the cluster of the current kubeconfig: a Job made of the CronJob "ops". Shows
# what it says and exits as it does. The Job stays for a week, for the record. If you interrupt this script, the Job goes on.
#
#   scripts/k8s-ops.sh verify -at-rest
#   scripts/k8s-ops.sh dead-letters replay all
#
#   K8S_NAMESPACE   bankmore
set -euo pipefail
namespace=${K8S_NAMESPACE:-bankmore}
[ $# -gt 0 ] || {
	sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}
kube() { kubectl --namespace "$namespace" "$@"; }

args=
for arg in "$@"; do
	arg=${arg//\\/\\\\}
	args+="${args:+,}\"${arg//\"/\\\"}\""
done
name=ops-$(date -u +%Y%m%d-%H%M%S)-$RANDOM
kube create job "$name" --from=cronjob/ops --dry-run=client -o yaml |
	kubectl patch --local -f - --type json -o yaml \
		-p "[{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/args\",\"value\":[$args]}]" |
	kube create -f - >/dev/null

# pod PATH: of its one pod, as long as it has one.
pod() { kube get pods -l "batch.kubernetes.io/job-name=$name" -o jsonpath="{.items[0]$1}" 2>/dev/null || true; }
phase=
for ((i = 0; i < 300; i++)); do
	phase=$(pod .status.phase)
	case $phase in Running | Succeeded | Failed) break ;; esac
	sleep 1
done
case $phase in
Running | Succeeded | Failed) ;;
*) # it must not run later, when nobody expects it any more
	kube describe pods -l "batch.kubernetes.io/job-name=$name" | tail -n 20 >&2
	kube delete job "$name" >&2
	echo "the pod of $name has not started within 5 minutes; the command has not run" >&2
	exit 1
	;;
esac
kube logs --follow "job/$name" || { kube describe pods -l "batch.kubernetes.io/job-name=$name" | tail -n 20 >&2; exit 1; }
code=
for ((i = 0; i < 60; i++)); do
	code=$(pod '.status.containerStatuses[0].state.terminated.exitCode')
	[ -n "$code" ] && break
	sleep 1
done
exit "${code:-1}"
