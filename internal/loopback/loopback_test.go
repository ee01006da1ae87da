package loopback_test

import (
	"net/url"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIs(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.8.7": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "10.0.0.1": false, "0.0.0.0": false, "[::1]": false,
	} {
		if got := loopback.Is(host); got != want {
			t.Errorf("Is(%q) = %t, want %t", host, got, want)
		}
	}
}

func TestSafe(t *testing.T) {
	for text, want := range map[string]bool{
		"https://example.com": true, "https://example.com:8443/a?b": true, "http://localhost:80/a": true, "http://127.0.0.1:1": true, "http://[::1]:80": true,
		"": false, "http://example.com": false, "http://10.0.0.1": false, "ftp://localhost": false, "//localhost": false, "localhost": false, "http://localhost@example.com": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := loopback.Safe(u); got != want {
			t.Errorf("Safe(%q) = %t, want %t", text, got, want)
		}
	}
}
