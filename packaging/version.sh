#!/bin/sh
# Prints the version of HEAD, such that every later commit sorts above: X.Y.Z at a tag,
# X.Y.Z+YYYYMMDDhhmmss.hash after it, 0.0.0~YYYYMMDDhhmmss.hash before the first tag. The
# time is the commit's, in UTC. callpoint version prints the same.
set -eu
stamp=$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd.%h --abbrev=12)
tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
if [ -z "$tag" ]; then
	echo "0.0.0~$stamp"
elif [ "$(git rev-list -n 1 "$tag")" = "$(git rev-parse HEAD)" ]; then
	echo "${tag#v}"
else
	echo "${tag#v}+$stamp"
fi
