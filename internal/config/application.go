package config

import (
	"slices"
	"strings"

	"wellkey/internal/secret"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// secretPrefix begins every client secret of Tesla's portal.
const secretPrefix = "ta-secret."

func setClientID(s *Settings, text string) (what, fix string) {
	if what, fix := checkClientID(text); what != "" {
		return what, fix
	}
	s.Application.ClientID = text
	return "", ""
}

// checkClientID does not show the text, which may be a secret in the wrong place.
func checkClientID(text string) (what, fix string) {
	if strings.HasPrefix(text, secretPrefix) {
		return "is a client secret, not a client id", "Swap the two; the client id has the form of a UUID"
	}
	return checkToken(text)
}

func setClientSecret(s *Settings, text string) (what, fix string) {
	if what, fix := checkToken(text); what != "" {
		return what, fix
	}
	s.Application.ClientSecret = secret.New(text)
	return "", ""
}

// checkToken refuses what an id or a secret never holds, without showing it.
func checkToken(text string) (what, fix string) {
	switch {
	case strings.TrimSpace(text) != text:
		return "has white space or an empty line before or behind it", "Remove it; one line end behind it is fine in a file"
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }):
		return "holds white space or characters beyond ASCII", "Copy it from Tesla's portal again, alone"
	case len(text) > 1024:
		return "is longer than 1024 characters", "Copy it from Tesla's portal again, alone"
	}
	return "", ""
}

// otherRegions are names by which people may call the regions.
var otherRegions = map[string]string{"us": "na", "apac": "na", "ap": "na", "emea": "eu", "europe": "eu", "china": "cn"}

func setRegions(s *Settings, text string) (what, fix string) {
	var regions []fleetapi.Region
	for _, item := range items(text) {
		region := fleetapi.Region(item)
		if !slices.Contains(fleetapi.Regions(), region) {
			lower := strings.ToLower(item)
			if meant, ok := otherRegions[lower]; ok {
				return quote(item) + " is no region", "Write " + meant + " (" + fleetapi.Region(meant).Name() + ")"
			}
			if slices.Contains(fleetapi.Regions(), fleetapi.Region(lower)) {
				return quote(item) + " is no region", "Write " + lower
			}
			return quote(item) + " is no region", "Choose among na, eu and cn"
		}
		if slices.Contains(regions, region) {
			return "names " + item + " twice", "Remove one of the two"
		}
		regions = append(regions, region)
	}
	if len(regions) == 0 {
		return "names no region", "Write na,eu"
	}
	if len(regions) > 1 && slices.Contains(regions, fleetapi.CN) {
		return "names cn beside another region, but China needs an application of its own", "Run a second wellkey, with its own domain, for cn"
	}
	s.Regions = regions
	return "", ""
}

func setAcceptKey(s *Settings, text string) (what, fix string) {
	fingerprint, err := keystore.NormalizeFingerprint(text)
	if err != nil {
		return quote(text) + " is no SHA-256 fingerprint of a key", "Write its 64 hexadecimal digits, as wellkey status prints them"
	}
	s.AcceptKey = fingerprint
	return "", ""
}
