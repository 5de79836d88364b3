#!/usr/bin/env bash
# render-k8s.sh FOLDER: what kustomize makes of every overlay, of production with each optional component, and of production with
# each way in, as files.
set -euo pipefail
out=$(realpath "${1:?}")
cd "$(dirname "$0")/.."
kustomize=$PWD/.tools/bin/kustomize

for overlay in k8s/overlays/*/; do
	"$kustomize" build "$overlay" >"$out/$(basename "$overlay").yaml"
done

production=k8s/overlays/production/kustomization.yaml
included() { grep -qE "^  - .*/components/$1( |$)" "$2"; }

# render NAME [COMPONENT…] [without COMPONENT…]: a copy of production with the lines of these components no longer comments, and
# without those after "without". kustomize wants relative paths, so that the copy lies in the repository, where Git does not look.
render() {
	local name=$1 copy=bin/k8s/$1 with=1 component
	shift
	rm -rf "$copy" && mkdir -p "$copy" && cp k8s/overlays/production/* "$copy"
	for component; do
		if [ "$component" = without ]; then
			with=
		elif [ -n "$with" ]; then
			sed -i -E "s|^  # - (\.\./\.\./components/$component)( .*)?$|  - \1|" "$copy/kustomization.yaml"
			included "$component" "$copy/kustomization.yaml" || { echo "$production does not name $component" >&2; exit 1; }
		else
			sed -i -E "/^  - .*\/components\/$component( |$)/d" "$copy/kustomization.yaml"
		fi
	done
	sed -i -E 's|\.\./\.\./|../../../k8s/|' "$copy/kustomization.yaml"
	"$kustomize" build "$copy" >"$out/$name.yaml"
}

for component in k8s/components/*/; do
	name=$(basename "$component")
	included "$name" "$production" && continue
	case $name in
	private-ca) render "production-$name" backup "$name" ;; # the backup's certificates, too
	ingress-resource) render "production-$name" "$name" without gateway-api ;;
	*) render "production-$name" "$name" ;;
	esac
done
render production-ingress-tls-alone ingress-tls without gateway-api
render production-ingress-tls-resource ingress-resource ingress-tls without gateway-api
