// Command oci writes a container image as a plain OCI image layout, without a daemon:
// oci -binary FILE -version V -out DIR. The image holds the program, the certificates of this
// machine, and an empty state folder that belongs to user 65532. SOURCE_DATE_EPOCH dates it.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	binary := flag.String("binary", "", "the program, `FILE`")
	version := flag.String("version", "", "its `VERSION`")
	arch := flag.String("arch", "amd64", "its `ARCHITECTURE`")
	certificates := flag.String("certificates", "/etc/ssl/certs/ca-certificates.crt", "certificate authorities, `FILE`")
	out := flag.String("out", "", "`FOLDER` to write to; it must not exist")
	flag.Parse()
	if *binary == "" || *version == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(64)
	}
	if err := write(*out, *binary, *certificates, *version, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

// user runs the program; it owns nothing but the state folder.
const user = 65532

func write(out, binary, certificates, version, arch string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	created := time.Unix(seconds, 0).UTC()
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s exists", out)
	}
	blobs := filepath.Join(out, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	layer, inflated, err := makeLayer(binary, certificates, created)
	if err != nil {
		return err
	}
	config := map[string]any{
		"created": created.Format(time.RFC3339), "architecture": arch, "os": "linux",
		"config": map[string]any{
			"User": fmt.Sprintf("%d:%[1]d", user), "Entrypoint": []string{"/usr/bin/callpoint"}, "WorkingDir": "/",
			// Beyond loopback the program demands CALLPOINT_TOKEN.
			"Env":          []string{"PATH=/usr/bin", "CALLPOINT_STORE=/var/lib/callpoint/callpoint.db", "CALLPOINT_LISTEN=0.0.0.0:8425"},
			"ExposedPorts": map[string]any{"8425/tcp": struct{}{}}, "Volumes": map[string]any{"/var/lib/callpoint": struct{}{}}, "StopSignal": "SIGTERM",
			"Labels": map[string]string{"org.opencontainers.image.title": "callpoint", "org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digest(inflated)}},
		"history": []any{map[string]any{"created": created.Format(time.RFC3339), "created_by": "packaging/oci"}},
	}
	const kind = "application/vnd.oci.image."
	blob := func(mediaType string, content []byte) (map[string]any, error) {
		d := digest(content)
		return map[string]any{"mediaType": mediaType, "digest": d, "size": len(content)}, os.WriteFile(filepath.Join(blobs, d[len("sha256:"):]), content, 0o644)
	}
	layerOf, err1 := blob(kind+"layer.v1.tar+gzip", layer)
	configOf, err2 := blob(kind+"config.v1+json", mustJSON(config))
	manifestOf, err3 := blob(kind+"manifest.v1+json", mustJSON(map[string]any{"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": configOf, "layers": []any{layerOf}}))
	manifestOf["platform"] = map[string]string{"architecture": arch, "os": "linux"}
	manifestOf["annotations"] = map[string]string{"org.opencontainers.image.ref.name": version}
	index := map[string]any{"schemaVersion": 2, "mediaType": kind + "index.v1+json", "manifests": []any{manifestOf}}
	return errors.Join(err1, err2, err3,
		os.WriteFile(filepath.Join(out, "index.json"), mustJSON(index), 0o644),
		os.WriteFile(filepath.Join(out, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

// mustJSON encodes values that always can be.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// makeLayer returns the file system, compressed and as it is.
func makeLayer(binary, certificates string, created time.Time) (packed, plain []byte, err error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, nil, err
	}
	authorities, err := os.ReadFile(certificates)
	if err != nil {
		return nil, nil, err
	}
	var all bytes.Buffer
	w := tar.NewWriter(&all)
	for _, f := range []struct {
		name    string
		mode    int64
		owner   int
		content []byte
	}{
		{"etc/", 0o755, 0, nil}, {"etc/passwd", 0o644, 0, fmt.Appendf(nil, "root:x:0:0::/:/\ncallpoint:x:%d:%[1]d::/var/lib/callpoint:/\n", user)},
		{"etc/ssl/", 0o755, 0, nil}, {"etc/ssl/certs/", 0o755, 0, nil}, {"etc/ssl/certs/ca-certificates.crt", 0o644, 0, authorities},
		{"tmp/", 0o1777, 0, nil}, {"usr/", 0o755, 0, nil}, {"usr/bin/", 0o755, 0, nil}, {"usr/bin/callpoint", 0o755, 0, program},
		{"var/", 0o755, 0, nil}, {"var/lib/", 0o755, 0, nil}, {"var/lib/callpoint/", 0o700, user, nil},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content)), ModTime: created, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if f.content == nil {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	var z bytes.Buffer
	g, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return nil, nil, err
	}
	if _, err := g.Write(all.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := g.Close(); err != nil {
		return nil, nil, err
	}
	return z.Bytes(), all.Bytes(), nil
}
