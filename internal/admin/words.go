package admin

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/registrar"
)

// briefly is how many bytes of a text are shown. What came from outside was cut
// where it came in; this is for the texts of the file system and of libraries.
const briefly = 1000

func brief(text string) string { return phrase.Cut(text, briefly, "…") }

// span says how long d is, in the one unit that a person would use.
func span(d time.Duration) string {
	d = d.Abs()
	seconds, minutes, hours := d.Round(time.Second), d.Round(time.Minute), d.Round(time.Hour)
	switch {
	case seconds < time.Minute:
		return count(int(seconds/time.Second), "second")
	case minutes < time.Hour:
		return count(int(minutes/time.Minute), "minute")
	case hours < 48*time.Hour:
		return count(int(hours/time.Hour), "hour")
	}
	return count(int(d.Round(24*time.Hour)/(24*time.Hour)), "day")
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// relative says when t is, seen from now.
func relative(t, now time.Time) string {
	d := t.Sub(now)
	switch {
	case d.Abs() < time.Second:
		return "now"
	case d < 0:
		return span(d) + " ago"
	}
	return "in " + span(d)
}

// stateWords are the states of a registration for people.
func stateWords(s registrar.State) string {
	return strings.ReplaceAll(string(s), "_", " ")
}

// conditionWord is a condition in one word, or two.
func conditionWord(c Condition) string {
	switch c {
	case OK:
		return "OK"
	case Unsure:
		return "Not sure"
	case Waiting:
		return "Waiting"
	case Attention:
		return "Look at this"
	case Step:
		return "Your turn"
	}
	return "Needs you"
}

// conditionOf is what a single finding asks for; skipped ones ask for nothing.
func conditionOf(s finding.Status) Condition {
	switch s {
	case finding.OK:
		return OK
	case finding.Warn:
		return Attention
	case finding.Fail:
		return Action
	}
	return Unsure
}

func findingWord(s finding.Status) string {
	switch s {
	case finding.OK:
		return "OK"
	case finding.Warn:
		return "Warning"
	case finding.Fail:
		return "Failed"
	case finding.Skipped:
		return "Skipped"
	}
	return "Not sure"
}

func originWords(origin string) string {
	switch origin {
	case "generated":
		return "made here, at the first start"
	case "file":
		return "read from the key file"
	case "restored":
		return "rebuilt from Tesla's answer"
	}
	return "none"
}

func clientWords(client string) string {
	switch client {
	case "tesla_app":
		return "Tesla's app on owners' phones"
	case "wellkey":
		return "wellkey, looking from outside"
	}
	return "Others, Tesla's servers among them"
}

// titleOf names a check of the look from outside; one that is new here is named
// by its id.
func titleOf(id string) string {
	titles := map[string]string{
		"domain":             "Spelling of the domain",
		"dns_resolves":       "The name resolves",
		"dns_agree":          "Resolvers agree",
		"dns_ipv4":           "IPv4 address",
		"dns_caa":            "CAA records",
		"dns_challenge":      "Challenge by DNS",
		"dns_public":         "Public address",
		"dial":               "Connection",
		"tls_handshake":      "TLS handshake",
		"tls_name":           "Name in the certificate",
		"tls_chain":          "Chain of the certificate",
		"tls_dates":          "Dates of the certificate",
		"tls_cn":             "Common name",
		"http_answer":        "HTTP answer",
		"http_redirect":      "No redirect",
		"http_bot_challenge": "No bot challenge or login",
		"http_status":        "HTTP status",
		"http_html":          "No web page",
		"http_content_type":  "Content type",
		"http_length":        "Length",
		"key_private":        "No private key published",
		"key_parse":          "P-256 key",
		"key_canonical":      "Canonical form",
		"key_match":          "The same key as here",
		"this_is_me":         "Answered by this process",
		"tls_no_sni":         "TLS without a name",
		"http_head":          "Answer to HEAD",
		"http_phone":         "Answer to an owner's phone",
		"http_port80":        "Port 80",
		"clock":              "Clock",
	}
	return cmp.Or(titles[id], id)
}
