package salesforce

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
)

// Describe asks for an object and its fields, as far as this user may see them.
func (c *Client) Describe(ctx context.Context, object string) (Object, error) {
	cl := &call{client: c, op: "describe", object: object, method: http.MethodGet}
	if !namePattern.MatchString(object) {
		return Object{}, cl.misuse("no name of an object: %q", object)
	}
	var o Object
	if _, err := c.fetch(ctx, cl, "/sobjects/"+object+"/describe", nil, &o); err != nil {
		return Object{}, err
	}
	return o, nil
}

// Limits are the org's limits by name, such as DailyApiRequests.
type Limits map[string]Limit

// Limit is one of them. The org's figures may be some minutes old.
type Limit struct{ Max, Remaining int }

// Limits asks for the org's limits, which needs the permission View Setup.
func (c *Client) Limits(ctx context.Context) (Limits, error) {
	cl := &call{client: c, op: "limits", method: http.MethodGet}
	var answer map[string]struct{ Max, Remaining number }
	if _, err := c.fetch(ctx, cl, "/limits", nil, &answer); err != nil {
		return nil, err
	}
	limits := make(Limits, len(answer))
	for name, l := range answer {
		limits[name] = Limit{int(l.Max), int(l.Remaining)}
	}
	return limits, nil
}

// number is an int that some API versions quote.
type number int

func (n *number) UnmarshalJSON(raw []byte) error {
	i, err := strconv.Atoi(string(bytes.Trim(raw, `"`)))
	*n = number(i)
	return err
}

// Object is the description of an sObject, as far as this user may see it.
type Object struct {
	Name       string  `json:"name"`
	Label      string  `json:"label"`
	KeyPrefix  string  `json:"keyPrefix"`
	Custom     bool    `json:"custom"`
	Createable bool    `json:"createable"`
	Updateable bool    `json:"updateable"`
	Deletable  bool    `json:"deletable"`
	Queryable  bool    `json:"queryable"`
	Fields     []Field `json:"fields"`
}

type Field struct {
	Name               string          `json:"name"`
	Label              string          `json:"label"`
	Type               string          `json:"type"`
	Length             int             `json:"length"` // characters
	Precision          int             `json:"precision"`
	Scale              int             `json:"scale"`
	Createable         bool            `json:"createable"`
	Updateable         bool            `json:"updateable"`
	Nillable           bool            `json:"nillable"`
	DefaultedOnCreate  bool            `json:"defaultedOnCreate"`
	Calculated         bool            `json:"calculated"`
	AutoNumber         bool            `json:"autoNumber"`
	ExternalID         bool            `json:"externalId"`
	Unique             bool            `json:"unique"`
	CaseSensitive      bool            `json:"caseSensitive"`
	IDLookup           bool            `json:"idLookup"`
	Filterable         bool            `json:"filterable"`
	Sortable           bool            `json:"sortable"`
	ReferenceTo        []string        `json:"referenceTo"`
	RelationshipName   string          `json:"relationshipName"`
	NamePointing       bool            `json:"namePointing"` // may refer to several objects
	RestrictedPicklist bool            `json:"restrictedPicklist"`
	PicklistValues     []PicklistValue `json:"picklistValues"`
}

type PicklistValue struct {
	Value  string `json:"value"`
	Label  string `json:"label"`
	Active bool   `json:"active"`
}

// Field finds a field by its API name, in any case.
func (o Object) Field(name string) (Field, bool) {
	for _, f := range o.Fields {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return Field{}, false
}

// Required reports whether a record cannot be created without the field.
func (f Field) Required() bool { return f.Createable && !f.Nillable && !f.DefaultedOnCreate }
