package orgsim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const jwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// maxAssertionLife is how far ahead an assertion's exp may lie: five minutes,
// and one for a client's clock that runs ahead.
const maxAssertionLife = 6 * time.Minute

// An oauthError is a pair of error and error_description.
type oauthError [2]string

// token is the OAuth endpoint. It costs no API call.
func (o *Org) token(c *call) answer {
	if c.method != "POST" {
		return oauthAnswer(oauthError{"invalid_request", "must use HTTP POST"})
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return oauthAnswer(oauthError{"invalid_request", "malformed request"})
	}
	if id, secret, ok := basicAuth(c.header.Get("Authorization")); ok {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	grant := form.Get("grant_type")
	var bad oauthError
	switch grant {
	case "client_credentials":
		bad = o.checkClient(form)
	case "password":
		bad = o.checkPassword(form)
	case jwtGrant:
		bad = o.checkAssertion(form.Get("assertion"))
	case "":
		bad = oauthError{"invalid_request", "grant type is missing"}
	default:
		bad = oauthError{"unsupported_grant_type", "grant type not supported"}
	}
	if bad != (oauthError{}) {
		o.stats.LoginsFailed++
		return oauthAnswer(bad)
	}
	o.stats.Logins++
	body := object{{"access_token", o.newToken()}, {"scope", "api"}, {"instance_url", c.base},
		{"id", "https://login.salesforce.com/id/" + o.cfg.OrgID + "/" + o.userID}, {"token_type", "Bearer"}}
	if grant != jwtGrant {
		body = append(body, member{"signature", "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="},
			member{"issued_at", strconv.FormatInt(o.cfg.Now().UnixMilli(), 10)})
	}
	if grant == "client_credentials" {
		body = append(body, member{"api_instance_url", "https://api.salesforce.com"})
	}
	return jsonAnswer(200, body)
}

func oauthAnswer(e oauthError) answer {
	return jsonAnswer(400, object{{"error", e[0]}, {"error_description", e[1]}})
}

func basicAuth(header string) (id, secret string, ok bool) {
	encoded, ok := strings.CutPrefix(header, "Basic ")
	if !ok {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

func (o *Org) checkClient(form url.Values) oauthError {
	if form.Get("client_id") != o.cfg.ClientID {
		return oauthError{"invalid_client_id", "client identifier invalid"}
	}
	if form.Get("client_secret") != o.cfg.ClientSecret {
		return oauthError{"invalid_client", "invalid client credentials"}
	}
	return oauthError{}
}

func (o *Org) checkPassword(form url.Values) oauthError {
	if bad := o.checkClient(form); bad != (oauthError{}) {
		return bad
	}
	if !strings.EqualFold(form.Get("username"), o.cfg.Username) || form.Get("password") != o.cfg.Password+o.cfg.SecurityToken {
		return oauthError{"invalid_grant", "authentication failure"}
	}
	return oauthError{}
}

// claims are the claims of a JWT bearer assertion. exp is a number; two known
// libraries send it as a string, and Salesforce takes that.
type claims struct {
	Iss, Sub, Aud string
	Exp           json.RawMessage
}

func (o *Org) checkAssertion(assertion string) oauthError {
	invalid := oauthError{"invalid_grant", "invalid assertion"}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return invalid
	}
	var header struct{ Alg string }
	var cl claims
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &cl) || header.Alg != "RS256" {
		return invalid
	}
	exp, err := strconv.ParseInt(strings.Trim(string(cl.Exp), `"`), 10, 64)
	if err != nil {
		return invalid
	}
	audience := "https://login.salesforce.com"
	if o.cfg.Sandbox {
		audience = "https://test.salesforce.com"
	}
	now := o.cfg.Now()
	switch expires := time.Unix(exp, 0); {
	case cl.Iss != o.cfg.ClientID:
		return oauthError{"invalid_client_id", "client identifier invalid"}
	case o.cfg.JWTKey != nil && !verified(o.cfg.JWTKey, parts):
		return oauthError{"invalid_client", "invalid client credentials"}
	case cl.Aud != audience:
		return oauthError{"invalid_grant", "audience is invalid"}
	case !expires.After(now) || expires.After(now.Add(maxAssertionLife)):
		return oauthError{"invalid_grant", "expired authorization code"}
	case !strings.EqualFold(cl.Sub, o.cfg.Username):
		return oauthError{"invalid_grant", "user hasn't approved this consumer"}
	}
	return oauthError{}
}

func decodePart(part string, v any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, v) == nil
}

func verified(key *rsa.PublicKey, parts []string) bool {
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) == nil
}

// newToken starts a session. The caller holds the lock.
func (o *Org) newToken() string {
	o.logins++
	sum := sha256.Sum256([]byte(o.cfg.OrgID + strconv.Itoa(o.logins)))
	token := o.cfg.OrgID[:15] + "!AQ" + base64.RawURLEncoding.EncodeToString(sum[:])
	o.sessions[token] = o.cfg.Now()
	return token
}

// AccessToken starts a session beside the login flows, for clients that are
// given a token.
func (o *Org) AccessToken() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.newToken()
}

// ExpireTokens ends every session.
func (o *Org) ExpireTokens() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.sessions)
}

// authorized checks a session and restarts its inactivity timer.
func (o *Org) authorized(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "OAuth") {
		return false
	}
	last, ok := o.sessions[token]
	now := o.cfg.Now()
	if !ok || now.Sub(last) >= o.cfg.SessionTimeout {
		delete(o.sessions, token)
		return false
	}
	o.sessions[token] = now
	return true
}

func (o *Org) userinfo(c *call) answer {
	if !o.authorized(c.header.Get("Authorization")) {
		o.stats.Unauthorized++
		return answer{status: 403, contentType: "text/html; charset=UTF-8", body: []byte("Bad_OAuth_Token")}
	}
	return jsonAnswer(200, object{
		{"sub", "https://login.salesforce.com/id/" + o.cfg.OrgID + "/" + o.userID},
		{"user_id", o.userID}, {"organization_id", o.cfg.OrgID}, {"preferred_username", o.cfg.Username},
		{"name", "User Integration"}, {"email", o.cfg.Username}, {"email_verified", true}, {"active", true},
		{"user_type", "STANDARD"}, {"language", "en_US"}, {"locale", "en_US"},
		{"urls", object{{"rest", c.base + "/services/data/v{version}/"}, {"query", c.base + "/services/data/v{version}/query/"}}},
	})
}
