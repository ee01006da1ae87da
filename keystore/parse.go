package keystore

import "bytes"

// MaxSize is the size in bytes that no key file exceeds. Whoever reads a key from
// a source that may be endless reads at most MaxSize+1 bytes and lets [Parse]
// refuse the rest.
const MaxSize = 4096

// A Form is the format in which a key was written.
type Form string

// The forms that Parse reads.
const (
	FormSPKI  Form = "spki"  // PUBLIC KEY
	FormSEC1  Form = "sec1"  // EC PRIVATE KEY
	FormPKCS8 Form = "pkcs8" // PRIVATE KEY
)

// A Quirk is a harmless deviation from the canonical bytes. Parse tolerates it;
// other readers of the same bytes may not.
type Quirk string

// The quirks that Parse tolerates.
const (
	QuirkBOM            Quirk = "bom"              // begins with a UTF-8 byte order mark
	QuirkCRLF           Quirk = "crlf"             // lines end in CRLF or CR
	QuirkWhiteSpace     Quirk = "white_space"      // blank lines, or white space around lines
	QuirkLineLength     Quirk = "line_length"      // base64 not in lines of 64 characters
	QuirkNoFinalNewline Quirk = "no_final_newline" // the last line has no end
	QuirkECParameters   Quirk = "ec_parameters"    // an EC PARAMETERS block before the key; Tesla's tools stop at it
)

// Parsed is a key and how it was written.
type Parsed struct {
	Key     Key
	Form    Form
	Private bool    // the private half was there as well
	Quirks  []Quirk // none if data was canonical, in the order they were noticed
}

// Parse reads the one P-256 key that data holds in PEM, see the package comment
// for the forms. Everything else is refused with a [*ParseError]. Parse does not
// change data, which may be the content of a file or what any host on the
// internet has sent.
func Parse(data []byte) (Parsed, error) {
	parsed, refusal := parse(data)
	if refusal != nil {
		refusal.Private = looksPrivate(data)
		return Parsed{}, refusal
	}
	return parsed, nil
}

func parse(data []byte) (Parsed, *ParseError) {
	if refusal := foreign(data); refusal != nil {
		return Parsed{}, refusal
	}
	var quirks quirks
	text := plainLines(data, &quirks)
	defer clear(text)
	blocks, around, refusal := split(text, &quirks)
	defer wipe(blocks)
	if refusal != nil {
		return Parsed{}, refusal
	}
	block, refusal := single(blocks, &quirks)
	switch {
	case refusal != nil:
		return Parsed{}, refusal
	case around:
		return Parsed{}, refuse(ReasonTextAround)
	}

	parsed := Parsed{Quirks: quirks}
	switch block.label {
	case labelPublic:
		parsed.Form = FormSPKI
		parsed.Key, refusal = parseSPKI(block.der)
	case labelSEC1:
		parsed.Form, parsed.Private = FormSEC1, true
		parsed.Key, refusal = parseSEC1(block.der, false)
	default: // labelPKCS8: single lets nothing else pass
		parsed.Form, parsed.Private = FormPKCS8, true
		parsed.Key, refusal = parsePKCS8(block.der)
	}
	if refusal != nil {
		return Parsed{}, refusal
	}
	return parsed, nil
}

var (
	utf8BOM    = []byte("\xef\xbb\xbf")
	whiteSpace = " \t\r\n\v\f"
)

// foreign refuses what can be told from afar not to be a key in PEM.
func foreign(data []byte) *ParseError {
	data = data[:min(len(data), MaxSize+1)]
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return refuse(ReasonUTF16)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(data, utf8BOM), whiteSpace)
	switch {
	case len(text) == 0 && len(data) <= MaxSize:
		return refuse(ReasonEmpty)
	case bytes.HasPrefix(text, []byte("<")):
		return refuse(ReasonHTML)
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return refuse(ReasonJSON)
	case isDER(data):
		return refuse(ReasonDER)
	case len(data) > MaxSize:
		// The usual large file is a chain of certificates, which has a better name.
		first, _, _ := bytes.Cut(text, []byte("\n"))
		if label, ok := marker(bytes.TrimSpace(first), beginMark); ok {
			if refusal := refuseLabel(label); refusal != nil && refusal.Reason != ReasonBlockType {
				return refusal
			}
		}
		return refuse(ReasonTooLarge)
	}
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-", "---- BEGIN SSH2"} {
		if bytes.HasPrefix(text, []byte(prefix)) {
			return refuse(ReasonOpenSSH)
		}
	}
	return nil
}

// looksPrivate reports whether data seems to hold a private key in any form. It
// may err on the side of alarm.
func looksPrivate(data []byte) bool {
	text := bytes.ReplaceAll(data, []byte{0}, nil) // UTF-16 becomes readable
	defer clear(text)
	return bytes.Contains(text, []byte("PRIVATE KEY-----")) || isPrivateDER(data)
}

type quirks []Quirk

func (q *quirks) add(quirk Quirk) {
	for _, known := range *q {
		if known == quirk {
			return
		}
	}
	*q = append(*q, quirk)
}
