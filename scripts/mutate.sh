#!/usr/bin/env bash
# Breaks the code on purpose, once for each patch in e2e/mutations, and runs the rows of the fault matrix that the patch
# names: they must find violations, or they would prove nothing; and none before anything is broken.
#   scripts/mutate.sh [NAME…]      all, or those in e2e/mutations/NAME.patch
#   REPETITIONS                    of each row; 3
# With the variables of .ci/backends on PostgreSQL, Redis and Apache Kafka; all are then those that break its SQL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

names=("$@") suite=chaos every=diff
[ -z "${BACKENDS_CONTROL:-}" ] || suite=chaos-backends every=postgres
if [ $# = 0 ]; then
	mapfile -t names < <(grep -l "$every" e2e/mutations/*.patch | xargs -n 1 basename -s .patch)
fi

fail() {
	tail -n 40 "$tree/log"
	echo "$*" >&2
	exit 1
}

rows_of() { sed -n 's/^Rows: //p' "$root/e2e/mutations/$1.patch"; }

copy() { # of what is under version control, as it is now
	rm -rf "$tree/src"
	mkdir "$tree/src"
	git ls-files -z | tar -c --null -T - | tar -x -C "$tree/src"
	ln -s "$root/.tools" "$tree/src/.tools"
}

# matrix runs rows on the copy. What is broken may never come to its end, and is not waited for as long as elsewhere.
matrix() {
	make -C "$tree/src" $suite rows="$1" repetitions="${REPETITIONS:-3}" minute=false patience=45s >"$tree/log" 2>&1
}

printf '%-28s %-6s %s\n' mutation rows result
copy
all=$(for name in "${names[@]}"; do rows_of "$name"; done | tr , '\n' | sort -nu | paste -sd ,)
matrix "$all" || fail "there are violations, or rows that do not end, before anything is broken"
printf '%-28s %-6s %s\n' none all "no violation"

survived=()
for name in "${names[@]}"; do
	rows=$(rows_of "$name")
	copy
	git -C "$tree/src" apply "$root/e2e/mutations/$name.patch"
	(cd "$tree/src" && go build -o /dev/null ./account-svc ./transfer-svc ./fee-svc ./ops) # what does not compile proves nothing either
	if matrix "$rows"; then
		survived+=("$name")
		result="SURVIVED"
	else # the table's total: effects, violations
		violations=$(awk '$1 == "total" {print $3}' "$tree/log")
		[ "${violations:-0}" -gt 0 ] || fail "$name: failed without a violation"
		first=$(grep -m 1 -oE '[a-z_]+_test\.go:[0-9]+: .*' "$tree/log" | cut -c 1-160) || true
		result="$violations violations, the first: $first"
	fi
	printf '%-28s %-6s %s\n' "$name" "$rows" "$result"
done
[ ${#survived[@]} = 0 ] || { echo "not noticed: ${survived[*]}" >&2; exit 1; }
