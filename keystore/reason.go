package keystore

// A Reason says why something is not a key that wellkey can host. It is one of a
// closed set, stable, and fit for a metric label.
type Reason string

// The reasons to refuse a key.
const (
	ReasonEmpty              Reason = "empty"               // nothing, or white space only
	ReasonTooLarge           Reason = "too_large"           // more than MaxSize bytes
	ReasonHTML               Reason = "html"                // a web page
	ReasonJSON               Reason = "json"                // JSON
	ReasonUTF16              Reason = "utf16"               // two bytes a character
	ReasonDER                Reason = "der"                 // a key or certificate in binary
	ReasonOpenSSH            Reason = "openssh"             // the formats of ssh-keygen
	ReasonNotPEM             Reason = "not_pem"             // no PEM block at all
	ReasonOneLine            Reason = "one_line"            // line breaks lost
	ReasonMalformed          Reason = "malformed"           // damaged inside
	ReasonTextAround         Reason = "text_around"         // text before or after the PEM block
	ReasonHeaders            Reason = "headers"             // header lines inside the PEM block
	ReasonSeveralKeys        Reason = "several_keys"        // more than one key
	ReasonSeveralBlocks      Reason = "several_blocks"      // a key and something else
	ReasonBlockType          Reason = "block_type"          // a PEM block of another type
	ReasonNoKey              Reason = "no_key"              // curve parameters without a key
	ReasonCertificate        Reason = "certificate"         // a certificate, or a request for one
	ReasonEncrypted          Reason = "encrypted"           // a private key with a passphrase
	ReasonRSA                Reason = "rsa"                 // an RSA key
	ReasonAlgorithm          Reason = "algorithm"           // neither EC nor RSA: Ed25519, DSA
	ReasonCurve              Reason = "curve"               // EC on another curve
	ReasonExplicitParameters Reason = "explicit_parameters" // a curve spelled out, not named
	ReasonCompressedPoint    Reason = "compressed_point"    // half of the coordinates left out
	ReasonNotOnCurve         Reason = "not_on_curve"        // no point of P-256
	ReasonHalvesDiffer       Reason = "halves_differ"       // private and public half of two keys
)

// A ParseError says why [Parse] refused its input. It never holds any content of
// the input, so it can be shown to anybody.
type ParseError struct {
	Reason  Reason
	Cause   string // what was found, as the end of the sentence "the file ..."
	Fix     string // what to do about it
	Private bool   // the input seems to hold a private key: an alarm if it was published
}

// Error gives the cause and the fix.
func (e *ParseError) Error() string { return e.Cause + "; " + e.Fix }

const (
	// Whoever has a key already must not be told to write another over it.
	fixMake = "unless you have a P-256 key, make one with `openssl ecparam -name prime256v1 -genkey -noout -out private-key.pem`" +
		"; write its public half with `openssl ec -in private-key.pem -pubout -out public-key.pem`"
	fixExport = "write the public key again with `openssl ec -in private-key.pem -pubout -out public-key.pem`"
	fixServer = "check what the server really delivers there: it must be the public key file itself, as it is"
)

// refuse returns the error of reason in its usual words.
func refuse(reason Reason) *ParseError {
	e := refusals[reason]
	e.Reason = reason
	return &e
}

// refuseAs is refuse for what has a name of its own.
func refuseAs(reason Reason, cause string) *ParseError {
	e := refuse(reason)
	e.Cause = cause
	return e
}

