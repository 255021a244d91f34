package monitor

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"callpoint/mapping"
	"callpoint/when"
)

//go:embed web
var web embed.FS

// policy lets a page load its style from here, send its forms here, and nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// templates are the pages for each time zone in use.
var templates struct {
	mu   sync.Mutex
	all  *template.Template // never executed: a template can only be cloned before
	zone map[string]*template.Template
}

func init() {
	templates.all = template.Must(template.New("").Funcs(functions(time.UTC)).ParseFS(web, "web/*.html"))
	templates.zone = map[string]*template.Template{}
}

// templatesIn returns the pages with times in a zone.
func templatesIn(zone *time.Location) (*template.Template, error) {
	templates.mu.Lock()
	defer templates.mu.Unlock()
	if t := templates.zone[zone.String()]; t != nil {
		return t, nil
	}
	t, err := templates.all.Clone()
	if err != nil {
		return nil, err
	}
	templates.zone[zone.String()] = t.Funcs(functions(zone))
	return t, nil
}

func functions(zone *time.Location) template.FuncMap {
	return template.FuncMap{
		"moment": func(t time.Time) string { return when.Second(t, zone) }, "rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"short":    func(t time.Time) string { return t.In(zone).Format("2 Jan 15:04") },
		"date":     func(t time.Time) string { return t.In(zone).Format(time.DateOnly) },
		"words":    func(v any) string { return strings.ReplaceAll(fmt.Sprint(v), "_", " ") },
		"distance": distanceText, "tone": tone, "page": bare, "channel": callChannel,
		"firstCycles": func(all []Cycle) []Cycle { return all[:min(5, len(all))] },
		"number":      func(n int) string { return grouped(n) },
		"px":          func(f float64) string { return fmt.Sprintf("%.1f", f) },
	}
}

// grouped writes a number with commas: 12,345.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func distanceText(seconds int64) string {
	if seconds < 0 {
		return span(-seconds) + " before"
	}
	return span(seconds) + " after"
}

// tone colours a reason or a state; the word beside it has the same meaning.
func tone(v any) string {
	switch fmt.Sprint(v) {
	case "matched", "matched_clock_skew", "written", "unchanged":
		return "good"
	case "held", "pending", "retrying":
		return "wait"
	case "no_bizible_id", "unknown_visitor", "parked", "no_person":
		return "bad"
	}
	return ""
}

// bare is a page without its scheme and query.
func bare(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		rest = url
	}
	rest, _, _ = strings.Cut(rest, "?")
	return rest
}

func callChannel(v CallView) string {
	if v.Session != nil {
		return v.Session.ChannelPath
	}
	return text(v.Touchpoint["bizible2__Marketing_Channel_Path__c"])
}

// pages adds the pages for people.
func (s *Server) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.statusPage)
	mux.HandleFunc("GET /calls", s.callsPage)
	mux.HandleFunc("GET /calls.csv", s.callsCSV)
	mux.HandleFunc("GET /calls/{task}", s.callPage)
	mux.HandleFunc("POST /parked/retry", s.retryForm)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.showError(w, r, http.StatusMethodNotAllowed, r.URL.Path+" does not take "+r.Method+".")
			return
		}
		s.showError(w, r, http.StatusNotFound, "There is no page "+r.URL.Path+" here.")
	})
	for path, kind := range map[string]string{"/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml"} {
		content, err := web.ReadFile("web" + path)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "max-age=300")
			_, _ = w.Write(content)
		})
	}
}

// head is what every page has.
type head struct {
	Title, Page string
	Now         time.Time
	Zone        string // the name of the time zone
	Q           string // of the search box
}

func (s *Server) head(title, page string) head {
	now := s.cfg.Now()
	return head{Title: title, Page: page, Now: now, Zone: zoneName(now, s.zone())}
}

// zone returns the time zone of the pages.
func (s *Server) zone() *time.Location {
	if s.cfg.Zone != nil {
		if zone := s.cfg.Zone(); zone != nil {
			return zone
		}
	}
	return time.UTC
}

func zoneName(now time.Time, zone *time.Location) string {
	short := now.In(zone).Format("MST")
	if name := zone.String(); name != short {
		return short + ", " + name
	}
	return short
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	t, err := templatesIn(s.zone())
	if err == nil {
		err = t.ExecuteTemplate(&b, name, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// showError writes an error as a page with a way back; programs get plain text.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, status int, text string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, text, status)
		return
	}
	s.show(w, status, "error.html", struct {
		head
		Status int
		Text   string
	}{s.head(http.StatusText(status), "error"), status, text})
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.showError(w, r, statusOf(err), err.Error())
}

// recordID is what an id of Salesforce looks like.
var recordID = regexp.MustCompile(`^[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?$`)

// link returns the address of a record in Salesforce; empty where the org's address is not
// known or the id is none.
func (s *Server) link(id string) string {
	if s.cfg.OrgURL == "" || !recordID.MatchString(id) {
		return ""
	}
	return strings.TrimSuffix(s.cfg.OrgURL, "/") + "/" + mapping.ID18(id)
}
