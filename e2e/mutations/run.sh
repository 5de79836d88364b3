#!/usr/bin/env bash
# Breaks the code on purpose, once for each patch in this folder, and runs what the patch names. That must notice what is
# broken, and must find nothing before anything is broken: it runs on the unbroken code first. A patch names
#   Rows: 1,2              rows of the fault matrix, which must find violations, or
#   Tests: PACKAGE NAME    a test in a package, which must fail. It needs no servers.
#
#   e2e/mutations/run.sh [NAME…]       all, or those in e2e/mutations/NAME.patch
#   e2e/mutations/run.sh -share K/N    the K-th of N shares of all; K may be any number, and N numbers in a row take all
#   REPETITIONS                     of each row; 3
#   UNBROKEN=passed                 the caller has just seen the same rows and tests pass on the unbroken code
# With the variables of .ci/backends, it runs on PostgreSQL, Redis and Apache Kafka, and all are those that break SQL there.
# Every patch in e2e/mutations has to apply and to stand in docs/chaos.md, also those that are not chosen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
# As the launcher and the suites build programs, so that a copy compiles only what is broken. This is without the race
# detector, which nothing that is broken here needs.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath"

touch "$tree/log"
fail() {
	tail -n 40 "$tree/log"
	echo "$*" >&2
	exit 1
}

rows_of() { sed -n 's/^Rows: //p' "$root/e2e/mutations/$1.patch"; }
test_of() { sed -n 's/^Tests: //p' "$root/e2e/mutations/$1.patch"; }

suite=chaos every=diff
[ -z "${BACKENDS_CONTROL:-}" ] || suite=chaos-backends every=postgres

# all names every mutation of this profile. Those of rows, which take long, come first, so that each share has as many.
all() {
	local kind
	for kind in Rows Tests; do
		grep -l "^$kind:" e2e/mutations/*.patch | xargs -r grep -l "$every" | xargs -r -n 1 basename -s .patch
	done
}

names=("$@")
if [ "${1:-}" = -share ]; then
	[ $# = 2 ] && [[ $2 =~ ^([0-9]{1,18})/([0-9]{1,9})$ ]] || fail "usage: e2e/mutations/run.sh [NAME…], or -share K/N without names"
	share=$((10#${BASH_REMATCH[1]})) shares=$((10#${BASH_REMATCH[2]}))
	[ "$shares" -gt 0 ] || fail "there are no $shares shares"
	mapfile -t names < <(all | awk -v share="$share" -v shares="$shares" '(NR - 1) % shares == share % shares')
elif [ $# = 0 ]; then
	mapfile -t names < <(all)
fi
[ ${#names[@]} -gt 0 ] || fail "no mutation is chosen"

copy() { # of what is under version control, as it is now
	rm -rf "$tree/src"
	mkdir "$tree/src"
	git ls-files -z | tar -c --null -T - | tar -x -C "$tree/src"
	ln -s "$root/.tools" "$tree/src/.tools"
}

# matrix runs rows on the copy. What is broken may never come to its end, and is not waited for as long as elsewhere.
matrix() {
	make -C "$tree/src" $suite rows="$1" repetitions="${REPETITIONS:-3}" minute=false patience=45s >"$tree/log" 2>&1 || return 1
	grep -q '^ *total ' "$tree/log" || fail "the fault matrix has not run, and has not failed either"
}

# one runs a test on the copy. A name that no test has would pass.
one() { # PACKAGE NAME
	(cd "$tree/src" && go test -count=1 -v -run "^$2\$" "$1") >"$tree/log" 2>&1 || return 1
	grep -q "^--- PASS: $2 " "$tree/log" || fail "$1 has no test $2"
}

first_message() { grep -m 1 -oE '[a-z_]+_test\.go:[0-9]+: .*' "$tree/log" | cut -c 1-160 || true; }

line() { printf '%-28s %-6s %s\n' "$@"; }

# Before anything takes minutes.
for patch in e2e/mutations/*.patch; do
	name=$(basename -s .patch "$patch")
	[ -n "$(rows_of "$name")$(test_of "$name")" ] || fail "$name names neither rows nor a test"
	git apply --check "$patch" || fail "$name does not apply any more"
	grep -q "^| \`$name\` |" docs/chaos.md || fail "$name is not in the table of docs/chaos.md"
done
for name in "${names[@]}"; do
	[ -e "e2e/mutations/$name.patch" ] || fail "there is no mutation $name"
done

# unbroken runs everything that the chosen mutations name on code that nobody has broken.
unbroken() {
	local rows tests package name
	copy
	rows=$(for name in "${names[@]}"; do rows_of "$name"; done | tr , '\n' | sort -nu | paste -sd ,)
	if [ -n "$rows" ]; then
		matrix "$rows" || fail "there are violations, or rows that do not end, before anything is broken"
		line none "$rows" "no violation"
	fi
	tests=$(for name in "${names[@]}"; do test_of "$name"; done | sort -u)
	if [ -n "$tests" ]; then
		while read -r package name; do
			one "$package" "$name" || fail "$name fails before anything is broken"
		done <<<"$tests"
		line none tests "no failure"
	fi
}

line mutation rows result
[ "${UNBROKEN:-}" = passed ] || unbroken

survived=()
for name in "${names[@]}"; do
	rows=$(rows_of "$name")
	read -r package test_name < <(test_of "$name"; echo) || true
	copy
	git -C "$tree/src" apply "$root/e2e/mutations/$name.patch"
	# What does not compile proves nothing either. The suite builds with the same flags.
	if [ -z "$rows" ]; then
		(cd "$tree/src" && go vet "$package")
		if one "$package" "$test_name"; then
			survived+=("$name")
			line "$name" test SURVIVED
		else
			grep -q "^--- FAIL: $test_name " "$tree/log" || fail "$name: $test_name has not failed, but something else"
			line "$name" test "$(first_message)"
		fi
		continue
	fi
	(cd "$tree/src" && go build -buildvcs=false -ldflags '-s -w' -o /dev/null ./account-svc ./transfer-svc ./fee-svc ./ops)
	if matrix "$rows"; then
		survived+=("$name")
		line "$name" "$rows" SURVIVED
	else # the table's total: effects, violations
		violations=$(awk '$1 == "total" {print $3}' "$tree/log")
		[ "${violations:-0}" -gt 0 ] || fail "$name: failed without a violation"
		line "$name" "$rows" "$violations violations, the first: $(first_message)"
	fi
done
[ ${#survived[@]} = 0 ] || { echo "not noticed: ${survived[*]}" >&2; exit 1; }
