package cli

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/config"
)

func TestConsole(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&config.Settings{Log: config.Log{Level: zapcore.InfoLevel, Format: config.LogConsole}}, &out, nil)
	log.Info("wellkey starts", zap.String("domain", "example.com"), zap.Strings("regions", []string{"na", "eu"}))
	site := log.Named("registrar").With(zap.String("domain", "example.com"), zap.String("region", "na"))
	site.Debug("not shown")
	site.Info("registration", zap.String("state", "registered"), zap.String("empty", ""), zap.Duration("retry_in", 90*time.Second))
	site.Warn("registration", zap.String("state", "unreachable"), zap.String("cause", "A redirect."), zap.String("fix", "Take it away."))
	site.Error("odd\x1b[2J", zap.String("seen", "two\nlines"), zap.Error(errors.New("broken")))
	got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  `).ReplaceAllString(out.String(), "TIME  ")
	want := strings.TrimPrefix(`
TIME  wellkey starts domain=example.com regions=na eu
TIME  registration region=na state=registered retry_in=1m30s
TIME  warn       registration region=na state=unreachable
          cause    A redirect.
          fix      Take it away.
TIME  fail       "odd\x1b[2J" region=na
          seen     "two\nlines"
          error    broken
`, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// With several domains, each line says which one it is about.
func TestConsoleOfSeveralSites(t *testing.T) {
	settings, err := config.New([]string{"HOME=/nonexistent", "WELLKEY_SITES_DIR=/nonexistent", "WELLKEY_LOG_FORMAT=console"}).LoadAll(true)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	newLogger(settings, &out, nil).With(zap.String("domain", "a.example.com")).Info("registration", zap.String("state", "registered"))
	if !strings.Contains(out.String(), "registration domain=a.example.com state=registered") {
		t.Errorf("got %s", out.String())
	}
}
