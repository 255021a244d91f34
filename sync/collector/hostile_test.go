package collector

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile bodies of /v1/events, with the status that each must get.
var hostile = []struct {
	name, body, contentType, encoding string
	want                              int
}{
	{"nothing", "", "", "", 400},
	{"blanks", " \n\t\r\n ", "", "", 400},
	{"one NUL", "\x00", "", "", 400},
	{"NULs", strings.Repeat("\x00", 1<<20), "", "", 400},
	{"a byte-order mark", "\ufeff", "", "", 400},
	{"UTF-16", "\xff\xfe{\x00}\x00", "", "", 400},
	{"invalid UTF-8 in a value", "{\"url\":\"https://x/\xc3\x28\"}", "", "", 400},
	{"an overlong encoding", "{\"url\":\"\xc0\xaf\"}", "", "", 400},
	{"a lone surrogate", view("title", `"\udfff"`), "", "", 400},
	{"an empty object", "{}", "", "", 400},
	{"an empty array", "[]", "", "", 400},
	{"an array of arrays", "[[[[]]]]", "", "", 400},
	{"a string", `"x"`, "", "", 400},
	{"a number", `1e999999999`, "", "", 400},
	{"null", `null`, "", "", 400},
	{"a million brackets", strings.Repeat("[", 1<<20), "", "", 400},
	{"a million objects deep", strings.Repeat(`{"a":`, 1<<18), "", "", 400},
	{"deep inside an unknown key", view("x", strings.Repeat("[", 1000)+strings.Repeat("]", 1000)), "", "", 400},
	{"a known key twice", `{"url":"https://x/","url":"https://y/"}`, "", "", 400},
	{"the same key escaped", `{"url":"https://x/","u\u0072l":"https://y/"}`, "", "", 400},
	{"keys in capitals", strings.ToUpper(view()), "", "", 400},
	{"20,000 keys", "{" + manyKeys(20000) + "}", "", "", 400},
	{"an endless line", `{"url":"https://x/` + strings.Repeat("a", 2<<20), "", "", 400},
	{"an endless key", `{"` + strings.Repeat("a", 2<<20) + `":1}`, "", "", 400},
	{"an endless number", view("sequence", strings.Repeat("9", 200000)), "", "", 400},
	{"an endless id", view("bizible_id", quote(strings.Repeat("a", 200000))), "", "", 400},
	{"an id with ESC", view("bizible_id", `"\u001b[31m"`), "", "", 400},
	{"an id with a line separator", view("bizible_id", `"a\nb"`), "", "", 400},
	{"a NUL in the URL", view("url", `"https://x/\u0000"`), "", "", 400},
	{"a URL without end", view("url", quote("https://x/"+strings.Repeat("a", 40000))), "", "", 200},
	{"a javascript URL", view("url", `"javascript:alert(1)"`), "", "", 400},
	{"a file URL", view("url", `"file:///etc/passwd"`), "", "", 400},
	{"year 0", view("at", `"0000-01-01T00:00:00Z"`), "", "", 400},
	{"year 9999", view("at", `"9999-12-31T23:59:59Z"`), "", "", 400},
	{"year 10000", view("at", `"10000-01-01T00:00:00Z"`), "", "", 400},
	{"a year below 0", view("at", `"-001-01-01T00:00:00Z"`), "", "", 400},
	{"second 60", view("at", `"2026-11-22T23:59:60Z"`), "", "", 400},
	{"an offset of 99 hours", view("at", `"2026-11-23T12:00:00+99:00"`), "", "", 400},
	{"a time of many digits", view("at", `"2026-11-23T12:00:00.`+strings.Repeat("1", 100000)+`Z"`), "", "", 200},
	{"a sequence beyond 64 bits", view("sequence", "9223372036854775808"), "", "", 400},
	{"a sequence in floating point", view("sequence", "1e3"), "", "", 400},
	{"trailing garbage", view() + "\x00\x01garbage", "", "", 400},
	{"an array with garbage behind", "[" + view() + "]]]]", "", "", 200},
	{"a comment", "/*x*/" + view(), "", "", 400},
	{"a broken line among good ones", "{{{{\n" + view() + "\n]]]]", "", "", 200},
	{"lines of nothing", strings.Repeat("\n", 1<<20), "", "", 400},
	{"200,000 bad lines", strings.Repeat("x\n", 200000), "", "", 400},
	{"gzip that is none", "this is no gzip", "", "gzip", 400},
	{"gzip cut short", gzipped(strings.Repeat(view()+"\n", 100))[:60], "", "gzip", 400},
	{"gzip with a wrong checksum", spoil(gzipped(view())), "", "gzip", 400},
	{"gzip with garbage behind", gzipped(view()) + "garbage", "", "gzip", 400},
	{"an empty gzip", "", "", "gzip", 400},
	{"a gzip bomb", bomb(gzipped), "", "gzip", 413},
	{"a zstd bomb", bomb(zstded), "", "zstd", 413},
	{"a bomb of lines", gzipped(strings.Repeat(view()+"\n", 33<<20/len(view()))), "", "gzip", 413},
	{"zstd that is none", "this is no zstd", "", "zstd", 400},
	{"zstd cut short", zstded(strings.Repeat(view()+"\n", 100))[:40], "", "zstd", 400},
	{"zstd with an enormous window", "\x28\xb5\x2f\xfd\x00\xa0\x00\x00\x00", "", "zstd", 400},
	{"200,000 empty gzip members", strings.Repeat(gzipped(""), 200000), "", "gzip", 400},
	{"a bomb of many gzip members", strings.Repeat(gzipped(strings.Repeat(" ", 1<<20)), 40), "", "gzip", 413},
	{"a gzip member with an endless name", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff" + strings.Repeat("a", 1<<20), "", "gzip", 400},
	{"200,000 empty zstd frames", strings.Repeat(zstded(""), 200000), "", "zstd", 400},
	{"a bomb of many zstd frames", strings.Repeat(zstded(strings.Repeat(" ", 1<<20)), 40), "", "zstd", 413},
	{"a zstd frame to skip, of 4 GiB", "\x50\x2a\x4d\x18\xff\xff\xff\xff" + strings.Repeat("a", 1<<20), "", "zstd", 400},
	{"zstd inside gzip", gzipped(zstded(view())), "", "gzip", 400},
	{"gzip inside gzip", gzipped(gzipped(view())), "", "gzip", 400},
	{"gzip, gzip", gzipped(gzipped(view())), "", "gzip, gzip", 415},
	{"brotli", view(), "", "br", 415},
	{"33 MiB", strings.Repeat(" ", 33<<20), "", "", 413},
	{"no Content-Type", view(), "-", "", 415},
	{"text", view(), "text/plain", "", 415},
	{"a form", "a=b", "application/x-www-form-urlencoded", "", 415},
	{"a Content-Type that does not parse", view(), "application/json;;;=", "", 415},
	{"another charset", view(), "application/json; charset=utf-16", "", 415},
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":1`, i)
	}
	return strings.Join(keys, ",")
}

