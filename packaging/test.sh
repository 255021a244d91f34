#!/usr/bin/env bash
# packaging/test.sh DEB RPM: installs, upgrades, removes and purges the package with the
# real dpkg, in a throwaway copy of this system that nothing outlives. Needs root on Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { echo "packaging: $*"; }
die() { echo "packaging: $*" >&2; exit 1; }

# What a package must hold, with its mode.
files='/usr/bin/callpoint 755
/etc/callpoint/callpoint.env 640
/usr/lib/systemd/system/callpoint.service 644
/usr/lib/systemd/system/callpoint-sync.service 644
/usr/lib/systemd/system/callpoint-sync.timer 644
/usr/share/doc/callpoint/README.md 644
/usr/share/doc/callpoint/docs/upgrade.md 644
/usr/share/doc/callpoint/callpoint.cdx.json 644
/usr/share/man/man1/callpoint.1.gz 644
/usr/share/man/man5/callpoint.env.5.gz 644
/usr/share/doc/callpoint/third-party-licenses.txt.gz 644
/usr/share/bash-completion/completions/callpoint 644'

# check_files reads lines "path mode owner group" of what is there.
check_files() {
	while read -r path mode; do
		grep -qx "$path $mode root root" "$1" || die "$path: want mode $mode of root, found $(grep "^$path " "$1" || echo nothing)"
	done <<<"$files"
}

# Inside the copy: $1 is the package, $2 a later one with another default configuration.
inside() {
	dpkg -i "$1" >/dev/null
	dpkg -L callpoint | while read -r path; do [ -d "$path" ] || stat -c '%n %a %U %G' "$path"; done >/tmp/files
	check_files /tmp/files
	dpkg --verify callpoint
	callpoint version
	callpoint version | grep -qF " $(dpkg-query -f '${Version}' -W callpoint) " || die "the program has another version than its package"
	if getent passwd callpoint; then die "a user was made: systemd makes one by itself"; fi
	for unit in callpoint.service callpoint-sync.service callpoint-sync.timer; do
		systemd-analyze verify "/usr/lib/systemd/system/$unit"
	done
	say "installed: $(wc -l </tmp/files) files, units verified"

	# A configuration and a store in use, as systemd leaves them.
	sed -i 's#^SALESFORCE_DOMAIN=.*#SALESFORCE_DOMAIN=https://ours.my.salesforce.com#' /etc/callpoint/callpoint.env
	echo secret >/etc/callpoint/salesforce_consumer_secret
	mkdir -p /var/lib/private/callpoint && ln -s private/callpoint /var/lib/callpoint
	echo events | tee /var/lib/callpoint/callpoint.db >/tmp/store
	dpkg -i --force-confold "$2" >/dev/null
	grep -q ours /etc/callpoint/callpoint.env || die "the upgrade lost the configuration"
	[ -e /etc/callpoint/callpoint.env.dpkg-dist ] || die "the new defaults are not beside it"
	cmp /var/lib/callpoint/callpoint.db /tmp/store
	say "upgraded: configuration and store kept"

	dpkg -r callpoint >/dev/null
	for path in /usr/bin/callpoint /usr/lib/systemd/system/callpoint.service /usr/share/doc/callpoint; do
		[ ! -e "$path" ] || die "$path is there after the removal"
	done
	grep -q ours /etc/callpoint/callpoint.env && cmp /var/lib/callpoint/callpoint.db /tmp/store
	dpkg -P callpoint >/dev/null
	left=$(find /etc /usr/bin /usr/lib/systemd /usr/share /var/lib /run -path '*callpoint*' -not -path '/var/lib/dpkg/*' 2>/dev/null || true)
	[ -z "$left" ] || die "left after the purge: $left"
	say "removed, then purged: nothing left"
}

if [ "${1-}" = --inside ]; then
	inside "$2" "$3"
	exit
fi

deb=$1 rpm=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed 's/^# callpoint/# A later callpoint/' config.example.env >"$work/later.env"
echo "# later" >>"$work/later.env"
sed "s#src: config.example.env, dst: /etc#src: $work/later.env, dst: /etc#" packaging/nfpm.yaml >"$work/later.yaml"
ARCH=$(dpkg --print-architecture) VERSION=99.0.0 HOMEPAGE=https://callpoint.example MAINTAINER="callpoint <callpoint@callpoint.example>" dist/tools/nfpm package --config "$work/later.yaml" --packager deb --target "$work/later.deb" >/dev/null
cp packaging/test.sh "$deb" "$work/"

# A mount namespace of its own: the layers vanish with its last process.
unshare -m bash -euc '
	mkdir "$0/layer" && mount -t tmpfs none "$0/layer" && mkdir "$0"/layer/{upper,work,root}
	mount -t overlay none -o "lowerdir=/,upperdir=$0/layer/upper,workdir=$0/layer/work" "$0/layer/root"
	mkdir "$0/layer/root/packages" && cp "$0"/*.deb "$0/test.sh" "$0/layer/root/packages/"
	mount -t proc none "$0/layer/root/proc" && mount --bind /dev "$0/layer/root/dev"
	cd / && exec chroot "$0/layer/root" bash /packages/test.sh --inside "/packages/$1" /packages/later.deb
' "$work" "$(basename "$deb")"

# The rpm: the same files, the configuration marked as such, the same scripts.
if command -v rpm >/dev/null; then
	rpm -qp --qf '[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME}\n]' "$rpm" | sed -E 's# 1?00([0-7]{3}) # \1 #' >"$work/rpm"
	check_files "$work/rpm"
	[ "$(rpm -qpc "$rpm")" = /etc/callpoint/callpoint.env ] || die "the rpm does not keep the configuration"
	[ "$(rpm -qp --scripts "$rpm" | grep -c scriptlet)" = 3 ] || die "the rpm lacks scripts"
	say "rpm: $(wc -l <"$work/rpm") files"
else
	say "rpm is not installed: its package was not looked into"
fi
