#!/usr/bin/env bash
# The main job, step by step, at the command line, on a stack that runs: BANKMORE_URL says where (the ingress of `make run` by
# default). BANKMORE_CLI is the command-line client, bin/bankmore by default. New customers each time. Exits with 1 as soon as an
# answer is not the one expected.
set -euo pipefail
bankmore=${BANKMORE_CLI:-$(dirname "${BASH_SOURCE[0]}")/../bin/bankmore}

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() {
	printf '\nfailed: %s\n' "$*" >&2
	exit 1
}

[ -x "$bankmore" ] || fail "there is no $bankmore: \`make demo\` builds it"
# The sessions of the two customers are gone when the demo ends.
XDG_STATE_HOME=$(mktemp -d)
trap 'rm -rf "$XDG_STATE_HOME"' EXIT
export XDG_STATE_HOME BANKMORE_KEYRING=off BANKMORE_LANG=en

# cpf: eleven random digits of which the last two are right.
cpf() {
	local digits='' i j sum
	for ((i = 0; i < 9; i++)); do digits+=$((RANDOM % 10)); done
	for i in 10 11; do
		sum=0
		for ((j = 0; j < i - 1; j++)); do sum=$((sum + ${digits:j:1} * (i - j))); done
		digits+=$((sum * 10 % 11 % 10))
	done
	echo "$digits"
}

# as CUSTOMER COMMAND…: shows a command of a customer, and what it prints; leaves that in $answer. Only commands that ask for a
# password read the one that is given.
as() {
	local customer=$1 code=0
	shift
	printf '  $ bankmore --profile %s' "$customer"
	printf ' %s' "${@@Q}" | sed "s/'\([^' ]*\)'/\1/g" # quotes only where there is a blank
	echo
	answer=$("$bankmore" --profile "$customer" "$@" 2>&1 <<<'uma-senha-de-demo') || code=$?
	sed "s/^.*/    $dim&$plain/" <<<"$answer"
	[ $code = 0 ] || fail "exit code $code (\`bankmore help exit-codes\`); is \`make run\` ready?"
}

contains() { [[ $answer == *"$1"* ]] || fail "no $1 in the answer"; }

# join CUSTOMER NAME: a new customer who has logged in; leaves the number in $account.
join() {
	local document
	document=$(cpf)
	as "$1" register "$document" "$2" --password-stdin
	as "$1" login "$document" --password-stdin
	account=$(sed -n 's/.*Account \([0-9]*\)\..*/\1/p' <<<"$answer")
	[ -n "$account" ] || fail "no account number"
}

step "Ana opens an account and logs in"
join ana "Ana Souza"
ana=$account

step "Bia opens an account and logs in"
join bia "Bia Lima"
bia=$account

step "Ana deposits 1000.00"
as ana deposit 1000.00

step "Ana transfers 150.00 to Bia"
as ana transfer "$bia" 150.00 --watch
transfer=$(sed -n 's/.*(\(.*\)).*/\1/p' <<<"$answer")
[ -n "$transfer" ] || fail "no id of the transfer"

step "The fee of 2.00 follows through Kafka"
for ((attempt = 1; ; attempt++)); do
	as ana fees
	if [[ $answer == *"R\$ 2.00  charged "*"$transfer"* ]]; then break; fi
	((attempt < 60)) || fail "no fee of 2.00 after 30 s; is TRANSFER_FEE_AMOUNT set?"
	sleep 0.5
done

step "Balances: 1000.00 - 150.00 - 2.00, and 150.00"
as ana balance
contains "R\$ 848.00"
as bia balance
contains "R\$ 150.00"

step "Ana's statement: the fee, the transfer, the deposit"
as ana statement
for kind in fee transfer deposit "$bia"; do contains "$kind"; done

step "Bia's statement: the transfer"
as bia statement
for kind in transfer "$ana"; do contains "$kind"; done

step "All as expected."
