#!/bin/sh
# Nothing starts by itself: it needs a login first.
set -e
if [ ! -s /etc/callpoint/salesforce_consumer_secret ] && [ ! -s /etc/callpoint/salesforce_private_key ]; then
	echo "callpoint: run 'callpoint init' as root to configure and check it; docs in /usr/share/doc/callpoint"
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart callpoint.service
fi
