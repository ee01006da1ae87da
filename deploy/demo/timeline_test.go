package main

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Minute:                    "0 seconds",
		time.Second:                     "1 second",
		15 * time.Second:                "15 seconds",
		119 * time.Second:               "119 seconds",
		2 * time.Minute:                 "2 minutes",
		63*time.Minute + 20*time.Second: "63 minutes",
		6*time.Hour + 40*time.Minute:    "7 hours",
		60*24*time.Hour - time.Second:   "60 days",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"tomorrow": "tomorrow", "2001-02-03T04:05:06Z": "0 seconds",
		time.Now().Add(200*24*time.Hour + time.Hour).Format(time.RFC3339): "200 days",
	} {
		if got := until(at); got != want {
			t.Errorf("%q: got %q, want %q", at, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/tmp/wellkey-demo-1/a.pem": "/tmp/wellkey-demo-1/a.pem",
		"/My Files/a.pem":           "'/My Files/a.pem'",
		"/it's/a.pem":               `'/it'\''s/a.pem'`,
	} {
		if got := quoted(path); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}
