package cli_test

import (
	"bytes"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/internal/testca"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// pairingProblems are what owners meet, and calls of the API.
func pairingProblems() map[string]func(*problem) {
	return map[string]func(*problem){
		"third_party_not_registered": thirdPartyNotRegistered,
		"not_registered_in_region":   notRegisteredInRegion,
		"no_policy_rules":            noPolicyRules,
		"access_not_granted":         accessNotGranted,
		"no_prompt":                  noPrompt,
		"public_key_request_fails":   publicKeyRequestFails,
		"pairing_link_malformed":     pairingLinkMalformed,
	}
}

func thirdPartyNotRegistered(p *problem) {
	_, key := newKey(p.t)
	w := p.hosted(key.PEM())
	w.enroll(key, fleetapi.NA)
	p.wants(w, 1, "doctor", "tesla_key", "Owners in Europe, Middle East and Africa cannot pair before", `Run "wellkey register `+w.Domain+`"`)
	p.wants(w, 0, "register", "is registered in na and eu")
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
	p.wants(w, 0, "doctor", "All is well")

	serving := p.healthy()
	if err := serving.Check(serving.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		p.t.Error(err)
	}
	p.explained("This third party isn't registered with Tesla", "not registered in the region of the owner's account", "register in every region")
}

func notRegisteredInRegion(p *problem) {
	_, key := newKey(p.t)
	w := p.hosted(key.PEM())
	p.wants(w, 1, "doctor", "tesla_key", "must be registered in the current region", "Regions know nothing of each other", "wellkey register "+w.Domain)
	p.wants(w, 0, "register", "is registered in na and eu")
	p.healthy()
}

func noPolicyRules(p *problem) {
	w := newWorld(p.t, withFiles)
	r := p.serves(w, registrar.WaitingForCredentials, "works once it is registered")
	w.writeCredentials()
	w.awaitRegistered()
	p.status(w, "All is well")
	if regexp.MustCompile(`"(access|refresh)_token`).MatchString(r.Log.String()) {
		p.t.Error("a token is logged")
	}
	for _, request := range w.Tesla.Requests() {
		if request.Operation != fleetapi.OpToken && request.Operation != fleetapi.OpRegister && request.Operation != fleetapi.OpPublicKey {
			p.t.Errorf("it takes more than the application's credentials: %+v", request)
		}
	}
	p.wants(w, 0, "doctor", "All is well") // nothing here can see a login
	p.explained("No policy rules", "not registered before an owner signed in", "every region is registered")
}

func accessNotGranted(p *problem) {
	p.healthy()
	p.explained("is prohibited because you have not granted", "has not finished the sign-in", "with the account that owns the car", "vehicle_cmds")
}

func noPrompt(p *problem) {
	w := p.healthy()
	visit := w.fetch()
	if visit.Header.Get("Content-Type") != "application/x-pem-file" || visit.Header.Get("X-Content-Type-Options") != "nosniff" {
		p.t.Errorf("the key is not sent as a file: %v", visit.Header)
	}
	key := newPublicKey(p.t)
	for body, words := range map[string][]string{
		string(key): {"http_content_type", "the Tesla app then asks fewer owners to pair", "Send application/x-pem-file"},
		"<!DOCTYPE html><html><body><pre>" + string(key) + "</pre></body></html>": {"http_html", "what comes is a web page"},
	} {
		w := p.stranger()
		w.answer(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte(body)) // not to HEAD
		})
		p.wants(w, map[bool]int{true: 0, false: 1}[body == string(key)], "doctor", words...)
	}
	p.explained("(no prompt)", "A fault of the app", "Close the app for good", "Safari")
}

func publicKeyRequestFails(p *problem) {
	_, key := newKey(p.t)
	w := p.hosted(key.PEM())
	w.enroll(key, fleetapi.NA)
	p.wants(w, 1, "doctor", "tesla_key", "wellkey register "+w.Domain)
	p.wants(w, 0, "register", "is registered in na and eu")
	asked := map[fleetapi.Region]int{}
	for _, request := range append(w.Tesla.Requests(), p.healthy().Tesla.Requests()...) {
		if request.Operation != fleetapi.OpPublicKey {
			continue
		}
		asked[request.Region]++
		if request.Domain == "" || request.Status == http.StatusMisdirectedRequest { // what Tesla says to the token of another region
			p.t.Errorf("it asks as users should not: %+v", request)
		}
	}
	if asked[fleetapi.NA] == 0 || asked[fleetapi.EU] == 0 {
		p.t.Errorf("asked %v", asked)
	}
}

func pairingLinkMalformed(p *problem) {
	w := p.healthy()
	links := regexp.MustCompile(`https?://[^\s"<>]*_ak[^\s"<>]*`)
	wantLinks := func(what, text string) {
		p.t.Helper()
		found := links.FindAllString(text, -1)
		if len(found) == 0 {
			p.t.Errorf("%s shows no link:\n%s", what, text)
		}
		for _, link := range found {
			if link != "https://tesla.com/_ak/"+w.Domain {
				p.t.Errorf("%s shows the link %q", what, link)
			}
		}
	}
	for _, command := range []string{"status", "status --json", "register", "register --json"} {
		p.wants(w, 0, command)
		wantLinks(command, w.command(nil, strings.Fields(command)...).out)
	}
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+w.AdminAddr+"/status", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	var page strings.Builder
	if err := answer.Write(&page); err != nil {
		p.t.Fatal(err)
	}
	wantLinks("the status page", strings.ReplaceAll(page.String(), "<wbr>", ""))
	p.wantsWith(w, w.Environ("DOMAIN=https://"+w.Domain+"/"), 2, "serve", "Write "+w.Domain) // so no link can come of it
	p.explained("Invalid domain name", "`https://` inside it, or a slash at the end", "more than six letters", "letter by letter")
}

// TestPairingPage: every message that users are known to meet at pairing has a
// row with cause, fix and source, and the documents lead there.
func TestPairingPage(t *testing.T) {
	t.Parallel()
	messages := []string{
		"This third party isn't registered with Tesla. We can't grant them access at this time.",
		"is prohibited because you have not granted",
		"Invalid domain name. Please check for leading, trailing, or other invalid characters.",
		"does not ask (no prompt)",
		"unpair your phone key and pair it again to retry",
		"Vehicle's keychain is full. You must delete a key before you can add another.",
		"Something went wrong. Try again later. No policy rules",
		"your public key has not been paired with the vehicle",
	}
	rows := tableRows(t, "pairing.md", 4)[1:]
	if len(rows) != len(messages) {
		t.Errorf("%d rows for %d messages", len(rows), len(messages))
	}
	for _, message := range messages {
		i := slices.IndexFunc(rows, func(row []string) bool { return strings.Contains(row[0], message) })
		if i < 0 {
			t.Errorf("no row for %q", message)
			continue
		}
		for _, cell := range rows[i][1:] {
			if cell == "" {
				t.Errorf("%q has an empty cell", message)
			}
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"(docs/pairing.md)", "(docs/problems.md)"} {
		if !bytes.Contains(readme, []byte(link)) {
			t.Errorf("the README does not lead to %s", link)
		}
	}
}
