#!/usr/bin/env bash
# Prints what a release says: the changes of its version, its images, and how somebody checks what was downloaded.
# In: the version; a file with an image and its digest on each line. Out: Markdown.

source "$(dirname "$0")/lib.sh"

(($# == 2)) || fail "give a version and the file of the images"
VERSION="$1" IMAGES="$2"

changes="$(awk -v heading="## $VERSION" 'index($0, heading) == 1 { found = 1; next } /^## / { found = 0 } found' CHANGELOG.md)"
[[ -n "${changes//[[:space:]]/}" ]] || fail "CHANGELOG.md has nothing below the heading of $VERSION"
cat <<END
$changes

## Images

\`\`\`text
$(cat "$IMAGES")
\`\`\`

## Check what you downloaded

\`\`\`sh
sha256sum --check --ignore-missing SHA256SUMS
gh attestation verify PROGRAM-$VERSION-x86_64-unknown-linux-musl.tar.gz --repo ${GITHUB_REPOSITORY:-OWNER/REPOSITORY}
\`\`\`

The files \`.cdx.json\` list the crates that each program is made of.
END
