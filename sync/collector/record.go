package collector

import (
	"unicode/utf8"

	"callpoint/mapping"
)

// RecordError describes why one record was refused.
type RecordError struct {
	Key    string // of the record; empty where it is about the record as a whole
	Reason string // one of a fixed set, for metrics
	Text   string
}

func (e *RecordError) Error() string {
	if e.Key == "" {
		return e.Text
	}
	return e.Key + ": " + e.Text
}

func reject(key, reason, text string) error {
	return &RecordError{Key: key, Reason: reason, Text: text}
}

// clip shortens what a sender wrote to what an error may repeat.
func clip(s string) string { return cut(s, 40) }

// cut shortens s to at most n bytes, at a rune boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// lines are the kinds of records that an input may hold.
type lines int

const (
	eventLines lines = 1 << iota
	visitLines
	anyLines = eventLines | visitLines // distinguished by their keys
)

// raw is a record as it was sent.
type raw struct {
	kind, visitor, at, url, referrer, title, agent, ip string
	session, started, ended, landing, formURL, formAt  string
	formName                                           string
	sequence, pageViews                                string
	consent                                            string // true or false
	geo                                                mapping.Geo
}

// text returns where the string under key goes, nil for a key that is not looked at.
func (r *raw) text(key string, want lines) *string {
	switch key {
	case "bizible_id":
		return &r.visitor
	case "referrer":
		return &r.referrer
	case "user_agent":
		return &r.agent
	case "ip":
		return &r.ip
	case "form_name":
		return &r.formName
	}
	if want&eventLines != 0 {
		switch key {
		case "type":
			return &r.kind
		case "at":
			return &r.at
		case "url":
			return &r.url
		case "title":
			return &r.title
		}
	}
	if want&visitLines != 0 {
		switch key {
		case "session_id":
			return &r.session
		case "started_at":
			return &r.started
		case "ended_at":
			return &r.ended
		case "landing_page":
			return &r.landing
		case "form_url":
			return &r.formURL
		case "form_at":
			return &r.formAt
		}
	}
	return nil
}

func (r *raw) number(key string, want lines) *string {
	switch {
	case key == "sequence" && want&eventLines != 0:
		return &r.sequence
	case key == "page_views" && want&visitLines != 0:
		return &r.pageViews
	}
	return nil
}

// parse reads one JSON object into r. A null counts as absent.
func (r *raw) parse(line string, want lines) error {
	if !utf8.ValidString(line) {
		return reject("", invalidUTF8, "not valid UTF-8")
	}
	p := scanner{s: line}
	if p.next() != '{' {
		return reject("", malformed, "not a JSON object")
	}
	err := p.object(1, func(key string) error {
		if key == "geo" {
			return r.parseGeo(&p)
		}
		if to := r.text(key, want); to != nil {
			return p.stringInto(key, to)
		}
		if key == "consent" && want&eventLines != 0 {
			return p.boolInto(key, &r.consent)
		}
		if to := r.number(key, want); to != nil {
			return p.numberInto(key, to)
		}
		return p.skip(1)
	})
	if err != nil {
		return err
	}
	return p.end()
}

func (r *raw) parseGeo(p *scanner) error {
	if p.next() != '{' {
		if p.word("null") {
			return nil
		}
		return p.wrong("geo", "not an object")
	}
	return p.object(2, func(key string) error {
		switch key {
		case "city":
			return p.stringInto("geo.city", &r.geo.City)
		case "region":
			return p.stringInto("geo.region", &r.geo.Region)
		case "country":
			return p.stringInto("geo.country", &r.geo.Country)
		}
		return p.skip(2)
	})
}

// wrong rejects a value of another kind, or reports that the text ends before one.
func (p *scanner) wrong(key, what string) error {
	if p.i >= len(p.s) {
		return p.unexpected()
	}
	return reject(key, badValue, what)
}

func (p *scanner) stringInto(key string, to *string) (err error) {
	if p.next() == '"' {
		*to, err = p.str()
		return err
	}
	if p.word("null") {
		return nil
	}
	return p.wrong(key, "not a string")
}

func (p *scanner) boolInto(key string, to *string) error {
	for _, word := range []string{"true", "false"} {
		if p.word(word) {
			*to = word
			return nil
		}
	}
	if p.word("null") {
		return nil
	}
	return p.wrong(key, "neither true nor false")
}

func (p *scanner) numberInto(key string, to *string) (err error) {
	if c := p.next(); c == '-' || c >= '0' && c <= '9' {
		*to, err = p.number()
		return err
	}
	if p.word("null") {
		return nil
	}
	return p.wrong(key, "not a number")
}
