#!/bin/sh
# Nothing starts by itself: it needs a login first.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart callpoint.service
fi
