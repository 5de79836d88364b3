#!/usr/bin/env bash
# The main job, step by step, on a stack that runs: BANKMORE_URL says where (the ingress of `make run` by default).
# New customers each time. Exits with 1 as soon as an answer is not the one expected.
set -euo pipefail
url=${BANKMORE_URL:-http://localhost:8080}

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() {
	printf '\nfailed: %s\n' "$*" >&2
	exit 1
}

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

id() { echo "demo-$(date +%s)-$RANDOM-$RANDOM"; }

# ask WHOSE-TOKEN METHOD PATH [BODY]: shows request and answer; leaves the answer in $status and $answer.
ask() {
	local token=$1 method=$2 path=$3 body=${4:-} options=()
	if [ -n "$token" ]; then options+=(-H "Authorization: Bearer $token"); fi
	if [ -n "$body" ]; then options+=(-H 'Content-Type: application/json' -d "$body"); fi
	printf '  %s %s %s\n' "$method" "$path" "$(sed 's/"password":"[^"]*"/"password":"…"/' <<<"$body")"
	answer=$(curl -sS --max-time 30 -X "$method" ${options[@]+"${options[@]}"} -w '\n%{http_code}' "$url$path") ||
		fail "nobody answers at $url: is \`make run\` ready?"
	status=${answer##*$'\n'}
	answer=${answer%$'\n'*}
	printf '  %s→ %s %s%s\n' "$dim" "$status" "$(sed 's/"token":"[^"]*"/"token":"…"/' <<<"$answer")" "$plain"
}

# field NAME: a member of the answer, the first of that name.
field() { grep -o "\"$1\":\"[^\"]*\"" <<<"$answer" | head -n 1 | cut -d '"' -f 4 || true; }

expect() { [ "$status" = "$1" ] || fail "status $status instead of $1"; }
contains() { [[ $answer == *"$1"* ]] || fail "no $1 in the answer"; }

# register NAME: a new customer who has logged in; leaves $account and $token.
register() {
	local document password='uma-senha-de-demo'
	document=$(cpf)
	ask '' POST /api/account/register/ "{\"cpf\":\"$document\",\"name\":\"$1\",\"password\":\"$password\"}"
	expect 201
	ask '' POST /api/account/login/ "{\"cpf\":\"$document\",\"password\":\"$password\"}"
	expect 200
	account=$(field account_number)
	token=$(field token)
	[ -n "$account" ] && [ -n "$token" ] || fail "no account number or token"
}

# balance TOKEN AMOUNT
balance() {
	ask "$1" GET /api/account/balance/
	expect 200
	[ "$(field balance)" = "$2" ] || fail "balance $(field balance) instead of $2"
}

step "Ana opens an account and logs in"
register "Ana Souza"
ana=$account as_ana=$token

step "Bia opens an account and logs in"
register "Bia Lima"
bia=$account as_bia=$token

step "Ana deposits 1000.00"
ask "$as_ana" POST /api/account/movement/ "{\"request_id\":\"$(id)\",\"account_number\":\"$ana\",\"amount\":1000.00,\"type\":\"C\"}"
expect 204

step "Ana transfers 150.00 to Bia"
ask "$as_ana" POST /api/transfer/ "{\"request_id\":\"$(id)\",\"destination_account_number\":\"$bia\",\"amount\":150.00}"
expect 200
contains '"status":"COMPLETED"'
transfer=$(field transfer_id)

step "The fee of 2.00 follows through Kafka"
for ((attempt = 1; ; attempt++)); do
	ask "$as_ana" GET /api/fee/my/
	expect 200
	if [[ $answer == *"$transfer"* && $answer == *'"status":"CHARGED"'* ]]; then break; fi
	((attempt < 60)) || fail "no fee after 30 s"
	sleep 0.5
done
contains '"amount":"2.00"'

step "Balances: 1000.00 - 150.00 - 2.00, and 150.00"
balance "$as_ana" 848.00
balance "$as_bia" 150.00

step "Ana's statement: the fee, the transfer, the deposit"
ask "$as_ana" GET /api/account/statement/
expect 200
for kind in fee transfer deposit; do contains "\"kind\":\"$kind\""; done
contains "\"counterparty_account_number\":\"$bia\""

step "Bia's statement: the transfer"
ask "$as_bia" GET /api/account/statement/
expect 200
contains '"kind":"transfer"'
contains "\"counterparty_account_number\":\"$ana\""

step "All as expected."