// refusals holds the words of every reason.
var refusals = map[Reason]ParseError{
	ReasonEmpty: {
		Cause: "is empty",
		Fix:   "an empty file is often a copy that was cut short, or a volume mounted in the wrong place: copy the key again",
	},
	ReasonTooLarge: {
		Cause: "is larger than 4 KiB, and a P-256 key has 178 to 400 bytes",
		Fix:   "this may be a certificate chain, an RSA key or another file altogether: " + fixMake,
	},
	ReasonHTML: {
		Cause: "holds a web page, not a key",
		Fix:   "a login page, an error page or a single-page app has taken the place of the key: " + fixServer,
	},
	ReasonJSON: {
		Cause: "holds JSON, not a key",
		Fix:   "an error message or a settings file has taken the place of the key; if the key is a string inside, put it into a file of its own with real line breaks",
	},
	ReasonUTF16: {
		Cause: "is written in UTF-16, two bytes a character",
		Fix:   "`>` in Windows PowerShell writes so: save the file as UTF-8 or ASCII, or let openssl write it with -out",
	},
	ReasonDER: {
		Cause: "is binary (DER), not PEM",
		Fix:   "convert it with `openssl ec -inform DER -in FILE -pubout -out public-key.pem`, adding -pubin if it is a public key",
	},
	ReasonOpenSSH: {
		Cause: "holds a key in OpenSSH's own format",
		Fix:   "keys for SSH are another thing: " + fixMake,
	},
	ReasonNotPEM: {
		Cause: "holds no PEM block",
		Fix:   "a public key file begins with the line -----BEGIN PUBLIC KEY-----: " + fixExport,
	},
	ReasonOneLine: {
		Cause: "has a PEM block whose first line does not stand alone: line breaks were lost or written as \\n, or something stands before it",
		Fix:   "copy the file as it is; in YAML use a block (key: |), and a file in place of an environment variable",
	},
	ReasonMalformed: {
		Cause: "has a PEM block that is damaged or incomplete",
		Fix:   "copy the file again, from -----BEGIN to the end of the -----END line; if the original is no better, " + fixExport,
	},
	ReasonTextAround: {
		Cause: "has text before or after the PEM block",
		Fix:   "keep only the lines from -----BEGIN to -----END, or " + fixExport,
	},
	ReasonHeaders: {
		Cause: "has header lines inside the PEM block",
		Fix:   fixExport,
	},
	ReasonSeveralKeys: {
		Cause: "holds more than one key",
		Fix:   "keep one key in the file; it is not for wellkey to guess which one the vehicles trust",
	},
	ReasonSeveralBlocks: {
		Cause: "holds other PEM blocks beside the key",
		Fix:   "keep only the key in the file",
	},
	ReasonBlockType: {
		Cause: "holds a PEM block that is no key that wellkey knows",
		Fix:   fixMake,
	},
	ReasonNoKey: {
		Cause: "holds curve parameters (EC PARAMETERS) and no key",
		Fix:   "openssl ecparam writes a key only with -genkey: " + fixMake,
	},
	ReasonCertificate: {
		Cause: "holds a certificate, not a key",
		Fix:   "the certificate of a web server has nothing to do with the key that vehicles trust: " + fixMake,
	},
	ReasonEncrypted: {
		Cause: "holds a private key that is encrypted with a passphrase",
		Fix:   "wellkey needs only its public half: `openssl pkey -in private-key.pem -pubout -out public-key.pem` asks for the passphrase once",
	},
	ReasonRSA: {
		Cause: "holds an RSA key, and vehicles know P-256 only",
		Fix:   fixMake,
	},
	ReasonAlgorithm: {
		Cause: "holds a key of another algorithm, and vehicles know P-256 only",
		Fix:   fixMake,
	},
	ReasonCurve: {
		Cause: "holds an EC key on another curve, and vehicles know P-256 only",
		Fix:   fixMake,
	},
	ReasonExplicitParameters: {
		Cause: "holds an EC key whose curve is spelled out (explicit parameters) instead of named",
		Fix: "name the curve with `openssl ec -in FILE -param_enc named_curve -out private-key.pem`" +
			", adding -pubin -pubout if it is a public key",
	},
	ReasonCompressedPoint: {
		Cause: "holds a compressed point, which Tesla's tools do not read",
		Fix:   "write it in full with `openssl ec -in FILE -conv_form uncompressed -out private-key.pem`, adding -pubin -pubout if it is a public key",
	},
	ReasonNotOnCurve: {
		Cause: "holds a point that is not on the curve P-256",
		Fix:   "the key is damaged: " + fixExport,
	},
	ReasonHalvesDiffer: {
		Cause: "holds a private half and a public half that do not belong together",
		Fix:   "take the private key from a backup; nobody can tell which half the vehicles know",
	},
}
