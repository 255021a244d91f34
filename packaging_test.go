package callpoint_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sh runs a script, which must succeed, and returns what it prints.
func sh(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// Every later commit has a version that dpkg and rpm sort above: an upgrade is an upgrade.
func TestVersionsSort(t *testing.T) {
	t.Parallel()
	repo := t.TempDir()
	script, err := filepath.Abs("packaging/version.sh")
	if err != nil {
		t.Fatal(err)
	}
	git := []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}
	sh(t, repo, "git init -q", git...)
	var versions []string
	commit := func(date, tag string) {
		env := append(git, "GIT_COMMITTER_DATE="+date, "GIT_AUTHOR_DATE="+date)
		sh(t, repo, "git commit -q --allow-empty -m x", env...)
		if tag != "" {
			sh(t, repo, "git tag -a -m x "+tag, env...)
		}
		versions = append(versions, sh(t, repo, script, git...))
	}
	commit("2026-11-01T10:00:00+0200", "")
	commit("2026-11-01T10:00:01+0200", "")
	commit("2026-11-02T00:00:00+0000", "v0.1.0")
	commit("2026-11-03T00:00:00+0000", "")
	commit("2026-11-03T00:00:09+0000", "")
	commit("2026-11-04T00:00:00+0000", "v0.1.1")
	commit("2026-12-04T00:00:00+0000", "v0.10.0")
	commit("2027-12-04T00:00:00+0000", "")
	if !strings.HasPrefix(versions[0], "0.0.0~20261101080000.") || versions[2] != "0.1.0" || !strings.HasPrefix(versions[3], "0.1.0+20261103000000.") {
		t.Errorf("versions %v", versions)
	}
	_, noDpkg := exec.LookPath("dpkg")
	_, noRPM := exec.LookPath("rpm")
	for i := 1; i < len(versions); i++ {
		if noDpkg == nil {
			sh(t, repo, fmt.Sprintf("dpkg --compare-versions '%s' lt '%s'", versions[i-1], versions[i]))
		}
		if noRPM == nil {
			if got := sh(t, repo, fmt.Sprintf(`rpm --eval '%%{lua: print(rpm.vercmp("%s", "%s"))}'`, versions[i-1], versions[i])); got != "-1" {
				t.Errorf("rpm: %s against %s is %s", versions[i-1], versions[i], got)
			}
		}
	}
	if noDpkg != nil && noRPM != nil {
		t.Skip("neither dpkg nor rpm is installed")
	}
}

// The image is an OCI layout whose digests are right, whose program is what was given, and
// which is the same when it is made again.
func TestContainerImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "callpoint")
	if err := os.WriteFile(program, []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	authorities := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(authorities, []byte("certificates"), 0o644); err != nil {
		t.Fatal(err)
	}
	makeImage := func(name string) string {
		sh(t, ".", fmt.Sprintf("go run ./packaging/oci -binary '%s' -certificates '%s' -version 1.2.3 -out '%s'", program, authorities, filepath.Join(dir, name)), "SOURCE_DATE_EPOCH=1795000000")
		return filepath.Join(dir, name)
	}
	image := makeImage("a")
	blob := func(digest string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(image, "blobs/sha256", strings.TrimPrefix(digest, "sha256:")))
		if err != nil || fmt.Sprintf("sha256:%x", sha256.Sum256(b)) != digest {
			t.Fatalf("blob %s: %v", digest, err)
		}
		return b
	}
	type descriptor struct {
		MediaType, Digest string
		Size              int
	}
	decode := func(b []byte, v any) {
		t.Helper()
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	indexText, err := os.ReadFile(filepath.Join(image, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Manifests []descriptor }
	decode(indexText, &index)
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	decode(blob(index.Manifests[0].Digest), &manifest)
	var config struct {
		Config struct {
			User       string
			Entrypoint []string
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(blob(manifest.Config.Digest), &config)
	z, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0].Digest)))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if err != nil || fmt.Sprintf("sha256:%x", sha256.Sum256(layer)) != config.Rootfs.DiffIDs[0] {
		t.Errorf("the layer is not the one that the configuration names: %v", err)
	}
	found := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(r)
		found[h.Name] = fmt.Sprintf("%o %d %s", h.Mode, h.Uid, content)
	}
	for name, want := range map[string]string{"usr/bin/callpoint": "755 0 #!/bin/true\n", "etc/ssl/certs/ca-certificates.crt": "644 0 certificates", "var/lib/callpoint/": "700 65532 "} {
		if found[name] != want {
			t.Errorf("%s: %q, want %q", name, found[name], want)
		}
	}
	if config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/usr/bin/callpoint" {
		t.Errorf("configuration %+v", config)
	}
	again, err := os.ReadFile(filepath.Join(makeImage("b"), "index.json"))
	if err != nil || !bytes.Equal(again, indexText) {
		t.Errorf("made again, the image differs: %v", err)
	}
}

// The list of licences holds their texts, of Go itself at least.
func TestLicences(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := sh(t, ".", "go run ./packaging/licenses '"+binary+"'")
	for _, want := range []string{"the Go standard library and runtime go1", ": LICENSE\n", "Redistributions of source code must retain the above copyright"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
}
