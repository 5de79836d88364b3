#!/usr/bin/env bash
# Says what this machine has, and lacks, for each thing that one can do with this repository, and how to get it. It changes
# nothing, and builds nothing. It exits with 0 if `make run` and `make test` are possible, else with 1.
#
# It needs neither Go nor make, and takes the bash 3.2 of macOS, so it has no arrays.
set -u
HOME=${HOME:-/} # a container's or a daemon's environment may have none
for basic in awk cat cut df dirname find grep head id mktemp sed sort tail tr uname wc; do
	command -v "$basic" >/dev/null 2>&1 || { echo "doctor.sh needs $basic"; exit 1; }
done
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What one can do, in the order in which the end lists it. Those of the first line decide the exit status.
decisive="run test"
purposes="$decisive demo lint test-browser chaos mutations test-backends bench compose test-k8s"

lacks='' # a line "PURPOSE NEED" for each thing that is missing

system=$(uname -s)
case $system in
Linux) if [ -e /etc/debian_version ]; then installer=apt; else installer=other; fi ;;
Darwin) installer=brew ;;
*) installer=other ;;
esac

# how DEBIAN-PACKAGE BREW-FORMULA PROGRAM
how() {
	case $installer in
	apt) echo "apt-get install $1" ;;
	brew) echo "brew install $2" ;;
	*) echo "install $3" ;;
	esac
}

has() { command -v "$1" >/dev/null 2>&1; }

line() { printf '%-4s %-17s %-44s %-34s %s\n' "$@"; }

# found NEED WHAT "PURPOSE…"; missing NEED WHAT "PURPOSE…" HOW; and note, if it goes on without.
found() { line ok "$1" "$2" "$3" ''; }
note() { line note "$1" "$2" "$3" "$4"; }
missing() {
	local purpose
	line NO "$1" "$2" "$3" "$4"
	for purpose in $3; do
		lacks="$lacks$purpose $1
"
	done
}

# newer VERSION LEAST: whether a version such as 1.26.5 is at least as new.
newer() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$2" ]
}

# program NAME "PURPOSE…" HOW [FOUND]
program() {
	if has "$1"; then
		found "$1" "${4:-$(command -v "$1")}" "$2"
	else
		missing "$1" "-" "$2" "$3"
	fi
}

# --- what each can be done with ---

go_() {
	local least version who="run demo test lint chaos mutations test-backends bench test-k8s" get="https://go.dev/dl"
	least=$(sed -n 's/^go \([0-9.]*\).*/\1/p' "$root/go.work")
	[ $installer != brew ] || get="brew install go"
	if ! has go; then
		missing go "-" "$who" "$get (at least $least)"
		return
	fi
	version=$(cd / && GOTOOLCHAIN=local go version 2>/dev/null | sed -n 's/.* go\([0-9][0-9.]*\).*/\1/p')
	if [ -z "$version" ]; then
		missing go "$(command -v go), which does not tell its version" "$who" "$get (at least $least)"
	elif newer "$version" "$least"; then
		found go "$version" "$who"
	elif newer "$version" 1.21 && [ "$(cd / && go env GOTOOLCHAIN 2>/dev/null)" != local ]; then
		note go "$version, which fetches Go $least by itself" "$who" ""
	else
		missing go "$version, older than $least" "$who" "$get"
	fi
}

bash_() {
	local version
	version=$(bash -c 'echo "${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}"' 2>/dev/null)
	if newer "${version:-0}" 4.0; then
		found bash "$version" "test-backends chaos mutations"
	else
		missing bash "${version:--}, older than 4" "test-backends chaos mutations" "$(how bash bash 'bash 4 or later')"
	fi
	[ -x /bin/bash ] || missing /bin/bash "-" "run test lint chaos mutations test-backends" "make runs its recipes with it"
}

make_() {
	local version
	version=$(make --version 2>/dev/null | sed -n 's/^GNU Make //p')
	if has make && [ -z "$version" ]; then
		missing make "$(command -v make), which is not GNU Make" "run demo test lint chaos mutations test-backends bench" "$(how make make 'GNU Make')"
	else
		program make "run demo test lint chaos mutations test-backends bench" "$(how make make 'GNU Make')" "GNU Make $version"
	fi
}

