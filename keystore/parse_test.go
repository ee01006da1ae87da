package keystore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wellkey/keystore"
)

func TestParse(t *testing.T) {
	type quirks = []keystore.Quirk
	tests := map[string]struct {
		form   keystore.Form
		quirks quirks
	}{
		"good-spki.pem":                {keystore.FormSPKI, nil},
		"good-sec1.pem":                {keystore.FormSEC1, nil},
		"good-pkcs8.pem":               {keystore.FormPKCS8, nil},
		"good-pkcs8-v2.pem":            {keystore.FormPKCS8, nil},
		"good-sec1-without-public.pem": {keystore.FormSEC1, nil},
		"good-ec-parameters.pem":       {keystore.FormSEC1, quirks{keystore.QuirkECParameters}},
		"good-sec1-crlf.pem":           {keystore.FormSEC1, quirks{keystore.QuirkCRLF, keystore.QuirkECParameters}},
		"good-crlf.pem":                {keystore.FormSPKI, quirks{keystore.QuirkCRLF}},
		"good-cr.pem":                  {keystore.FormSPKI, quirks{keystore.QuirkCRLF}},
		"good-bom.pem":                 {keystore.FormSPKI, quirks{keystore.QuirkBOM}},
		"good-white-space.pem":         {keystore.FormSPKI, quirks{keystore.QuirkWhiteSpace}},
		"good-indented.pem":            {keystore.FormSPKI, quirks{keystore.QuirkWhiteSpace}},
		"good-no-final-newline.pem":    {keystore.FormSPKI, quirks{keystore.QuirkNoFinalNewline}},
		"good-long-line.pem":           {keystore.FormSPKI, quirks{keystore.QuirkLineLength}},
		"good-short-lines.pem":         {keystore.FormSPKI, quirks{keystore.QuirkLineLength}},
		"good-everything.pem": {keystore.FormSPKI, quirks{
			keystore.QuirkBOM, keystore.QuirkCRLF, keystore.QuirkNoFinalNewline, keystore.QuirkWhiteSpace, keystore.QuirkLineLength,
		}},
	}
	for _, name := range files(t, "good-*") {
		test, ok := tests[name]
		if !ok {
			t.Errorf("%s: no test expects anything of it", name)
			continue
		}
		data := testdata(t, name)
		before := bytes.Clone(data)
		parsed, err := keystore.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%s: Parse has changed its input", name)
		}
		if parsed.Key.Fingerprint() != testFingerprint || !bytes.Equal(parsed.Key.PEM(), testdata(t, "good-spki.pem")) {
			t.Errorf("%s: got key %v", name, parsed.Key)
		}
		if parsed.Form != test.form || parsed.Private != (test.form != keystore.FormSPKI) || !slices.Equal(parsed.Quirks, test.quirks) {
			t.Errorf("%s: got %+v, want %+v", name, parsed, test)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	type refused struct {
		reason  keystore.Reason
		private bool
		cause   string // "" is the usual one
	}
	const only = ", and vehicles know P-256 only"
	tests := map[string]refused{
		"bad-empty.pem":               {reason: keystore.ReasonEmpty},
		"bad-blank.pem":               {reason: keystore.ReasonEmpty},
		"bad-huge.pem":                {reason: keystore.ReasonTooLarge},
		"bad-huge-blank.pem":          {reason: keystore.ReasonTooLarge},
		"bad-chain.pem":               {reason: keystore.ReasonCertificate},
		"bad-html.pem":                {reason: keystore.ReasonHTML},
		"bad-html-with-key.pem":       {reason: keystore.ReasonHTML},
		"bad-json.pem":                {reason: keystore.ReasonJSON},
		"bad-utf16.pem":               {reason: keystore.ReasonUTF16},
		"bad-utf16-private.pem":       {reason: keystore.ReasonUTF16, private: true},
		"bad-public.der":              {reason: keystore.ReasonDER},
		"bad-private.der":             {reason: keystore.ReasonDER, private: true},
		"bad-pkcs8.der":               {reason: keystore.ReasonDER, private: true},
		"bad-certificate.der":         {reason: keystore.ReasonDER},
		"bad-openssh.pem":             {reason: keystore.ReasonOpenSSH, private: true},
		"bad-openssh.pub":             {reason: keystore.ReasonOpenSSH},
		"bad-hex.txt":                 {reason: keystore.ReasonNotPEM},
		"bad-one-line.pem":            {reason: keystore.ReasonOneLine},
		"bad-escaped.pem":             {reason: keystore.ReasonOneLine},
		"bad-yaml.yml":                {reason: keystore.ReasonOneLine},
		"bad-no-end.pem":              {reason: keystore.ReasonMalformed},
		"bad-no-begin.pem":            {reason: keystore.ReasonMalformed},
		"bad-two-begins.pem":          {reason: keystore.ReasonMalformed},
		"bad-other-end.pem":           {reason: keystore.ReasonMalformed},
		"bad-base64.pem":              {reason: keystore.ReasonMalformed},
		"bad-no-body.pem":             {reason: keystore.ReasonMalformed},
		"bad-text-before.pem":         {reason: keystore.ReasonTextAround},
		"bad-text-after.pem":          {reason: keystore.ReasonTextAround, private: true},
		"bad-headers.pem":             {reason: keystore.ReasonHeaders},
		"bad-two-keys.pem":            {reason: keystore.ReasonSeveralKeys},
		"bad-pair.pem":                {reason: keystore.ReasonSeveralKeys, private: true},
		"bad-key-and-certificate.pem": {reason: keystore.ReasonSeveralBlocks, private: true},
		"bad-parameters-public.pem":   {reason: keystore.ReasonSeveralBlocks},
		"bad-parameters.pem":          {reason: keystore.ReasonNoKey},
		"bad-type.pem":                {reason: keystore.ReasonBlockType},
		"bad-certificate.pem":         {reason: keystore.ReasonCertificate},
		"bad-request.pem":             {reason: keystore.ReasonCertificate, cause: "holds a certificate request, not a key"},
		"bad-rsa-public.pem":          {reason: keystore.ReasonRSA, cause: "holds an RSA public key" + only},
		"bad-rsa-public-pkcs1.pem":    {reason: keystore.ReasonRSA, cause: "holds an RSA public key" + only},
		"bad-rsa-private.pem":         {reason: keystore.ReasonRSA, private: true, cause: "holds an RSA private key" + only},
		"bad-rsa-private-pkcs1.pem":   {reason: keystore.ReasonRSA, private: true, cause: "holds an RSA private key" + only},
		"bad-ed25519.pem":             {reason: keystore.ReasonAlgorithm, cause: "holds an Ed25519 key" + only},
		"bad-ed25519-private.pem":     {reason: keystore.ReasonAlgorithm, private: true, cause: "holds an Ed25519 key" + only},
		"bad-unknown-algorithm.pem":   {reason: keystore.ReasonAlgorithm},
		"bad-dsa.pem":                 {reason: keystore.ReasonAlgorithm, private: true, cause: "holds a DSA key" + only},
		"bad-p224.pem":                {reason: keystore.ReasonCurve, cause: "holds an EC key on the curve P-224 (secp224r1)" + only},
		"bad-p384.pem":                {reason: keystore.ReasonCurve, cause: "holds an EC key on the curve P-384 (secp384r1)" + only},
		"bad-p384-private.pem":        {reason: keystore.ReasonCurve, private: true, cause: "holds an EC key on the curve P-384 (secp384r1)" + only},
		"bad-p384-parameters.pem":     {reason: keystore.ReasonCurve, private: true, cause: "holds an EC key on the curve P-384 (secp384r1)" + only},
		"bad-p521.pem":                {reason: keystore.ReasonCurve, cause: "holds an EC key on the curve P-521 (secp521r1)" + only},
		"bad-secp256k1.pem":           {reason: keystore.ReasonCurve, cause: "holds an EC key on the curve secp256k1" + only},
		"bad-unknown-curve.pem":       {reason: keystore.ReasonCurve},
		"bad-no-curve.pem":            {reason: keystore.ReasonMalformed},
		"bad-explicit.pem":            {reason: keystore.ReasonExplicitParameters},
		"bad-explicit-private.pem":    {reason: keystore.ReasonExplicitParameters, private: true},
		"bad-encrypted.pem":           {reason: keystore.ReasonEncrypted, private: true},
		"bad-encrypted-headers.pem":   {reason: keystore.ReasonEncrypted, private: true},
		"bad-compressed.pem":          {reason: keystore.ReasonCompressedPoint},
		"bad-compressed-private.pem":  {reason: keystore.ReasonCompressedPoint, private: true},
		"bad-hybrid.pem":              {reason: keystore.ReasonMalformed},
		"bad-off-curve.pem":           {reason: keystore.ReasonNotOnCurve},
		"bad-infinity.pem":            {reason: keystore.ReasonMalformed},
		"bad-no-point.pem":            {reason: keystore.ReasonMalformed},
		"bad-halves.pem":              {reason: keystore.ReasonHalvesDiffer, private: true},
		"bad-halves-pkcs8.pem":        {reason: keystore.ReasonHalvesDiffer, private: true},
		"bad-zero-scalar.pem":         {reason: keystore.ReasonMalformed, private: true},
		"bad-long-scalar.pem":         {reason: keystore.ReasonMalformed, private: true},
		"bad-sec1-no-curve.pem":       {reason: keystore.ReasonMalformed, private: true},
		"bad-sec1-version.pem":        {reason: keystore.ReasonMalformed, private: true},
		"bad-wrong-label.pem":         {reason: keystore.ReasonMalformed, private: true},
		"bad-padding-bits.pem":        {reason: keystore.ReasonMalformed},
		"bad-unused-bits.pem":         {reason: keystore.ReasonMalformed},
		"bad-primitive.pem":           {reason: keystore.ReasonMalformed},
		"bad-pkcs8-version.pem":       {reason: keystore.ReasonMalformed, private: true},
		"bad-pkcs8-inner-curve.pem":   {reason: keystore.ReasonCurve, private: true, cause: "holds an EC key on the curve secp256k1" + only},
		"bad-trailing-der.pem":        {reason: keystore.ReasonMalformed},
	}
	untested := keystore.Refusals()
	for _, name := range files(t, "bad-*") {
		want, ok := tests[name]
		if !ok {
			t.Errorf("%s: no test expects anything of it", name)
			continue
		}
		usual := keystore.Refusals()[want.reason]
		if want.cause == "" {
			want.cause = usual.Cause
		}
		parsed, err := keystore.Parse(testdata(t, name))
		var refusal *keystore.ParseError
		if !errors.As(err, &refusal) {
			t.Errorf("%s: got %+v, %v, want %s", name, parsed, err, want.reason)
			continue
		}
		if got := (refused{refusal.Reason, refusal.Private, refusal.Cause}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if refusal.Fix != usual.Fix || err.Error() != want.cause+"; "+usual.Fix || !parsed.Key.IsZero() {
			t.Errorf("%s: got %v and key %v", name, err, parsed.Key)
		}
		delete(untested, want.reason)
	}
	for reason := range untested {
		t.Errorf("no file in testdata is refused as %s", reason)
	}
}

// The words of every reason, as users read them.
func TestRefusalTexts(t *testing.T) {
	want := strings.Split(strings.TrimSpace(string(testdata(t, "messages.txt"))), "\n")
	var got []string
	for reason := range keystore.Refusals() {
		got = append(got, string(reason)+": "+keystore.Refuse(reason).Error())
	}
	slices.Sort(got)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of messages.txt differs; all lines are now:\n%s", i+1, strings.Join(got, "\n"))
		}
	}
}

func TestParseSizeLimit(t *testing.T) {
	key := testdata(t, "good-spki.pem")
	full := append(bytes.Clone(key), bytes.Repeat([]byte("\n"), keystore.MaxSize-len(key))...)
	if parsed, err := keystore.Parse(full); err != nil || parsed.Key != testKey(t) {
		t.Errorf("%d bytes: got %v", len(full), err)
	}
	var refusal *keystore.ParseError
	if _, err := keystore.Parse(append(full, '\n')); !errors.As(err, &refusal) || refusal.Reason != keystore.ReasonTooLarge {
		t.Errorf("a byte more: got %v", err)
	}
}

// files returns the names in testdata that match pattern.
func files(t testing.TB, pattern string) []string {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if match, err := filepath.Match(pattern, entry.Name()); err != nil {
			t.Fatal(err)
		} else if match {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		t.Fatalf("no files match %s", pattern)
	}
	return names
}
