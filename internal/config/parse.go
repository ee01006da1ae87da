package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"wellkey/internal/phrase"
)

// path returns a setter for a path. The file or directory is not looked at.
func path(field func(*Settings) *string) func(*Settings, string) (string, string) {
	return func(s *Settings, text string) (what, fix string) {
		if strings.ContainsRune(text, 0) || strings.TrimSpace(text) != text {
			return quote(text) + " has white space around it, or a NUL", "Remove it"
		}
		if strings.HasPrefix(text, "~") {
			return quote(text) + " begins with ~, which only a shell understands", "Write the whole path"
		}
		*field(s) = filepath.Clean(text)
		return "", ""
	}
}

// yes returns what sets a setting that is true or false.
func yes(field func(*Settings) *bool) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		if text != "true" && text != "false" {
			return quote(text) + " is neither true nor false", "Write true or false"
		}
		*field(s) = text == "true"
		return "", ""
	}
}

// duration returns a setter of a time span within bounds.
func duration(least, most time.Duration, field func(*Settings) *time.Duration) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		span, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return quote(text) + " is no time span", "Write a number with its unit, h, m or s, such as 24h or 1h30m"
		case span < least || span > most:
			return quote(text) + " is out of bounds", "Write a time span from " + words(least) + " to " + words(most)
		}
		*field(s) = span
		return "", ""
	}
}

// words writes a whole number of hours or minutes as a user would.
func words(span time.Duration) string {
	if hours := span / time.Hour; span%time.Hour == 0 && hours > 0 {
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dm", span/time.Minute)
}

// choose refuses a text that is none of choices.
func choose(text string, choices ...string) (what, fix string) {
	if slices.Contains(choices, text) {
		return "", ""
	}
	fix = "Choose among " + phrase.List(choices)
	if near := Nearest(strings.ToLower(text), choices); near != "" {
		fix += "; did you mean " + near + "?"
	}
	return quote(text) + " is not known here", fix
}

func setLogLevel(s *Settings, text string) (what, fix string) {
	if what, fix := choose(text, "debug", "info", "warn", "error"); what != "" {
		return what, fix
	}
	level, err := zapcore.ParseLevel(text)
	if err != nil {
		return quote(text) + " is no level", "Write info"
	}
	s.Log.Level = level
	return "", ""
}

func setLogFormat(s *Settings, text string) (what, fix string) {
	s.Log.Format = LogFormat(text)
	return choose(text, string(LogAuto), string(LogJSON), string(LogConsole))
}

func setTLS(s *Settings, text string) (what, fix string) {
	s.TLS.Mode = TLSMode(text)
	return choose(text, string(TLSACME), string(TLSFiles), string(TLSOff))
}

// items splits a list at its commas. Empty items are dropped.
func items(text string) []string {
	var all []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

type pool = **x509.CertPool

// roots returns a setter that reads a file of root certificates.
func roots(field func(*Settings) (*string, pool)) func(*Settings, string) (string, string) {
	return func(s *Settings, text string) (what, fix string) {
		data, _, err := s.readOnce(text)
		if err != nil {
			return explainFile(text, err)
		}
		certificates, count := x509.NewCertPool(), 0
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				return quote(text) + " holds a " + quote(block.Type) + " block", "Name a file that holds certificates only"
			}
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fmt.Sprintf("certificate %d in %s cannot be read: %s", count+1, quote(text), quote(err.Error())), "Export it again, in PEM"
			}
			certificates.AddCert(certificate)
			count++
		}
		if count == 0 {
			return quote(text) + " holds no certificate in PEM", `Name a file with "-----BEGIN CERTIFICATE-----" in it; openssl x509 -inform DER converts`
		}
		name, roots := field(s)
		*name, *roots = text, certificates
		return "", ""
	}
}
