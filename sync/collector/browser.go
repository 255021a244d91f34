package collector

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"callpoint/mapping"
)

const (
	// maxBrowserBody bounds the body of a browser's request: three URLs and a title.
	maxBrowserBody = 64 << 10
	// browserBodyTime is how long it may take to arrive, behind a [Server].
	browserBodyTime = 10 * time.Second
)

// browser handles a request in the format of bizible.js, as its vendor documents it
// ("Data Collected by JavaScript"): _biz_u the BizibleId, _biz_l the page, _biz_t the time
// in milliseconds, _biz_i the title, _biz_r the referrer, _biz_c consent; and, seen in its
// requests, _biz_z the time of sending and _biz_n a sequence number. Others are ignored;
// so are eMail and mapValue, which identify a person: of /m/u only the event itself is kept.
func (c *Collector) browser(kind mapping.EventKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Cache-Control", "no-store")
		switch r.Method {
		case http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Content-Type")
			h.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		case http.MethodGet, http.MethodPost:
		default: // HEAD above all, which must not leave an event behind
			h.Set("Allow", "GET, POST, OPTIONS")
			http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
			return
		}
		now := c.cfg.Now()
		addr := clientAddr(r, c.cfg.TrustedProxies)
		if !c.clients.allow(addr, now) {
			c.refuseText(w, &refusal{http.StatusTooManyRequests, refusedRate, "too many requests from this address"})
			return
		}
		if reason := c.decoder.bots.reason(r.UserAgent()); reason != "" {
			c.stats.add(func(s *Stats) { s.Bots[reason]++ })
			dropped(w, r, "bot: "+reason)
			return
		}
		if speculative(r.Header) {
			c.stats.add(func(s *Stats) { s.Bots[botPrerender]++ })
			dropped(w, r, "prerender")
			return
		}
		params, err := c.browserParams(w, r, addr)
		if err != nil {
			c.refuseText(w, c.asRefusal(err))
			return
		}
		if consent := params["_biz_c"]; consent != "" && !agrees(consent) {
			c.stats.add(func(s *Stats) { s.ConsentRefused++ })
			dropped(w, r, "no consent")
			return
		}
		rec, at, err := c.browserRecord(kind, params, now)
		var event mapping.Event
		if err == nil {
			rec.agent = r.UserAgent()
			event, err = c.decoder.event(rec, at)
		}
		if err != nil {
			reason := malformed
			if re, ok := errors.AsType[*RecordError](err); ok {
				reason = re.Reason
				err = &RecordError{Key: browserKey(re.Key), Text: re.Text}
			}
			c.stats.add(func(s *Stats) { s.Rejected[reason]++ })
			c.refuseText(w, &refusal{http.StatusBadRequest, refusedMalformed, err.Error()})
			return
		}
		event.Geo = c.decoder.locate(addr)
		if !c.clients.spend(addr, now, storedSize(&event)) {
			w.Header().Set("Retry-After", strconv.FormatInt(86400-now.Unix()%86400, 10))
			c.refuseText(w, &refusal{http.StatusTooManyRequests, refusedRate, "this address has sent its share of events for today"})
			return
		}
		stood, refused := c.store(r.Context(), []mapping.Event{event}, nil)
		if refused != nil {
			c.refuseText(w, refused)
			return
		}
		c.stats.add(func(s *Stats) {
			s.Bodies++
			if stood > 0 {
				s.Repeated++
			} else {
				s.Events++
			}
			s.LastReceived = now
		})
		empty(w, r)
	}
}

// browserRecord converts the parameters to a record, and returns it with its time.
func (c *Collector) browserRecord(kind mapping.EventKind, params map[string]string, now time.Time) (*raw, time.Time, error) {
	rec := &raw{
		kind:     string(kind),
		visitor:  params["_biz_u"],
		url:      params["_biz_l"],
		title:    params["_biz_i"],
		sequence: params["_biz_n"],
		formName: params["_biz_f"],
	}
	if kind != mapping.Form { // a form has none
		rec.referrer = params["_biz_r"]
	}
	if params["_biz_c"] != "" { // a refusal was dropped before
		rec.consent = "true"
	}
	happened, err := millis("_biz_t", params["_biz_t"])
	if err != nil {
		return nil, time.Time{}, err
	}
	if happened == 0 {
		return nil, time.Time{}, reject("at", missing, "missing")
	}
	sent, err := millis("_biz_z", params["_biz_z"])
	if err != nil {
		return nil, time.Time{}, err
	}
	at := happened
	if sent != 0 {
		// The browser's clock may be wrong, but not the time that passed on it. A request
		// sent again passes more of it on the way; the answer to the first one counts.
		at = c.repeats.first(string(kind), rec.visitor, rec.url, rec.sequence, happened, now.UnixMilli()-(sent-happened))
	}
	return rec, time.UnixMilli(at).UTC(), nil
}

// maxMillis is the year 9999: beyond it no sum of two can overflow.
const maxMillis = 253402300799999

