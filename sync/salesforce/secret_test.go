package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
)

func TestSecretPrintsAsNothing(t *testing.T) {
	t.Parallel()
	const canary = "canary-0815"
	s := NewSecret(canary)
	hidden := struct{ inner struct{ s Secret } }{}
	hidden.inner.s = s
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"k": s}, struct{ S Secret }{s}, hidden, &hidden, Config{Password: s}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, v := range []any{s, &s, map[string]any{"s": s}, Config{Password: s}} {
		if raw, err := json.Marshal(v); err == nil {
			out.Write(raw)
		}
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("x", "s", s, "p", &s, "in", struct{ S Secret }{s}, "all", []Secret{s}, slog.Group("g", "s", s))
	}
	if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("the secret shows in %s", out.String())
	}
	mustContain(t, out.String(), redacted)
	if s.Reveal() != canary || s.IsZero() {
		t.Error("the secret is lost")
	}
	var read Secret
	if err := read.UnmarshalText([]byte(canary)); err != nil || read.Reveal() != canary {
		t.Errorf("read %q, %v", read.Reveal(), err)
	}
	if zero := NewSecret(""); !zero.IsZero() || zero.String() != "" || zero.Reveal() != "" {
		t.Error("the empty secret is none")
	}
}

// Servers and proxies that echo what they were sent, in every flow and way:
// nothing of it reaches a log, an error, a printed value or a goroutine dump.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	flows := map[string]func(*Config){
		"client credentials": func(*Config) {},
		"password": func(c *Config) {
			c.Username, c.Password, c.SecurityToken = "u@example.com", NewSecret("canary pass&word"), NewSecret("canary-token")
		},
		"JWT": func(c *Config) {
			c.ConsumerSecret, c.Username, c.PrivateKey = Secret{}, "u@example.com", NewSecret(testPEM())
		},
		"access token": func(c *Config) {
			c.ConsumerKey, c.ConsumerSecret, c.AccessToken = "", Secret{}, NewSecret("canary-access")
		},
	}
	echo := func(w http.ResponseWriter, r *http.Request, status int, oauth bool) {
		body, _ := io.ReadAll(r.Body)
		text := r.Header.Get("Authorization") + " " + string(body) + " " + r.PostForm.Encode() + " " + fmt.Sprint(r.PostForm)
		w.WriteHeader(status)
		if oauth {
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": text})
			return
		}
		json.NewEncoder(w).Encode([]map[string]any{{"errorCode": "FORBIDDEN_X", "message": text}, {"errorCode": "TWO", "message": text}})
	}
	for name, set := range flows {
		for _, at := range []string{"login", "call", "redirect", "broken"} {
			t.Run(name+" "+at, func(t *testing.T) {
				t.Parallel()
				var log bytes.Buffer
				var out strings.Builder
				s := newServer(t, nil)
				s.api = func(w http.ResponseWriter, r *http.Request) {
					q, _ := url.QueryUnescape(r.URL.RawQuery)
					switch {
					case strings.Contains(q, "Organization") && at != "login":
						io.WriteString(w, `{"done":true,"records":[{"Id":"`+orgID15+`"}]}`)
					case at == "redirect":
						w.Header().Set("Location", "https://evil.example/?"+url.QueryEscape(r.Header.Get("Authorization")))
						w.WriteHeader(302)
					case at == "broken":
						conn, _, err := http.NewResponseController(w).Hijack()
						if err != nil {
							t.Error(err)
							return
						}
						fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", r.Header.Get("Authorization"))
						conn.Close()
					default:
						echo(w, r, 403, false)
					}
				}
				if at == "login" {
					s.setToken(func(w http.ResponseWriter, form map[string]string) bool {
						r := &http.Request{PostForm: url.Values{}, Body: http.NoBody, Header: http.Header{}}
						for k, v := range form {
							r.PostForm.Set(k, v)
						}
						echo(w, r, 400, true)
						return true
					})
				}
				config := s.config()
				config.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				set(&config)
				dump := make([]byte, 1<<20)
				config.OnCall = func(i CallInfo) {
					fmt.Fprintf(&out, "%+v\n", i)
					dump = dump[:runtime.Stack(dump[:cap(dump)], false)]
				}
				c := newClient(t, config)
				_, err := c.Query(context.Background(), "SELECT Id FROM Task WHERE Name = 'canary-soql'", QueryOptions{})
				if err == nil {
					t.Fatal("no error")
				}
				results, werr := c.Upsert(context.Background(), []Batch{batch("Lead", "canary-key")})
				for e := err; e != nil; e = nextError(e) {
					fmt.Fprintf(&out, "%v %+v %#v\n", e, e, e)
				}
				fmt.Fprintf(&out, "%v %+v %+v %+v %#v %s\n", werr, results, c, *c.current0(), config, Cure(err))
				slog.New(slog.NewTextHandler(&out, nil)).Error("x", "err", err, "client", c, "config", config)
				out.Write(dump)
				out.Write(log.Bytes())
				for _, secret := range append(c.secrets(), NewSecret("canary"), NewSecret("eyJhbGci")) {
					if v := secret.Reveal(); v != "" && strings.Contains(strings.ReplaceAll(out.String(), "canary-key", ""), v) {
						t.Errorf("a secret shows: %.3000s", out.String())
					}
				}
			})
		}
	}
}

// current0 is the session, or an empty one.
func (c *Client) current0() *session {
	if s := c.current(); s != nil {
		return s
	}
	return &session{}
}

func nextError(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}
