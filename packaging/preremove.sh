#!/bin/sh
# An upgrade restarts by itself; a removal stops. Debian says remove, RPM says 0.
set -e
if [ -d /run/systemd/system ] && { [ "$1" = remove ] || [ "$1" = 0 ]; }; then
	systemctl disable --now callpoint.service callpoint-sync.timer || true
fi
