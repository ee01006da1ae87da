package keystore

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// encoding/pem skips whatever it does not understand, which is the opposite of
// what is wanted here; and it makes copies that cannot be wiped.

const (
	beginMark = "-----BEGIN "
	endMark   = "-----END "

	labelPublic     = "PUBLIC KEY"
	labelSEC1       = "EC PRIVATE KEY"
	labelPKCS8      = "PRIVATE KEY"
	labelParameters = "EC PARAMETERS"

	// lineLength is how many base64 characters a line has (RFC 7468, section 2).
	lineLength = 64
)

// A block is one PEM block.
type block struct {
	label     string
	headers   bool // there are header lines (RFC 1421)
	encrypted bool // and they say that the content is encrypted
	der       []byte
}

func wipe(blocks []block) {
	for _, b := range blocks {
		clear(b.der)
	}
}

// plainLines returns a copy of data without byte order mark and with LF line ends.
func plainLines(data []byte, quirks *quirks) []byte {
	rest, bom := bytes.CutPrefix(data, utf8BOM)
	if bom {
		quirks.add(QuirkBOM)
	}
	text := make([]byte, 0, len(rest))
	for i, c := range rest {
		if c == '\r' {
			quirks.add(QuirkCRLF)
			if i+1 < len(rest) && rest[i+1] == '\n' {
				continue
			}
			c = '\n'
		}
		text = append(text, c)
	}
	return text
}

// split returns the PEM blocks in text, and whether there is other text around
// them. The blocks are to be wiped also after a refusal.
func split(text []byte, quirks *quirks) (blocks []block, around bool, _ *ParseError) {
	body, complete := bytes.CutSuffix(text, []byte("\n"))
	if !complete {
		quirks.add(QuirkNoFinalNewline)
	}
	base := make([]byte, 0, len(text)) // the base64 of the open block, in one piece
	defer func() { clear(base[:cap(base)]) }()
	open, short := false, false
	for full := range bytes.SplitSeq(body, []byte("\n")) {
		line := bytes.Trim(full, whiteSpace)
		if len(line) != len(full) || len(line) == 0 {
			quirks.add(QuirkWhiteSpace)
		}
		if len(line) == 0 {
			continue
		}
		begin, isBegin := marker(line, beginMark)
		end, isEnd := marker(line, endMark)
		switch {
		case isBegin && !open:
			blocks = append(blocks, block{label: begin})
			base, open, short = base[:0], true, false
		case bytes.Contains(line, []byte(beginMark)) && !isBegin:
			return blocks, around, refuse(ReasonOneLine)
		case isBegin, isEnd && !open, isEnd && end != blocks[len(blocks)-1].label:
			return blocks, around, refuse(ReasonMalformed)
		case isEnd:
			last := &blocks[len(blocks)-1]
			last.der = make([]byte, base64.StdEncoding.DecodedLen(len(base)))
			n, err := base64.StdEncoding.Strict().Decode(last.der, base)
			last.der = last.der[:n]
			if (err != nil || n == 0) && !last.headers {
				return blocks, around, refuse(ReasonMalformed)
			}
			open = false
		case !open:
			around = true
		case bytes.IndexByte(line, ':') >= 0:
			last := &blocks[len(blocks)-1]
			last.headers = true
			last.encrypted = last.encrypted || bytes.Contains(line, []byte("ENCRYPTED"))
		default:
			if short || len(line) > lineLength {
				quirks.add(QuirkLineLength)
			}
			short = len(line) != lineLength // which only the last line may be
			base = append(base, line...)
		}
	}
	if open {
		return blocks, around, refuse(ReasonMalformed)
	}
	return blocks, around, nil
}

// marker returns the label of a BEGIN or END line.
func marker(line []byte, mark string) (string, bool) {
	rest, isMark := strings.CutPrefix(string(line), mark)
	label, whole := strings.CutSuffix(rest, "-----")
	return label, isMark && whole && !strings.Contains(label, "-")
}

// single returns the one block that holds the key.
func single(blocks []block, quirks *quirks) (block, *ParseError) {
	if len(blocks) == 0 {
		return block{}, refuse(ReasonNotPEM)
	}
	if blocks[0].label == labelParameters {
		if len(blocks) == 1 {
			return block{}, refuse(ReasonNoKey)
		}
		if refusal := checkCurve(blocks[0].der); refusal != nil {
			return block{}, refusal
		}
		if blocks[1].label == labelSEC1 {
			quirks.add(QuirkECParameters)
			blocks = blocks[1:]
		}
	}
	first, keys, alike := blocks[0], 0, true
	for _, b := range blocks {
		alike = alike && b.label == first.label
		if strings.HasSuffix(b.label, "KEY") {
			keys++
		}
	}
	if alike {
		if refusal := refuseLabel(first.label); refusal != nil {
			return block{}, refusal
		}
	}
	switch {
	case keys > 1:
		return block{}, refuse(ReasonSeveralKeys)
	case len(blocks) > 1:
		return block{}, refuse(ReasonSeveralBlocks)
	case first.encrypted:
		return block{}, refuse(ReasonEncrypted)
	case first.headers:
		return block{}, refuse(ReasonHeaders)
	}
	return first, nil
}

// refuseLabel refuses every PEM block that cannot hold a key for us.
func refuseLabel(label string) *ParseError {
	switch label {
	case labelPublic, labelSEC1, labelPKCS8:
		return nil
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		return refuse(ReasonCertificate)
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return refuseAs(ReasonCertificate, "holds a certificate request, not a key")
	case "ENCRYPTED PRIVATE KEY":
		return refuse(ReasonEncrypted)
	case "RSA PUBLIC KEY":
		return refuseAs(ReasonRSA, causeRSAPublic)
	case "RSA PRIVATE KEY":
		return refuseAs(ReasonRSA, causeRSAPrivate)
	case "DSA PRIVATE KEY":
		return refuseAs(ReasonAlgorithm, "holds a DSA key, and vehicles know P-256 only")
	case "OPENSSH PRIVATE KEY":
		return refuse(ReasonOpenSSH)
	}
	return refuse(ReasonBlockType)
}
