package orgsim_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

func (w *world) login(form map[string]string, header ...string) answer {
	w.Helper()
	v := url.Values{}
	for k, s := range form {
		v.Set(k, s)
	}
	return w.send("POST", "/services/oauth2/token", v.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""}, header...)...)
}

func clientForm() map[string]string {
	return map[string]string{"grant_type": "client_credentials", "client_id": orgsim.DefaultClientID, "client_secret": orgsim.DefaultClientSecret}
}

func passwordForm() map[string]string {
	f := clientForm()
	f["grant_type"], f["username"], f["password"] = "password", orgsim.DefaultUsername, orgsim.DefaultPassword+orgsim.DefaultSecurityToken
	return f
}

// signed makes a JWT bearer form.
func signed(t *testing.T, key *rsa.PrivateKey, claims m) map[string]string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(m{"alg": "RS256", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": text + "." + base64.RawURLEncoding.EncodeToString(sig)}
}

func TestLogins(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, orgsim.Config{JWTKey: &key.PublicKey})
	claims := m{"iss": orgsim.DefaultClientID, "sub": orgsim.DefaultUsername, "aud": "https://login.salesforce.com", "exp": start.Add(3 * time.Minute).Unix()}
	inText := m{"iss": orgsim.DefaultClientID, "sub": orgsim.DefaultUsername, "aud": "https://login.salesforce.com", "exp": fmt.Sprint(start.Add(5 * time.Minute).Unix())}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(orgsim.DefaultClientID+":"+orgsim.DefaultClientSecret))
	seen := map[string]bool{}
	for _, tc := range []struct {
		name string
		a    answer
		keys string // that the answer has, sorted as they come
	}{
		{"client credentials", w.login(clientForm()), "access_token scope instance_url id token_type signature issued_at api_instance_url"},
		{"basic", w.login(map[string]string{"grant_type": "client_credentials"}, "Authorization", basic), "access_token scope instance_url id token_type signature issued_at api_instance_url"},
		{"password", w.login(passwordForm()), "access_token scope instance_url id token_type signature issued_at"},
		{"jwt", w.login(signed(t, key, claims)), "access_token scope instance_url id token_type"},
		{"jwt, exp as text", w.login(signed(t, key, inText)), "access_token scope instance_url id token_type"},
	} {
		var out map[string]string // all values are text
		w.into(tc.a, 200, &out)
		at := -1
		for _, k := range strings.Fields(tc.keys) {
			i := strings.Index(tc.a.text, `"`+k+`":`)
			if i <= at {
				t.Errorf("%s: %s missing or out of place in %s", tc.name, k, tc.a.text)
			}
			at = i
		}
		if len(out) != len(strings.Fields(tc.keys)) {
			t.Errorf("%s: more than %s: %s", tc.name, tc.keys, tc.a.text)
		}
		if out["instance_url"] != w.srv.URL || out["token_type"] != "Bearer" || !strings.HasPrefix(out["access_token"], w.org.OrgID()[:15]+"!") ||
			out["id"] != "https://login.salesforce.com/id/"+w.org.OrgID()+"/"+w.org.UserID() || seen[out["access_token"]] {
			t.Errorf("%s: %s", tc.name, tc.a.text)
		}
		if at, ok := out["issued_at"]; ok && at != fmt.Sprint(start.UnixMilli()) {
			t.Errorf("%s: issued at %s", tc.name, at)
		}
		if tc.a.header.Get("Sforce-Limit-Info") != "" {
			t.Errorf("%s counts as an API call", tc.name)
		}
		seen[out["access_token"]] = true
		if a := w.send("GET", data+"/limits", "", "Authorization", "Bearer "+out["access_token"]); a.status != 200 {
			t.Errorf("%s: token does not work: %d", tc.name, a.status)
		}
	}
	if s := w.org.Requests(); s.Logins != 5 || s.LoginsFailed != 0 || s.APICalls != 5 {
		t.Errorf("stats %+v", s)
	}
}