# The race detector is linked by a C compiler, with the C library's headers.
c_compiler() {
	local cc dir result get
	get=$(how "gcc libc6-dev" gcc "a C compiler")
	[ $installer != brew ] || get="xcode-select --install"
	cc=$(has go && cd / && GOTOOLCHAIN=local go env CC 2>/dev/null)
	cc=${cc:-gcc}
	if ! has "${cc%% *}"; then
		note "C compiler" "- (without it, no race detector)" "test chaos test-backends" "$get"
		return
	fi
	dir=$(mktemp -d)
	printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$dir/main.c"
	if $cc -o "$dir/main" "$dir/main.c" >/dev/null 2>&1; then result=works; fi
	rm -rf "$dir"
	if [ -n "${result:-}" ]; then
		found "C compiler" "$(command -v "${cc%% *}")" "test chaos test-backends"
	else # go would use it, and fail
		missing "C compiler" "${cc%% *} does not compile: no headers?" "test chaos test-backends" "$get"
	fi
}

# holder PORT: the program that listens there, if this user may know, or nothing.
holder() {
	if has ss; then
		ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\("[^"]*"\),pid=\([0-9]*\).*/\1 (process \2)/p' | tr -d '"' | sort -u | head -n 1
	elif has lsof; then
		lsof -nP -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | awk 'NR > 1 {print $1 " (process " $2 ")"; exit}'
	fi
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null; }

# ours PORT: whether a program that was started in this folder listens there.
ours() {
	local pid
	pid=$(holder "$1" | sed -n 's/.*process \([0-9]*\).*/\1/p')
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$root" ]
}