// spoil changes the checksum at the end.
func spoil(s string) string { return s[:len(s)-6] + string(s[len(s)-6]^1) + s[len(s)-5:] }

// bomb is 100 MiB of blanks within one record, in a few kilobytes.
func bomb(compress func(string) string) string {
	return compress(`{"x":"` + strings.Repeat("a", 100<<20) + `"}`)
}

func TestHostileBodies(t *testing.T) {
	s := serve(t)
	if len(hostile) < 40 {
		t.Fatalf("%d cases", len(hostile))
	}
	goroutines := runtime.NumGoroutine()
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			before := s.store.calls
			headers := []string{"Content-Encoding", c.encoding}
			switch c.contentType {
			case "":
				headers = append(headers, "Content-Type", "application/json")
			case "-":
			default:
				headers = append(headers, "Content-Type", c.contentType)
			}
			resp, text := s.request(t, "POST", "/v1/events", c.body, headers...)
			if resp.StatusCode != c.want {
				t.Errorf("%d %.300s, want %d", resp.StatusCode, text, c.want)
			}
			if len(text) > 32<<10 {
				t.Errorf("an answer of %d bytes", len(text))
			}
			if stored := s.store.calls > before; stored != (c.want == 200) {
				t.Errorf("reached the store: %v", stored)
			}
		})
	}
	// The slots are free and the collector answers as before.
	if status, a := s.post(t, "/v1/events", view("sequence", "1000")); status != 200 || a.Accepted != 1 {
		t.Errorf("afterwards: %d %+v", status, a)
	}
	if len(s.slots) != 0 || len(s.large) != 0 {
		t.Errorf("%d and %d slots are still held", len(s.slots), len(s.large))
	}
	http.DefaultClient.CloseIdleConnections()
	for range 100 {
		if runtime.NumGoroutine() <= goroutines+2 {
			return
		}
		runtime.Gosched()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		runtime.GC()
	}
	if n := runtime.NumGoroutine(); n > goroutines+10 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

