package main

import (
	"strconv"
	"time"
)

// user is who the program runs as; see the Dockerfile.
const user = 65532

// settings are the part of an image that a container starts with.
type settings struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      map[string]struct{}
	Labels       map[string]string
	StopSignal   string
	Healthcheck  healthcheck
}

type healthcheck struct {
	Test                           []string
	Interval, Timeout, StartPeriod time.Duration
}

// settings returns what the last stage of the Dockerfile says. .ci/image compares
// the two.
func (s spec) settings() settings {
	return settings{
		User:         strconv.Itoa(user) + ":" + strconv.Itoa(user),
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "8443/tcp": {}, "9090/tcp": {}},
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"WELLKEY_HTTP_ADDR=:8080", "WELLKEY_HTTPS_ADDR=:8443", "WELLKEY_ADMIN_ADDR=:9090", "WELLKEY_DATA_DIR=/data",
		},
		Entrypoint: []string{"/wellkey"},
		Cmd:        []string{"serve"},
		Volumes:    map[string]struct{}{"/data": {}},
		StopSignal: "SIGTERM",
		Healthcheck: healthcheck{
			Test:     []string{"CMD", "/wellkey", "healthcheck"},
			Interval: 30 * time.Second, Timeout: 5 * time.Second, StartPeriod: 10 * time.Second,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "wellkey",
			"org.opencontainers.image.description": "Hosts the public key of a Tesla Fleet API application and keeps its registration true",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     s.version,
			"org.opencontainers.image.revision":    s.revision,
		},
	}
}
