package salesforce

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// LoginPauses keeps the pause after a refused login over the process. Without it a program
// that is started every minute would log in every minute, and lock the user out.
type LoginPauses interface {
	LoadLoginPause() (LoginPause, error) // the zero LoginPause if there is none
	SaveLoginPause(LoginPause) error
}

// LoginPause is the time without logins after a refused one.
type LoginPause struct {
	Until   time.Time `json:"until"`
	Times   int       `json:"times"` // refusals in a row
	Status  int       `json:"status,omitempty"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message,omitempty"`
	// For identifies the credentials that were refused: other ones are tried at once. It is
	// a salted, slow hash.
	For string `json:"for,omitempty"`
}

// pause is the LoginPause of a Client. The Client's mu guards it.
type pause struct {
	LoginPause
	loaded   bool
	err      *Error
	distrust int // new sessions in a row that were not accepted
}

// longestPause is how many times longer than the first pause the longest is, as a power of 2.
const longestPause = 4

// mayLogin returns the error of a login that was refused a short while ago: repeating it
// would lock the user out. The caller holds mu.
func (c *Client) mayLogin() error {
	if c.cfg.flow == flowAccessToken && c.session != nil {
		return &Error{
			Op: "login", Status: http.StatusUnauthorized, Code: codeSession,
			Message: "the access token has expired or was revoked, and nothing is configured to get a new one",
		}
	}
	c.loadPause()
	left := min(c.pause.Until.Sub(c.cfg.Now()), c.cfg.LoginPause<<longestPause)
	if c.pause.err == nil || left <= 0 {
		return nil
	}
	e := *c.pause.err
	e.RetryAfter = left
	return &e
}

// loadPause takes over the pause of an earlier process with the same credentials. The
// caller holds mu.
func (c *Client) loadPause() {
	if c.pause.loaded || c.cfg.Pauses == nil {
		return
	}
	c.pause.loaded = true
	kept, err := c.cfg.Pauses.LoadLoginPause()
	if err != nil {
		c.cfg.Log.Warn("the pause after a refused login could not be read", "err", err)
		return
	}
	if kept.Times == 0 || !c.sameCredentials(kept.For) {
		return
	}
	c.pause.LoginPause = kept
	c.pause.err = &Error{Op: "login", Method: http.MethodPost, Status: kept.Status, Code: kept.Code, Message: kept.Message, NotBefore: kept.Until}
}

// hold starts a pause that doubles each time. The caller holds mu.
func (c *Client) hold(e *Error, base time.Duration) *Error {
	wait := base << min(c.pause.Times, longestPause)
	wait = max(wait, e.RetryAfter)
	c.pause.Times++
	c.pause.Until = c.cfg.Now().Add(wait).UTC()
	held := *e
	held.Op, held.RetryAfter, held.NotBefore = "login", wait, c.pause.Until
	c.pause.err = &held
	c.pause.Status, c.pause.Code, c.pause.Message = held.Status, held.Code, held.Message
	if c.cfg.Pauses != nil {
		if c.pause.For == "" {
			c.pause.For = c.hashCredentials(nil)
		}
		c.savePause(c.pause.LoginPause)
	}
	return &held
}

// clearPause ends the pause after a login. The caller holds mu.
func (c *Client) clearPause() {
	kept := c.pause.Times > 0 || c.cfg.Pauses != nil && !c.pause.loaded
	c.pause.err, c.pause.LoginPause = nil, LoginPause{}
	if kept && c.cfg.Pauses != nil {
		c.savePause(LoginPause{})
	}
}

func (c *Client) savePause(p LoginPause) {
	if err := c.cfg.Pauses.SaveLoginPause(p); err != nil {
		c.cfg.Log.Warn("the pause after a refused login could not be stored", "err", err)
	}
}

// ResumeLogin ends the pause after a refused login: somebody changed what it was refused for.
func (c *Client) ResumeLogin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loadPause()
	c.clearPause()
}

// distrust is called when a session that was just made is not accepted: without a pause
// every call would cost a login.
func (c *Client) distrust(e *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause.Times = c.pause.distrust
	c.pause.distrust++
	c.hold(e, c.cfg.LoginPause/15)
}

// trust ends the doubling of those pauses once an API call was not refused for its session.
func (c *Client) trust(cl *call, err error) {
	if err != nil && (cl.last == nil || cl.last.Status == 0) {
		return // no answer says nothing about the session
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pause.distrust > 0 {
		c.pause.distrust = 0
		c.clearPause()
	}
}

// hashCredentials returns a hash that equal credentials share, with its salt. nil draws one.
func (c *Client) hashCredentials(salt []byte) string {
	if salt == nil {
		salt = make([]byte, 16)
		_, _ = rand.Read(salt) // it never fails
	}
	all := strings.Join([]string{
		c.cfg.domain.String(), string(c.cfg.flow), c.cfg.ConsumerKey, c.cfg.ConsumerSecret.Reveal(), c.cfg.Username,
		c.cfg.Password.Reveal(), c.cfg.SecurityToken.Reveal(), c.cfg.PrivateKey.Reveal(), c.cfg.AccessToken.Reveal(), c.cfg.Audience,
	}, "\x00")
	key, err := pbkdf2.Key(sha256.New, all, salt, 100_000, 32)
	if err != nil {
		return "" // no pause is taken over
	}
	return hex.EncodeToString(salt) + ":" + hex.EncodeToString(key)
}

func (c *Client) sameCredentials(hash string) bool {
	salt, _, _ := strings.Cut(hash, ":")
	raw, err := hex.DecodeString(salt)
	if err != nil || len(raw) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(c.hashCredentials(raw)), []byte(hash)) == 1
}
