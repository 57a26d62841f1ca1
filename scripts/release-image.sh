#!/usr/bin/env bash
# Builds the image of one program, pushes it, and says by which digest it can be had.
# In: the program, the image's name with its registry, the version; a Docker engine that is logged in there. Out:
# target/release-images/PROGRAM.digest, and name and digest for GitHub's next step.

source "$(dirname "$0")/lib.sh"

(($# == 3)) || fail "give a program, an image and a version"
PROGRAM="$1" IMAGE="$2" VERSION="$3"
[[ "$VERSION" == "$(workspace_version)" ]] || fail "the version is $VERSION, and the workspace is $(workspace_version)"
OUT="$TARGET_DIR/release-images"
mkdir -p "$OUT"

# The time that the image says it was made at is the commit's. The files in it keep the times at which they were built.
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH
docker buildx build --file deploy/Dockerfile --target "$PROGRAM" \
    --label "org.opencontainers.image.title=$PROGRAM" \
    --label "org.opencontainers.image.version=$VERSION" \
    --label "org.opencontainers.image.revision=$(git rev-parse HEAD)" \
    --label "org.opencontainers.image.licenses=Apache-2.0" \
    --label "org.opencontainers.image.source=${GITHUB_SERVER_URL:-}/${GITHUB_REPOSITORY:-}" \
    --tag "$IMAGE:$VERSION" --metadata-file "$OUT/$PROGRAM.json" --push .
DIGEST="$(sed -n 's/.*"containerimage.digest": *"\([^"]*\)".*/\1/p' "$OUT/$PROGRAM.json")"
[[ "$DIGEST" == sha256:* ]] || fail "the builder has told no digest of $IMAGE"
echo "$IMAGE:$VERSION@$DIGEST" | tee "$OUT/$PROGRAM.digest"
if [[ -n "${GITHUB_OUTPUT:-}" ]]; then
    printf 'name=%s\ndigest=%s\n' "$IMAGE" "$DIGEST" >>"$GITHUB_OUTPUT"
fi