ports() {
	local port all count=0 free=0 own=0 who
	all=$(sed -n -E 's/^ *(appPort|daprHTTPPort|daprGRPCPort|daprInternalGRPCPort|metricsPort): *([0-9]+).*/\2/p' "$root/dapr.yaml" | sort -n)
	[ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || all="$all 9092" # of the embedded broker
	for port in $all; do
		count=$((count + 1))
		if ! listens "$port"; then
			free=$((free + 1))
		elif ours "$port"; then
			own=$((own + 1))
		else
			who=$(holder "$port")
			missing "port $port" "held by ${who:-another program}" run "stop that program"
		fi
	done
	if [ $own -gt 0 ]; then
		note ports "$own of $count are held by this folder's make run" run "nothing to do: it runs"
	elif [ $free = $count ]; then
		found ports "$free of $count are free" run
	fi
}

# The first build needs about this much, for modules and for what is compiled: without the race detector, and with it.
space_for_run=5 space_for_all=12 # GiB

disk() {
	local variable folder free least='' where=''
	for variable in GOCACHE GOMODCACHE; do
		folder=$(has go && cd / && GOTOOLCHAIN=local go env $variable 2>/dev/null)
		folder=${folder:-$HOME}
		while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
		free=$(df -Pk "$folder" | awk 'NR == 2 {print int($4 / 1048576)}')
		if [ -z "$least" ] || [ "$free" -lt "$least" ]; then
			least=$free where=$variable
		fi
	done
	if [ "$least" -ge $space_for_all ]; then
		found disk "$least GiB are free for Go's caches" "run test lint chaos"
	elif [ "$least" -ge $space_for_run ]; then
		note disk "$least GiB are free where $where is" "test lint chaos" "$space_for_all GiB for the first build of all tests; $where=… elsewhere"
	elif [ -x "$root/.tools/bin/daprd" ]; then
		note disk "$least GiB are free where $where is" "run test lint chaos" "$space_for_run GiB for another first build; $where=… elsewhere"
	else
		missing disk "$least GiB are free where $where is" "run test lint chaos" "$space_for_run GiB for the first build; $where=… elsewhere"
	fi
}

memory() {
	local total='' kind=available
	if [ -r /proc/meminfo ]; then
		total=$(awk '$1 == "MemAvailable:" {print int($2 / 1024)}' /proc/meminfo)
	elif has sysctl; then
		total=$(sysctl -n hw.memsize 2>/dev/null | awk '{print int($1 / 1048576)}')
		kind='in all'
	fi
	if [ -z "$total" ]; then
		note memory "unknown" "run test" "3 GiB"
	elif [ "$total" -ge 3000 ]; then
		found memory "$total MiB $kind" "run test"
	else
		note memory "$total MiB $kind" "run test" "3 GiB, or the builds of daprd and of the tests take long or end"
	fi
}

root_user() {
	if [ "$system" != Linux ]; then
		missing Linux "$system" "chaos mutations test-backends bench test-k8s" "a machine or container with Linux"
	elif [ "$(id -u)" = 0 ]; then
		found root "yes" "chaos mutations test-backends test-k8s"
	else
		missing root "no: $(id -un)" "chaos mutations test-backends test-k8s" "sudo -E; row 16 mounts a small disk, .ci/backends installs"
	fi
}

# The same that .ci/backends looks for.
backends() {
	local who="test-backends test-k8s" get=".ci/backends install" program postgres
	[ $installer = apt ] || get="Debian, or servers of your own with the variables of \`.ci/backends env\`"
	postgres=$(find /usr/lib/postgresql -name pg_ctl -path '*/bin/*' 2>/dev/null | sort | tail -n 1)
	if [ -n "$postgres" ]; then found postgresql "$postgres" "$who"; else missing postgresql "-" "$who" "$get"; fi
	if [ -x /usr/sbin/pgbouncer ]; then found pgbouncer /usr/sbin/pgbouncer "$who"; else missing pgbouncer "-" "$who" "$get"; fi
	for program in redis-server java openssl; do program $program "$who" "$get"; done
	if [ -e "$root/.tools/kafka/pom.sha256" ]; then
		found kafka "$root/.tools/kafka" "$who"
	else
		program mvn "$who" "$get"
		missing kafka "-" "$who" "$get"
	fi
}

# The names that e2e/browser looks for.
browser() {
	local name
	for name in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do
		if has "$name"; then
			found browser "$(command -v "$name")" test-browser
			return
		fi
	done
	missing browser "-" test-browser "$(how chromium-headless-shell chromium Chromium)"
}

# The scripts that bring up a one-node cluster with Dapr from source: .ci/k8s.
cluster() {
	local folder=${K8S_CLUSTER:-$root/../shared/k8s}
	if [ -x "$folder/up.sh" ]; then
		found "cluster" "$folder" test-k8s
	else
		missing "cluster" "-" test-k8s "K8S_CLUSTER=… names the folder of up.sh, which brings one up"
	fi
}

compose() {
	local version
	if ! has docker; then
		missing docker "-" compose "https://docs.docker.com/engine/install/"
		return
	fi
	version=$(docker compose version --short 2>/dev/null)
	if [ -z "$version" ]; then
		missing "docker compose" "-" compose "https://docs.docker.com/compose/install/"
	elif ! docker info >/dev/null 2>&1; then
		missing docker "no engine answers this user" compose "start it, or join the group docker"
	else
		found "docker compose" "$version" compose
	fi
}

# The launcher takes this machine's own Dapr runtime if it is recent enough: launcher/tools.go.
own_runtime() {
	local daprd=${DAPR_RUNTIME_PATH:-$HOME}/.dapr/bin/daprd version
	if [ -x "$daprd" ]; then
		version=$("$daprd" --version 2>/dev/null | sed -n -E 's/.*([0-9]+\.[0-9]+\.[0-9]+).*/\1/p' | head -n 1)
		if newer "${version:-0}" 1.18; then
			note "own Dapr runtime" "$version, which make run uses" run ""
		else
			note "own Dapr runtime" "${version:-unknown}, older than 1.18" run "make run builds one of its own beside it"
		fi
	else
		note "own Dapr runtime" "none" run "make run builds one; nothing to do"
	fi
}

# With the Dapr CLI, `dapr run -f dapr.yaml` does without the launcher.
own_cli() {
	local version
	has dapr || return 0
	version=$(dapr --version 2>/dev/null | sed -n -E 's/^CLI version: *([0-9.]+).*/\1/p')
	if newer "${version:-0}" 1.16; then
		note "own Dapr CLI" "$version" run "dapr run -f dapr.yaml does without make run: README.md"
	else
		note "own Dapr CLI" "${version:-unknown}, older than 1.16" run "for dapr run -f dapr.yaml, a newer one; make run needs none"
	fi
}

built() {
	local tool have=''
	for tool in daprd caddy broker launcher golangci-lint; do
		[ ! -x "$root/.tools/bin/$tool" ] || have="$have $tool"
	done
	have=${have# }
	note "built already" "${have:-nothing}" "run test lint" "make builds what is missing at its first use"
}

line '' NEED FOUND 'FOR' 'HOW TO GET IT'
go_
make_
bash_
c_compiler
program curl "test" "$(how curl curl curl)"
program git "mutations" "$(how git git git)"
browser
program wrk "bench" "$(how wrk wrk wrk)"
[ "$system" != Linux ] || program pgrep "test" "$(how procps proctools pgrep)"
ports
disk
memory
own_runtime
own_cli
built
root_user
backends
compose
cluster

echo
status=0
for purpose in $purposes; do
	lacking=$(printf '%s' "$lacks" | awk -v purpose="$purpose" '$1 == purpose {sub(/^[^ ]+ /, ""); list = list (list == "" ? "" : ", ") $0} END {print list}')
	if [ -z "$lacking" ]; then
		printf '%-14s possible\n' "$purpose"
		continue
	fi
	printf '%-14s lacks %s\n' "$purpose" "$lacking"
	case " $decisive " in *" $purpose "*) status=1 ;; esac
done
exit $status