// A body that breaks off on the way leaves nothing behind.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, kind := range []string{"/v1/events", "/m/ipv"} {
		body := io.MultiReader(strings.NewReader(view()+"\n"+view("sequence", "2")+"\n"), errReader{})
		req, err := http.NewRequest("POST", s.srv.URL+kind, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("%s: %d for a body that broke off", kind, resp.StatusCode)
		}
	}
	// The same seen from inside, where the answer can be read.
	for _, encoding := range []string{"", "gzip"} {
		text := strings.Repeat(view()+"\n", 10)
		if encoding == "gzip" {
			text = gzipped(text)[:50]
		}
		r := httptest.NewRequest("POST", "/v1/events", io.MultiReader(strings.NewReader(text), errReader{}))
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		s.ingest(eventLines)(w, r)
		if w.Code != 400 || !bytes.Contains(w.Body.Bytes(), []byte("nothing of it was kept")) {
			t.Errorf("%q: %d %s", encoding, w.Code, w.Body)
		}
	}
	if s.store.count() != 0 {
		t.Error("something was kept")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Bytes of a good body are changed at random: no 5xx, no panic, no event out of range.
func TestMutatedBodies(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	good := []byte(view("geo", `{"city":"Seattle"}`, "sequence", "3") + "\n[" + view("title", `"\u00e9"`) + "]\n" + view("sequence", "4"))
	s := serve(t)
	for range 2000 {
		body := bytes.Clone(good)
		for range 1 + rnd.IntN(6) {
			switch i := rnd.IntN(len(body)); rnd.IntN(3) {
			case 0:
				body[i] = byte(rnd.IntN(256))
			case 1:
				body = append(body[:i], body[min(len(body), i+rnd.IntN(20)):]...)
			default:
				body = append(body[:i:i], append([]byte(`"{[\,:`)[rnd.IntN(6):], body[i:]...)...)
			}
			if len(body) == 0 {
				body = []byte("x")
			}
		}
		eventBody(t, s, body)
	}
}

// eventBody posts body straight to the handler and checks what holds for every body.
func eventBody(t *testing.T, s *site, body []byte) {
	t.Helper()
	r := httptest.NewRequest("POST", "/v1/events", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ingest(eventLines)(w, r)
	if w.Code != 200 && w.Code != 400 && w.Code != 413 {
		t.Fatalf("%d for %q", w.Code, body)
	}
	for _, e := range s.store.events {
		if e.Visitor == "" || e.URL == "" || e.At.After(noon.Add(maxAhead)) || e.At.Before(noon.Add(-defaultRetention)) ||
			e.At.Nanosecond()%1e6 != 0 || e.At.Location() != time.UTC || hasControl(e.URL+e.Referrer+e.Title+e.UserAgent) {
			t.Fatalf("stored %+v from %q", e, body)
		}
	}
	clear(s.store.events)
}

func FuzzEventBody(f *testing.F) {
	s := serve(f)
	for _, c := range hostile {
		if c.encoding == "" && len(c.body) < 1000 {
			f.Add([]byte(c.body))
		}
	}
	f.Add([]byte(view()))
	f.Fuzz(func(t *testing.T, body []byte) { eventBody(t, s, body) })
}
