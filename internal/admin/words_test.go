package admin_test

import (
	"testing"
	"time"

	"wellkey/internal/admin"
)

func TestRelative(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0:                               "now",
		-900 * time.Millisecond:         "now",
		time.Second:                     "in 1 second",
		-59 * time.Second:               "59 seconds ago",
		59*time.Second + 600*1e6:        "in 1 minute",
		-90 * time.Second:               "2 minutes ago",
		59*time.Minute + 40*time.Second: "in 1 hour",
		-47 * time.Hour:                 "47 hours ago",
		47*time.Hour + 40*time.Minute:   "in 2 days",
		89*24*time.Hour + 13*time.Hour:  "in 90 days",
		-400 * 24 * time.Hour:           "400 days ago",
	} {
		if got := admin.Relative(noon.Add(after), noon); got != want {
			t.Errorf("%v from now is %q, want %q", after, got, want)
		}
	}
}
