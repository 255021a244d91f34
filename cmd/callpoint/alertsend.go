package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/mail"
	"net/url"
	"os/exec"
	"slices"
	"strings"
)

// The forms of the webhook's body.
const (
	alertJSON  = "json"
	alertSlack = "slack"
	alertTeams = "teams"
)

var alertForms = []string{alertJSON, alertSlack, alertTeams}

// validateAlerts returns what is wrong with the settings of alerts.
func (c *Config) validateAlerts(bad func(name, format string, args ...any)) {
	if !slices.Contains(alertForms, c.AlertForm) {
		bad("CALLPOINT_ALERT_FORM", "%q is not valid; use one of %s%s", c.AlertForm, strings.Join(alertForms, ", "), similar(c.AlertForm, alertForms))
	}
	if !c.AlertWebhook.IsZero() {
		// The address is a secret: whoever has it can post.
		if u, err := url.Parse(c.AlertWebhook.Reveal()); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			bad("CALLPOINT_ALERT_WEBHOOK", "not an address such as https://hooks.example.com/path")
		}
	}
	for _, address := range c.AlertMail {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			bad("CALLPOINT_ALERT_MAIL", "%q is not an e-mail address such as ops@example.com", address)
		}
	}
	if _, err := sendmail(); err != nil && len(c.AlertMail) > 0 {
		bad("CALLPOINT_ALERT_MAIL", "%v; install a mail program that has one, such as msmtp-mta", err)
	}
}

// sendmail returns the path of the sendmail program.
func sendmail() (string, error) {
	for _, name := range []string{"sendmail", "/usr/sbin/sendmail", "/usr/lib/sendmail"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no sendmail program in PATH, /usr/sbin or /usr/lib")
}

// alertSenders returns the configured ways of delivery.
func (c *Config) alertSenders() (send []func(context.Context, alert) error) {
	if address := c.AlertWebhook; !address.IsZero() {
		client := &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		send = append(send, func(ctx context.Context, m alert) error {
			return postAlert(ctx, client, address.Reveal(), alertBody(c.AlertForm, m))
		})
	}
	if len(c.AlertMail) > 0 {
		send = append(send, func(ctx context.Context, m alert) error { return mailAlert(ctx, c.AlertMail, m) })
	}
	return send
}

// postAlert posts a body, and expects a 2xx status. Errors do not name the address.
func postAlert(ctx context.Context, client *http.Client, address string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(b))
	if err != nil {
		return errors.New("CALLPOINT_ALERT_WEBHOOK: not a valid address")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "callpoint")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("CALLPOINT_ALERT_WEBHOOK: %w", plainURLError(err))
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // shown only where the status is bad
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("CALLPOINT_ALERT_WEBHOOK answers %s: %s", resp.Status, plain(string(answer)))
	}
	return nil
}

// alertBody returns the body of a webhook in its form.
func alertBody(form string, m alert) any {
	type object = map[string]any
	switch form {
	case alertSlack:
		// Slack reads these three characters as markup.
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
		return object{"text": "*" + escape.Replace(m.title()) + "*\n" + escape.Replace(m.text())}
	case alertTeams:
		block := func(text string, more object) object {
			b := object{"type": "TextBlock", "text": text, "wrap": true}
			for k, v := range more {
				b[k] = v
			}
			return b
		}
		body := []any{block(m.title(), object{"weight": "Bolder", "size": "Medium"})}
		for line := range strings.Lines(m.text()) {
			body = append(body, block(strings.TrimSpace(line), nil))
		}
		return object{"type": "message", "attachments": []any{object{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content":     object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body},
		}}}
	}
	return m
}

// mailAlert hands a message to sendmail.
func mailAlert(ctx context.Context, to []string, m alert) error {
	path, err := sendmail()
	if err != nil {
		return fmt.Errorf("CALLPOINT_ALERT_MAIL: %w", err)
	}
	message := "To: " + strings.Join(to, ", ") + "\r\nSubject: " + mime.QEncoding.Encode("utf-8", plain(m.title())) +
		"\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + m.text() + "\r\n"
	c := exec.CommandContext(ctx, path, "-i", "-t")
	c.Stdin = strings.NewReader(message)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("CALLPOINT_ALERT_MAIL: %s: %w: %s", path, err, plain(strings.TrimSpace(string(out))))
	}
	return nil
}
