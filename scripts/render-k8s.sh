#!/usr/bin/env bash
# render-k8s.sh FOLDER: what kustomize makes of every overlay, and of production with each optional component, as files.
set -euo pipefail
out=$(realpath "${1:?}")
cd "$(dirname "$0")/.."
kustomize=$PWD/.tools/bin/kustomize

for overlay in k8s/overlays/*/; do
	"$kustomize" build "$overlay" >"$out/$(basename "$overlay").yaml"
done
# A copy of production with the component's line no longer a comment. kustomize wants relative paths, so that it lies in the
# repository, where Git does not look.
production=k8s/overlays/production/kustomization.yaml
for component in k8s/components/*/; do
	name=$(basename "$component") copy=bin/k8s/$(basename "$component")
	grep -qE "^  - \.\./\.\./components/$name( |$)" $production && continue # it is in production
	rm -rf "$copy" && mkdir -p "$copy" && cp k8s/overlays/production/* "$copy"
	sed -i -E "s|^  # - (\.\./\.\./components/$name)( .*)?$|  - \1|; s|\.\./\.\./|../../../k8s/|" "$copy/kustomization.yaml"
	# The backup's certificates, too.
	[ "$name" != private-ca ] || sed -i -E 's|^  # - (.*/components/backup)$|  - \1|' "$copy/kustomization.yaml"
	[ "$name" != ingress-resource ] || sed -i '/components\/gateway-api$/d' "$copy/kustomization.yaml"
	grep -q "^  - .*components/$name$" "$copy/kustomization.yaml" || { echo "$production does not name $name" >&2; exit 1; }
	"$kustomize" build "$copy" >"$out/production-$name.yaml"
done
