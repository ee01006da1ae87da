package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// A spec is all that an image depends on.
type spec struct {
	arch              string // amd64, arm64 or armv7
	version, revision string
	time              time.Time // of all files, and of the image
	binary, roots     []byte
}

// Media types and shapes are those of the OCI Image Format Specification 1.1,
// https://github.com/opencontainers/image-spec; Healthcheck and Volumes are where
// Docker and BuildKit put them, too.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type image struct {
	Created time.Time `json:"created"`
	platform
	Config settings `json:"config"`
	RootFS rootFS   `json:"rootfs"`
	// No history: it is optional, and there is one layer.
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

var platforms = map[string]platform{
	"amd64": {Architecture: "amd64", OS: "linux"},
	"arm64": {Architecture: "arm64", OS: "linux"},
	"armv7": {Architecture: "arm", OS: "linux", Variant: "v7"},
}

// write writes the archive: an image layout in a tar file.
func (s spec) write(w io.Writer) error {
	p, ok := platforms[s.arch]
	if !ok {
		return fmt.Errorf("there is no platform %q: it is amd64, arm64 or armv7", s.arch)
	}
	var layer, packed bytes.Buffer
	if err := s.layer(&layer); err != nil {
		return err
	}
	zip := gzip.NewWriter(&packed) // without name and time
	if _, err := zip.Write(layer.Bytes()); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}

	archive := tarball{tar.NewWriter(w), s.time, 0}
	var faults []error
	blob := func(kind string, data []byte) descriptor {
		sum := sha256.Sum256(data)
		name := hex.EncodeToString(sum[:])
		faults = append(faults, archive.file("blobs/sha256/"+name, 0o644, data))
		return descriptor{MediaType: kind, Digest: "sha256:" + name, Size: len(data)}
	}
	document := func(v any) []byte {
		data, err := json.Marshal(v)
		faults = append(faults, err)
		return data
	}
	faults = append(faults, archive.file("oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)))
	diff := sha256.Sum256(layer.Bytes())
	config := blob(typeConfig, document(image{
		Created: s.time, platform: p, Config: s.settings(),
		RootFS: rootFS{"layers", []string{"sha256:" + hex.EncodeToString(diff[:])}},
	}))
	body := blob(typeManifest, document(manifest{2, typeManifest, config, []descriptor{blob(typeLayer, packed.Bytes())}}))
	body.Platform = &p
	body.Annotations = map[string]string{"io.containerd.image.name": "docker.io/library/wellkey:" + s.version, "org.opencontainers.image.ref.name": s.version}
	faults = append(faults, archive.file("index.json", 0o644, document(index{2, typeIndex, []descriptor{body}})), archive.Close())
	for _, err := range faults {
		if err != nil {
			return fmt.Errorf("writing the archive: %w", err)
		}
	}
	return nil
}

// layer writes what the last stage of the Dockerfile copies.
func (s spec) layer(w io.Writer) error {
	t := tarball{tar.NewWriter(w), s.time, 0}
	for _, dir := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/"} {
		if err := t.directory(dir, 0o755); err != nil {
			return err
		}
	}
	if err := t.file("etc/ssl/certs/ca-certificates.crt", 0o644, s.roots); err != nil {
		return err
	}
	if err := t.file("wellkey", 0o755, s.binary); err != nil {
		return err
	}
	t.owner = user
	if err := t.directory("data/", 0o700); err != nil {
		return err
	}
	return t.Close()
}

// A tarball writes files that all have one time and one owner.
type tarball struct {
	*tar.Writer
	time  time.Time
	owner int
}

func (t *tarball) file(name string, mode fs.FileMode, data []byte) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(data)), ModTime: t.time, Uid: t.owner, Gid: t.owner}); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

func (t *tarball) directory(name string, mode fs.FileMode) error {
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: int64(mode), ModTime: t.time, Uid: t.owner, Gid: t.owner})
}
