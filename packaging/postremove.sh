#!/bin/sh
# Debian calls this with purge after remove; RPM knows no purge.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	# The secret must not stay behind, nor what visitors did.
	rm -rf /etc/callpoint /var/lib/callpoint /var/lib/private/callpoint
fi
