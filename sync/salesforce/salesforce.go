// Package salesforce is the client of one org's REST API.
package salesforce

import (
	"context"
	"errors"
	"time"
)

// Identity is who we are, and where.
type Identity struct {
	OrgID       string // 18 characters
	UserID      string // 18 characters; "" where a bare access token does not tell
	InstanceURL string
}

// Record is one row of a query: values as JSON gives them, relationships as
// nested Records (nil where the lookup is empty), without "attributes".
type Record = map[string]any

type QueryOptions struct {
	All       bool   // queryAll: deleted and archived rows too
	Next      string // a Page's Next: reads on, the SOQL is ignored
	BatchSize int    // rows per page, 200 to 2000, a hint; 0 leaves it to the org
}

type Page struct {
	Records    []Record
	Total      int    // of all pages
	Next       string // for QueryOptions.Next, "" on the last page
	Done       bool
	ServerTime time.Time // the answer's Date; zero if it had none
}

// Batch is one collection: up to 200 records of one object.
type Batch struct {
	Object     string
	ExternalID string // key field
	Records    []map[string]any
}

type Result struct {
	ID      string
	Created bool
	Err     *Error
}

type Limits map[string]Limit

type Limit struct{ Max, Remaining int }

// Usage is the org's consumption of API calls in the last 24 hours, by everybody.
type Usage struct {
	Used, Max int
	At        time.Time // when the org said so; zero: never yet
}

type Client struct{}

var errStub = errors.New("not there yet")

func New(Config) (*Client, error)                                           { return nil, errStub }
func (c *Client) Close()                                                    {}
func (c *Client) Login(context.Context) (Identity, error)                   { return Identity{}, errStub }
func (c *Client) Query(context.Context, string, QueryOptions) (Page, error) { return Page{}, errStub }
func (c *Client) QueryMany(context.Context, []string) ([]Page, error)       { return nil, errStub }
func (c *Client) Upsert(context.Context, []Batch) ([][]Result, error)       { return nil, errStub }
func (c *Client) Delete(context.Context, []string) ([]Result, error)        { return nil, errStub }
func (c *Client) Update(context.Context, string, []map[string]any) ([]Result, error) {
	return nil, errStub
}
func (c *Client) Describe(context.Context, string) (Object, error) { return Object{}, errStub }
func (c *Client) Limits(context.Context) (Limits, error)           { return nil, errStub }
func (c *Client) Usage() Usage                                     { return Usage{} }
func (c *Client) ServerClock() (time.Duration, bool)               { return 0, false }