func TestLoginRefused(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, orgsim.Config{JWTKey: &key.PublicKey})
	with := func(form map[string]string, k, v string) map[string]string {
		if form[k] = v; v == "" {
			delete(form, k)
		}
		return form
	}
	jwt := func(k string, v any) map[string]string {
		claims := m{"iss": orgsim.DefaultClientID, "sub": orgsim.DefaultUsername, "aud": "https://login.salesforce.com", "exp": start.Add(3 * time.Minute).Unix()}
		claims[k] = v
		return signed(t, key, claims)
	}
	for _, tc := range []struct {
		form             map[string]string
		code, descripton string
	}{
		{with(clientForm(), "grant_type", ""), "invalid_request", "grant type is missing"},
		{with(clientForm(), "grant_type", "refresh"), "unsupported_grant_type", "grant type not supported"},
		{with(clientForm(), "client_id", "x"), "invalid_client_id", "client identifier invalid"},
		{with(clientForm(), "client_secret", "x"), "invalid_client", "invalid client credentials"},
		{with(passwordForm(), "client_secret", "x"), "invalid_client", "invalid client credentials"},
		{with(passwordForm(), "username", "x"), "invalid_grant", "authentication failure"},
		{with(passwordForm(), "password", orgsim.DefaultPassword), "invalid_grant", "authentication failure"},
		{jwt("iss", "x"), "invalid_client_id", "client identifier invalid"},
		{jwt("sub", "x"), "invalid_grant", "user hasn't approved this consumer"},
		{jwt("aud", w.srv.URL), "invalid_grant", "audience is invalid"},
		{jwt("aud", "https://test.salesforce.com"), "invalid_grant", "audience is invalid"},
		{jwt("exp", start.Unix()), "invalid_grant", "expired authorization code"},
		{jwt("exp", start.Add(time.Hour).Unix()), "invalid_grant", "expired authorization code"},
		{jwt("exp", "soon"), "invalid_grant", "invalid assertion"},
		{signed(t, other, m{"iss": orgsim.DefaultClientID, "sub": orgsim.DefaultUsername, "aud": "https://login.salesforce.com", "exp": start.Add(time.Minute).Unix()}), "invalid_client", "invalid client credentials"},
		{with(jwt("x", 1), "assertion", "a.b"), "invalid_grant", "invalid assertion"},
	} {
		var out map[string]string
		w.into(w.login(tc.form), 400, &out)
		if out["error"] != tc.code || out["error_description"] != tc.descripton || len(out) != 2 {
			t.Errorf("%v: got %v, want %s, %s", tc.form, out, tc.code, tc.descripton)
		}
	}
	if s := w.org.Requests(); s.Logins != 0 || s.LoginsFailed != 16 {
		t.Errorf("stats %+v", s)
	}
	sandbox := newWorld(t, orgsim.Config{Sandbox: true})
	if a := sandbox.login(jwt("aud", "https://test.salesforce.com")); a.status != 200 {
		t.Errorf("sandbox: %d %s", a.status, a.text)
	}
	if a := sandbox.login(jwt("aud", "https://login.salesforce.com")); a.status != 400 {
		t.Errorf("sandbox takes the audience of production: %d", a.status)
	}
}

func TestSessions(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	call := func(auth string) answer { return w.send("GET", data+"/limits", "", "Authorization", auth) }
	expired := func(a answer) {
		t.Helper()
		w.refused(a, 401, "INVALID_SESSION_ID", "Session expired or invalid")
	}
	expired(call(""))
	expired(call("Bearer nonsense"))
	expired(call("Basic " + w.token))
	if a := call("OAuth " + w.token); a.status != 200 {
		t.Errorf("OAuth scheme: %d", a.status)
	}
	// Each call restarts the inactivity timer.
	for range 3 {
		w.clock.advance(2*time.Hour - time.Second)
		if a := call("Bearer " + w.token); a.status != 200 {
			t.Fatalf("within two hours of the last call: %d", a.status)
		}
	}
	w.clock.advance(2 * time.Hour)
	expired(call("Bearer " + w.token))
	w.token = w.org.AccessToken()
	w.org.ExpireTokens()
	expired(call("Bearer " + w.token))
	if s := w.org.Requests(); s.Unauthorized != 5 || s.APICalls != 4 {
		t.Errorf("stats %+v", s)
	}
	if a := w.send("GET", "/services/oauth2/userinfo", ""); a.status != 403 || a.text != "Bad_OAuth_Token" {
		t.Errorf("userinfo: %d %s", a.status, a.text)
	}
	w.token = w.org.AccessToken()
	var info map[string]any
	w.into(w.send("GET", "/services/oauth2/userinfo", ""), 200, &info)
	if info["organization_id"] != w.org.OrgID() || info["user_id"] != w.org.UserID() || info["preferred_username"] != orgsim.DefaultUsername {
		t.Errorf("userinfo: %v", info)
	}
}
