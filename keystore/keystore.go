// Package keystore holds the P-256 key whose public half wellkey hosts: it reads
// key files strictly, generates a key only where there is none, follows the file
// as it changes, and goes on with the last good key when a change is bad.
//
// # What is at stake
//
// Vehicles obey whoever has the private half of the registered key, and trust no
// other key until every owner pairs again. So there are two ways to lose: to
// publish a private key, and to replace a key that vehicles trust.
//
// Nothing but the public half leaves this package. A [Key] has no room for
// more; what is served is encoded anew from the point on the curve, so no byte
// of a file reaches the network, whatever the file holds; and no error repeats
// any content of a file. A private key is in memory only while it is parsed or
// generated, and the buffers of this package are wiped afterwards; the copies
// that Go's cryptography makes inside are left to its garbage collector.
//
// A [Store] never overwrites a file that holds a key. [Store.Generate] fails,
// and touches nothing, where anything at all has the name of the key file. Only a
// [Rotation] replaces the key file, which is what it is for, and a key leaves its
// place only when a copy is in the archive, is on the disk, and was read back.
// Nothing here ever deletes the last copy of a key.
//
// A private key that its group or others may read is refused, because others
// who share the machine could command the vehicles. Where a file system keeps no
// permissions, nothing can be protected, and a warning says so.
//
// Who can write to the directory can make wellkey serve another public key.
// That hurts nobody's vehicle: the key is worth something only once it is
// registered, and the registrar never replaces a registered key on its own. Who
// can read a private key there can command the vehicles that trust it; the best
// protection is to give wellkey the public key only, which is all it needs.
//
// # Files
//
// The key file holds one key in PEM, at most [MaxSize] bytes:
//
//   - PUBLIC KEY: a SubjectPublicKeyInfo (RFC 5480), the form that is served;
//   - EC PRIVATE KEY: SEC 1 (RFC 5915), also after the EC PARAMETERS block that
//     "openssl ecparam -genkey" writes without -noout;
//   - PRIVATE KEY: PKCS #8 (RFC 5958), not encrypted.
//
// The curve is P-256 by name (prime256v1, secp256r1), the point uncompressed, and
// a private half belongs to the public half beside it. White space, CRLF line
// ends and a byte order mark are tolerated and reported, see [Quirk]. All else is
// refused by name, see [ParseError].
//
// A generated file is SEC 1 with mode 0600, byte for byte in the form that
// "openssl ecparam -name prime256v1 -genkey -noout" writes, which Tesla's own
// tools read. It appears whole or not at all, and is on the disk before the key
// is used. After a crash in between, a file ".NAME.tmp-*" may be left beside it
// that holds a key nobody has seen; it can be deleted.
//
// The restored file holds the canonical public half of a key whose key file was
// lost, rebuilt from what Tesla has on record. The key file wins over it as soon
// as there is one again.
//
// The staged file holds the key that a rotation will publish, mode 0600, in the
// same forms as the key file. The archive is a directory of mode 0700 with the
// keys that were replaced or given up, each as it was, mode 0600, in a file named
// TIME-FINGERPRINT.pem after the time in UTC and the first 12 characters of the
// fingerprint: "20261124T120000Z-5a0e2c0b7d8f.pem". Wellkey never cleans it up. Who
// knows that no vehicle trusts a key any more may delete its file.
package keystore
