// Image writes the image that the Dockerfile describes as an OCI archive, out of a
// program that is built already, with neither an engine nor root: a release needs
// one file for each platform, and the same input must give the same bytes.
//
//	go run ./deploy/release/image -arch arm64 -binary wellkey -version 1.2.3 \
//	  -revision 0123abc -epoch 1764000000 -o wellkey_1.2.3_linux_arm64.oci.tar
//
// What it writes "docker load", "podman load", "skopeo copy oci-archive:" and
// "crane push" read. .ci/image compares it with what the Dockerfile builds.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var s spec
	var binary, roots, output string
	var epoch int64
	flag.StringVar(&s.arch, "arch", "", "amd64, arm64 or armv7")
	flag.StringVar(&binary, "binary", "", "the program, built for that")
	flag.StringVar(&roots, "roots", "/etc/ssl/certs/ca-certificates.crt", "root certificates of the public web")
	flag.StringVar(&s.version, "version", "", "version, for the label")
	flag.StringVar(&s.revision, "revision", "unknown", "commit, for the label")
	flag.Int64Var(&epoch, "epoch", 0, "the time of all that is in it, in seconds since 1970")
	flag.StringVar(&output, "o", "", "the archive to write")
	flag.Parse()
	if err := run(s, binary, roots, epoch, output); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(s spec, binary, roots string, epoch int64, output string) (err error) {
	if binary == "" || s.version == "" || output == "" || epoch <= 0 || flag.NArg() > 0 {
		return fmt.Errorf("-binary, -version, -epoch and -o are needed, and nothing else is")
	}
	s.time = time.Unix(epoch, 0).UTC()
	if s.binary, err = os.ReadFile(binary); err != nil {
		return err
	}
	if s.roots, err = os.ReadFile(roots); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := s.write(&archive); err != nil {
		return err
	}
	return os.WriteFile(output, archive.Bytes(), 0o644)
}
