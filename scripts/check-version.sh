#!/usr/bin/env bash
# The version stands in one place, the workspace of Cargo.toml. Everything else that names it has to say the same.
# In: nothing, or the tag of a release (v1.2.3), which CHANGELOG.md has to have a heading for, with a date. Out: exit 0
# when all agree.

source "$(dirname "$0")/lib.sh"

TAG="${1:-}"
VERSION="$(workspace_version)"
[[ "$VERSION" =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "Cargo.toml has no version of the workspace"

# The programs take it from the workspace.
for crate in cdc-reader vault-loader booking; do
    grep -qx 'version.workspace = true' "$crate/Cargo.toml" || fail "$crate/Cargo.toml does not take its version from the workspace"
done
# The tag of the images is a default of each of these files.
for file in docker-compose.yml .env.example deploy/swarm/stack.yml; do
    found="$(grep -noE 'VAULTSTREAM_VERSION(:-|=)[^}[:space:]]+' "$file" | sed -E 's/VAULTSTREAM_VERSION(:-|=)//')" ||
        fail "$file names no version; it has to name the tag of the images"
    while IFS=: read -r line named; do
        [[ "$named" == "$VERSION" ]] || fail "$file:$line names version $named, and the workspace is $VERSION"
    done <<<"$found"
done
# This one takes all images of ours from docker-compose.yml.
! grep -q 'image: vaultstream/' docker-compose.cluster.yml || fail "docker-compose.cluster.yml names an image of ours: add it to the files above"
if [[ -n "$TAG" ]]; then
    [[ "$TAG" == "v$VERSION" ]] || fail "the tag is $TAG, and the workspace is $VERSION: the tag has to be v$VERSION"
    grep -qE "^## ${VERSION//./\\.} - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
        fail "CHANGELOG.md has no heading \"## $VERSION - DATE\": give what is below Unreleased this heading"
fi
say "version $VERSION"