// millis reads a time in milliseconds; 0 if there is none.
func millis(key, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > maxMillis {
		return 0, reject(key, badTime, fmt.Sprintf("not a time in milliseconds since 1970: %q", clip(s)))
	}
	return n, nil
}

// browserKey is the parameter that a record's key came from.
func browserKey(key string) string {
	for from, to := range map[string]string{
		"bizible_id": "_biz_u", "at": "_biz_t", "url": "_biz_l", "referrer": "_biz_r", "sequence": "_biz_n",
	} {
		if key == from {
			return to
		}
	}
	return key
}

// agrees reports whether a value of _biz_c is consent: a word for it, or a number other than
// zero. What is not understood is a refusal.
func agrees(consent string) bool {
	consent = strings.ToLower(strings.TrimSpace(consent))
	if n, err := strconv.ParseInt(consent, 10, 64); err == nil {
		return n > 0
	}
	switch consent {
	case "true", "yes", "y", "on", "grant", "granted", "given", "accept", "accepted", "allow", "allowed", "optin", "opt-in":
		return true
	}
	return false
}

// speculative reports whether a browser loads a page that nobody may ever see.
func speculative(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range h.Values(name) {
			value = strings.ToLower(value)
			if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
				return true
			}
		}
	}
	return false
}

// browserParams reads the query string and the body; of a name given twice the first value
// that is not empty counts.
func (c *Collector) browserParams(w http.ResponseWriter, r *http.Request, addr netip.Addr) (map[string]string, error) {
	params := map[string]string{}
	parseForm(params, r.URL.RawQuery)
	if r.Method == http.MethodPost {
		text, err := c.browserBody(w, r, addr)
		if err != nil {
			return nil, err
		}
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		body := strings.TrimSpace(string(text))
		switch {
		case jsonTypes[kind], strings.HasPrefix(body, "{"):
			err = parseJSONParams(params, body)
		case kind == "" || kind == "application/x-www-form-urlencoded" || kind == "text/plain":
			// A beacon with a string for a body calls itself text/plain.
			parseForm(params, body)
		default:
			err = &refusal{http.StatusUnsupportedMediaType, refusedType, "Content-Type must be application/x-www-form-urlencoded, text/plain or application/json"}
		}
		if err != nil {
			return nil, err
		}
	}
	for key, v := range params {
		if key == "_biz_l" || key == "_biz_r" { // addresses in another character set, which were escaped once
			params[key] = mapping.EscapeInvalid(v)
		} else if !utf8.ValidString(v) {
			return nil, &refusal{http.StatusBadRequest, refusedMalformed, "not valid UTF-8"}
		}
	}
	return params, nil
}

// browserBody reads the body of a browser's request, if there are a slot and memory for it.
func (c *Collector) browserBody(w http.ResponseWriter, r *http.Request, addr netip.Addr) ([]byte, error) {
	leave, ok := c.gate.enter(addr)
	if !ok {
		return nil, errBusy
	}
	defer leave()
	mem := charge{of: c.memory}
	defer mem.free()
	if !mem.take(maxBrowserBody) {
		return nil, errBusy
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBrowserBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge(maxBrowserBody, "")
	}
	return text, err
}

// parseForm is url.ParseQuery that keeps what that one drops: pairs with a semicolon or a bad %.
func parseForm(params map[string]string, query string) {
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(key, "_biz_") || params[key] != "" {
			continue
		}
		if v, err := url.QueryUnescape(value); err == nil {
			value = v
		}
		params[key] = value
	}
}

func parseJSONParams(params map[string]string, body string) error {
	bad := func(err error) error {
		return &refusal{http.StatusBadRequest, refusedMalformed, err.Error()}
	}
	if !utf8.ValidString(body) {
		return bad(errors.New("not valid UTF-8"))
	}
	p := scanner{s: body}
	err := p.object(1, func(key string) (err error) {
		start, value := p.i, ""
		switch c := p.next(); {
		case c == '"':
			value, err = p.str()
		case c == '-' || c >= '0' && c <= '9':
			value, err = p.number()
		default:
			err = p.skip(1)
			if text := strings.TrimSpace(p.s[start:p.i]); text == "true" || text == "false" {
				value = text // of _biz_c
			}
		}
		if strings.HasPrefix(key, "_biz_") && params[key] == "" {
			params[key] = value
		}
		return err
	})
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return bad(err)
	}
	return nil
}

func (c *Collector) refuseText(w http.ResponseWriter, e *refusal) {
	c.stats.refuse(e.reason)
	hangUp(w, e)
	retryAfter(w, e.status)
	http.Error(w, e.text, e.status)
}

// dropped answers like empty: a page must not see a difference. The header is for people.
func dropped(w http.ResponseWriter, r *http.Request, why string) {
	w.Header().Set("Callpoint-Dropped", why)
	empty(w, r)
}

// gif is one transparent pixel.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// empty answers with nothing, or to an <img> with a pixel: browsers name images first then.
func empty(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.Header.Get("Accept"))), "image/") {
		w.Header().Set("Content-Type", "image/gif")
		w.Header().Set("Content-Length", strconv.Itoa(len(gif)))
		io.WriteString(w, gif)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
