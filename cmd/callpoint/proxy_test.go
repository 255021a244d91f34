package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// selfSigned makes a certificate that is its own authority.
func selfSigned(t *testing.T, dir, host string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// tunnel is a proxy that connects every host to one address, and counts.
func tunnel(t *testing.T, to string) (url string, connects *atomic.Int32) {
	t.Helper()
	connects = &atomic.Int32{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.my.salesforce.com:443" {
			http.Error(w, "not for this proxy: "+r.Method+" "+r.Host, http.StatusForbidden)
			return
		}
		connects.Add(1)
		server, err := net.Dial("tcp", to)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			server.Close()
			return
		}
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(server, client); server.Close() }()
		_, _ = io.Copy(client, server)
		client.Close()
	}))
	t.Cleanup(srv.Close)
	return srv.URL, connects
}

// What proxies.md says of the way out: through HTTPS_PROXY, with the authority that
// SSL_CERT_FILE names, and never with a certificate that nobody vouches for.
func TestThroughAProxyWithAPrivateAuthority(t *testing.T) {
	t.Parallel()
	b, dir := newBench(t), t.TempDir()
	certFile, keyFile := selfSigned(t, dir, "example.my.salesforce.com")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	org := httptest.NewUnstartedServer(b.org)
	org.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	org.StartTLS()
	t.Cleanup(org.Close)
	proxy, connects := tunnel(t, strings.TrimPrefix(org.URL, "https://"))
	b.env = append(b.env, "SALESFORCE_DOMAIN=https://example.my.salesforce.com", "HTTPS_PROXY="+proxy)
	if _, errs, code := b.run("--sync-once"); code != exitFailed || !strings.Contains(errs, "certificate") {
		t.Errorf("a certificate that nobody vouches for: exit %d\n%s", code, errs)
	}
	plain := b.env
	b.env = append(b.env, "SSL_CERT_FILE="+certFile)
	if out, errs, code := b.run("--sync-once"); code != exitDone || connects.Load() < 2 {
		t.Errorf("exit %d after %d connections\n%s%s", code, connects.Load(), out, errs)
	}
	// The same from an env file, as systemd reads it for the daemon.
	b.env = slices.DeleteFunc(slices.Clone(plain), func(kv string) bool { return strings.HasPrefix(kv, "HTTPS_PROXY=") })
	file, before := tempFile(t, "callpoint.env", []byte("HTTPS_PROXY="+proxy+"\nSSL_CERT_FILE=\""+certFile+"\"\n")), connects.Load()
	if out, errs, code := b.run("--sync-once", "--env-file", file); code != exitDone || connects.Load() == before {
		t.Errorf("from an env file: exit %d after %d connections\n%s%s", code, connects.Load()-before, out, errs)
	}
}
