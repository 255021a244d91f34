# make build test race package reproducible: what a release takes. Tools are installed
# into dist/tools at the versions named here.

ARCH    ?= $(shell go env GOARCH)
COMMIT  := $(shell git rev-parse --short=12 HEAD)
VERSION ?= $(shell packaging/version.sh)
# Of the packages' metadata; set them to your own where you publish packages.
export HOMEPAGE   ?= https://callpoint.example
export MAINTAINER ?= callpoint maintainers <maintainers@callpoint.example>
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
MTIME   := $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ)
DATE    := $(shell LC_ALL=C date -u -R -d @$(SOURCE_DATE_EPOCH))
BUILD   := CGO_ENABLED=0 go build -trimpath -buildvcs=true
STRIP   := -ldflags='-s -w'
TOOLS   := $(CURDIR)/dist/tools

# The long forms of the experiments in docs/reliability.md: some ten to thirty minutes, as root.
.PHONY: nightly
nightly:
	SIM_SEEDS=2000 go test -count=1 -timeout 60m -run 'TestSimulation|TestScenario|TestPlanted' -v ./sync/engine
	KILL_CYCLES=200 go test -count=1 -timeout 20m -run TestKillAtRandomMoments -v ./cmd/callpoint
	KILL_CYCLES=100 go test -count=1 -timeout 20m -run 'TestKillInstancesAtRandomMoments|TestDatabaseKilled|TestLeaderKilledOrFrozen' -v ./cmd/callpoint
	FAULTS_ALL=1 go test -count=1 -timeout 20m -run 'TestEveryIOMayFail|TestNoFalseAcknowledgement|TestFullDisk|TestFileSystemFails' -v ./cmd/callpoint
	POWER_CYCLES=50 go test -count=1 -timeout 20m -run TestPowerCut -v ./cmd/callpoint
	LEAK_ROUNDS=200 go test -count=1 -timeout 20m -run TestNothingLeaks -v ./cmd/callpoint
	TORN_EVENTS=30 go test -count=1 -timeout 20m -run TestTornAndReorderedWrites -v ./cmd/callpoint
	HOSTILE_BODIES=4000 go test -count=1 -timeout 20m -run 'TestUnfinishedBodies$$' -v ./cmd/callpoint
	go test -count=1 -timeout 20m -run 'TestEveryCrashIsRestarted|TestWrongConfigurationIsNotRestarted|TestStoreRemovedUnderTheDaemon|TestFaultEndsTheDaemon|TestWrongClockPrunesNothing|TestBackupTargets|TestRestore|TestRootKeepsTheOwner|TestStopWithASlowClient|TestNoTokenForAPort|TestHealthSurvivesAKill' -v ./cmd/callpoint
	go test -count=1 -timeout 20m -run 'TestFileOutOfPlace|TestSymbolicLinks|TestNotReplaceable|TestCopiesFollowNoLinks|TestCompactKeepsOwnerAndMode' -v ./store/kv/boltkv

# Each fuzz target for a while.
FUZZTIME ?= 60s
.PHONY: fuzz
fuzz:
	for target in store:FuzzOpen store:FuzzModel sync/collector:FuzzEventBody sync/collector:FuzzScanner \
		sync/collector:FuzzBodiesAgainstModel; do \
		go test -run XXX -fuzz "$${target#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x ./$${target%:*} || exit; \
	done

# An hour of daemon under load, by itself because of its length.
.PHONY: soak
soak:
	SOAK=1h go test -count=1 -timeout 90m -run 'TestSoak$$' -v ./cmd/callpoint

.PHONY: build test race dist package image sbom lintian reproducible clean

build:
	$(BUILD) -o callpoint ./cmd/callpoint

test:
	go test ./...

race:
	go test -race ./...

# What goes into a package: the binary of ARCH, and what this machine's makes of itself.
dist: sbom
	rm -rf dist/completion dist/man dist/doc
	mkdir -p dist/completion dist/man dist/doc
	$(BUILD) -o dist/native ./cmd/callpoint
	dist/native man dist/man
	gzip -9n dist/man/*
	for shell in bash zsh fish; do dist/native completion $$shell >dist/completion/$$shell || exit; done
	go run ./packaging/licenses dist/callpoint | gzip -9n >dist/doc/third-party-licenses.txt.gz
	printf 'callpoint (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md beside this file.\n\n -- %s  %s\n' \
		'$(VERSION)' '$(MAINTAINER)' '$(DATE)' | gzip -9n >dist/doc/changelog.gz
	sed 's|@HOMEPAGE@|$(HOMEPAGE)|; s|@MAINTAINER@|$(MAINTAINER)|' packaging/copyright >dist/doc/copyright

# What the binary says that it is made of.
sbom: dist/callpoint $(TOOLS)/cyclonedx-gomod
	$(TOOLS)/cyclonedx-gomod bin -json -noserial -licenses -assert-licenses -version '$(VERSION)' -output dist/callpoint.cdx.json dist/callpoint
	# Its own time of day is no part of what was built.
	sed -i 's/^\( *"timestamp": \).*/\1"$(MTIME)",/' dist/callpoint.cdx.json

.PHONY: dist/callpoint
dist/callpoint:
	GOOS=linux GOARCH=$(ARCH) $(BUILD) $(STRIP) -o dist/callpoint ./cmd/callpoint

package: dist $(TOOLS)/nfpm
	rm -f dist/*.deb dist/*.rpm
	for kind in deb rpm; do \
		ARCH=$(ARCH) VERSION='$(VERSION)' $(TOOLS)/nfpm package --config packaging/nfpm.yaml --packager $$kind --target dist/ || exit; \
	done
	cd dist && sha256sum *.deb *.rpm callpoint callpoint.cdx.json >SHA256SUMS && cat SHA256SUMS

# What Debian's own check says of the package; errors fail.
lintian:
	lintian --allow-root --fail-on error --tag-display-limit 0 dist/*.deb

# A container image as a plain OCI layout: podman run oci:dist/image, skopeo copy oci:dist/image ...
image: dist/callpoint
	rm -rf dist/image
	go run ./packaging/oci -binary dist/callpoint -version '$(VERSION)' -arch $(ARCH) -out dist/image

# Two builds from two folders must be equal, byte by byte.
reproducible:
	rm -rf dist/a dist/b
	for copy in a b; do git clone -q . dist/$$copy && $(MAKE) -C dist/$$copy package TOOLS=$(TOOLS) VERSION='$(VERSION)' >/dev/null || exit; done
	diff dist/a/dist/SHA256SUMS dist/b/dist/SHA256SUMS && echo "equal: two builds from two folders"
	rm -rf dist/a dist/b

# 2.46 and later do not install: a dependency of theirs is gone.
$(TOOLS)/nfpm:
	GOBIN=$(TOOLS) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

$(TOOLS)/cyclonedx-gomod:
	GOBIN=$(TOOLS) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

clean:
	rm -rf dist callpoint

# Workloads against the simulated org, beside two peers; bench/README.md says how to
# choose. The peers' dependencies are theirs alone.
.PHONY: bench
bench: build
	mkdir -p dist
	cd bench && go build -o ../dist/driver ./driver && go build -o ../dist/gopeer ./gopeer
	cd bench/jsforce && npm ci --silent
	dist/driver -callpoint ./callpoint -gopeer dist/gopeer -jsforce bench/jsforce/peer.mjs $(BENCH)
