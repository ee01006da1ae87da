# Names for what people type; .ci/ has the work, so that a machine does the same.
.PHONY: build test cover needs fuzz demo scale soak torture bench pgo check image release clean

build: # a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o wellkey .

test: needs # all tests, with the race detector, which needs cgo; Chromium opens the status page
	CGO_ENABLED=1 go test -race -timeout 60m ./...

cover: needs # the same, and which share of the statements they reach; COVER=FILE keeps the profile
	.ci/cover $(COVER)

needs: # what tests start
	@.ci/need gcc libc6-dev chromium systemd strace shellcheck dpkg apparmor redis-server postgresql prometheus nginx caddy haproxy bind9 iproute2 sslscan testssl.sh

fuzz: # every fuzz target for FUZZTIME (60s); see docs/reliability.md
	.ci/fuzz

demo: # everything on this machine's loopback: CA, DNS, Tesla, wellkey
	go run ./deploy/demo

scale: # measure many sites in one process, on loopback; see docs/performance.md
	go run ./deploy/scale

soak: # keep wellkey busy for an hour, on loopback, and look at what that leaves behind
	go run ./deploy/soak -report docs/reliability.md

torture: # do what hostile clients do, in a network of its own, while one that behaves is served
	@.ci/need iproute2 slowhttptest
	go run ./deploy/torture -report docs/reliability.md

bench: # compare with nginx, HAProxy and Caddy, on an idle machine; see docs/performance.md
	@.ci/need nginx haproxy nghttp2-client strace
	go run ./deploy/bench $(BENCH)

pgo: # make default.pgo, the profile by which every build then goes; see docs/performance.md
	@.ci/need nginx haproxy nghttp2-client
	go run ./deploy/bench -profile -pgo default.pgo

check: # all that must hold before a change is taken
	.ci/run

image: # build the image without Docker, and run it
	.ci/image

release: # archives, Debian packages, images and the rest, into dist/; see docs/releasing.md
	.ci/release

clean:
	rm -rf wellkey dist
