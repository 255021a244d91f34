package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	gosf "github.com/k-capehart/go-salesforce/v2"
)

// Record is one row of a query: values as JSON gives them, relationships as
// nested Records (nil where the lookup is empty), without "attributes".
type Record = map[string]any

// QueryOptions are the options of a query.
type QueryOptions struct {
	All       bool   // queryAll: deleted and archived rows too
	Next      string // a Page's Next: reads on there, the SOQL is ignored
	BatchSize int    // rows per page, 200 to 2000, a hint; 0 leaves it to the org
}

// Page is one answer to a query.
type Page struct {
	Records    []Record
	Total      int       // rows of all pages
	Next       string    // for QueryOptions.Next; "" on the last page
	Done       bool      // this is the last page
	ServerTime time.Time // the answer's Date; zero if it had none
}

// longestURI is the length beyond which a query travels in a body. URI and
// headers together may have 16,384 bytes; the token takes some of them.
const longestURI = 8000

// maxPartsOfComposite is how many collections or queries one composite call takes.
const maxPartsOfComposite = 5

func queryURI(resource, soql string) string { return resource + "?q=" + url.QueryEscape(soql) }

// Query reads one page. Its ORDER BY and its repetitions are the caller's.
func (c *Client) Query(ctx context.Context, soql string, o QueryOptions) (Page, error) {
	cl := &call{client: c, op: "query", method: http.MethodGet}
	var options []gosf.RequestOption
	headers := map[string]string{}
	if o.BatchSize > 0 {
		headers["Sforce-Query-Options"] = "batchSize=" + strconv.Itoa(o.BatchSize)
		options = append(options, gosf.WithHeader("Sforce-Query-Options", headers["Sforce-Query-Options"]))
	}
	uri := queryURI("/query", soql)
	if o.All {
		uri = queryURI("/queryAll", soql)
	}
	var answer wirePage
	switch {
	case o.Next != "":
		if !nextPattern.MatchString(o.Next) {
			return Page{}, cl.misuse("not a page's Next")
		}
		cl.op, uri = "query_more", ""
		// The locator is followed as it was given, whatever API version it names.
		options = append(options, func(r *http.Request) { r.URL.Path = o.Next })
	case len(uri) > longestURI:
		cl.method = http.MethodPost
		answers, date, err := c.composite(ctx, cl, []subrequest{{Method: http.MethodGet, URL: dataPath + uri, ReferenceID: "q0", HTTPHeaders: headers}})
		if err != nil {
			return Page{}, err
		}
		return cl.subPage(answers[0], date)
	}
	resp, err := c.fetch(ctx, cl, uri, nil, &answer, options...)
	if err != nil {
		return Page{}, err
	}
	if answer.NextRecordsURL != "" && answer.NextRecordsURL == o.Next {
		return Page{}, cl.badPage("the next page is this page again")
	}
	return cl.page(answer, serverTime(resp))
}

// RepeatedPage is the error for a page that leads back to one that was read before.
func RepeatedPage() *Error {
	return (&call{op: "query_more", client: &Client{}}).badPage("the next page is one that was read before")
}

// badPage is the error for pages that do not follow each other: the query is read again
// from its first page.
func (cl *call) badPage(message string) *Error {
	e := cl.garbled(http.StatusOK, errors.New(message))
	e.Code = codeBadPage
	return e
}

// QueryMany reads the first pages of several queries, up to five in one API
// call. Where a query fails its page is empty, and the error names it; the
// other pages are good. Of the options, All counts.
func (c *Client) QueryMany(ctx context.Context, soqls []string, o QueryOptions) ([]Page, error) {
	resource := "/query"
	if o.All {
		resource = "/queryAll"
	}
	pages := make([]Page, len(soqls))
	var errs []error
	var pending []int
	flush := func() {
		if len(pending) == 0 {
			return
		}
		cl := &call{client: c, op: "query_many", method: http.MethodPost}
		subs := make([]subrequest, len(pending))
		for i, n := range pending {
			subs[i] = subrequest{Method: http.MethodGet, URL: dataPath + queryURI(resource, soqls[n]), ReferenceID: "q" + strconv.Itoa(i)}
		}
		answers, date, err := c.composite(ctx, cl, subs)
		if err != nil {
			errs = append(errs, err)
		}
		for i := range answers {
			if pages[pending[i]], err = cl.subPage(answers[i], date); err != nil {
				errs = append(errs, fmt.Errorf("query %d of %d: %w", pending[i]+1, len(soqls), err))
			}
		}
		pending = nil
	}
	for i, soql := range soqls {
		if strings.Contains(soql, reference) && len(queryURI(resource, soql)) <= longestURI {
			var err error
			if pages[i], err = c.Query(ctx, soql, QueryOptions{All: o.All}); err != nil {
				errs = append(errs, fmt.Errorf("query %d of %d: %w", i+1, len(soqls), err))
			}
			continue
		}
		if pending = append(pending, i); len(pending) == maxPartsOfComposite {
			flush()
		}
	}
	flush()
	return pages, errors.Join(errs...)
}

type wirePage struct {
	TotalSize      int
	Done           *bool
	NextRecordsURL string
	Records        []Record
}

func (cl *call) subPage(a subresponse, date time.Time) (Page, error) {
	if e := cl.subError(a); e != nil {
		return Page{}, e
	}
	var answer wirePage
	if err := json.Unmarshal(a.Body, &answer); err != nil {
		return Page{}, cl.garbled(a.HTTPStatusCode, fmt.Errorf("the answer does not parse: %w", err))
	}
	return cl.page(answer, date)
}

// page refuses answers that would lose rows or never end.
func (cl *call) page(a wirePage, date time.Time) (Page, error) {
	switch {
	case a.Done == nil:
		return Page{}, cl.garbled(http.StatusOK, errors.New("the answer is no query result"))
	case *a.Done:
		a.NextRecordsURL = ""
	case a.NextRecordsURL == "":
		return Page{}, cl.garbled(http.StatusOK, errors.New("more rows are promised without a nextRecordsUrl"))
	case !nextPattern.MatchString(a.NextRecordsURL):
		e := cl.garbled(http.StatusOK, errors.New("the nextRecordsUrl is none of Salesforce's"))
		e.Code = codeUntrusted
		return Page{}, e
	case len(a.Records) == 0:
		return Page{}, cl.badPage("a page without rows that is not the last one")
	}
	for _, r := range a.Records {
		dropAttributes(r)
	}
	return Page{Records: a.Records, Total: a.TotalSize, Next: a.NextRecordsURL, Done: *a.Done, ServerTime: date}, nil
}

func dropAttributes(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "attributes")
		for _, inner := range v {
			dropAttributes(inner)
		}
	case []any:
		for _, inner := range v {
			dropAttributes(inner)
		}
	}
}

func serverTime(resp *http.Response) time.Time {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}
