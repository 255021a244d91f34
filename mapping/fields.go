package mapping

import (
	"cmp"
	_ "embed"
	"sync"
	"time"
)

// FieldMap maps fields of a touchpoint to values.
type FieldMap struct{ fields []field }

// field is one mapped field.
type field struct {
	name  string // API name
	value string // as the file has it
	kind  valueKind
	read  func(*record) any
	task  []string // the Task fields that it reads
	own   bool     // from a file of the user's own
	line  int
	info  FieldInfo // as the org describes it; zero before Fit
}

// valueKind is the kind of a value, before it is converted to the type of its field.
type valueKind int

const (
	textValue valueKind = iota
	urlValue            // a URL, which is shortened with care
	timeValue
	numberValue
	boolValue
	personValue // a PersonRef
	idValue     // a record id
	anyValue    // a Task field: whatever it holds
)

//go:embed data/fields.txt
var fieldsTXT []byte

// DefaultFields returns the map that is used without a file.
var DefaultFields = sync.OnceValue(func() *FieldMap {
	m := &FieldMap{}
	if problems := m.parse(fieldsTXT, false); problems != nil {
		panic("mapping: built-in field map: " + problems[0].Error())
	}
	return m
})

// DefaultFieldsFile returns the built-in map as a file.
func DefaultFieldsFile() []byte { return []byte(string(fieldsTXT)) }

// TaskFields lists the Task fields that lines of the user's own name: without one of them the
// map cannot be followed.
func (m *FieldMap) TaskFields() []string {
	return m.taskFields(func(f *field) bool { return f.own })
}

// taskFields lists the Task fields that some of the map's fields read.
func (m *FieldMap) taskFields(of func(*field) bool) []string {
	var names []string
	for i := range m.fields {
		if f := &m.fields[i]; of(f) {
			names = append(names, f.task...)
		}
	}
	return names
}

// Names lists the mapped fields by API name, in the map's order.
func (m *FieldMap) Names() []string {
	names := make([]string, len(m.fields))
	for i := range m.fields {
		names[i] = m.fields[i].name
	}
	return names
}

// namedValue is a value that a field map can use by name.
type namedValue struct {
	kind valueKind
	read func(*record) any
	task []string // the Task fields that it needs beyond those that are always read
}

func text(read func(*record) string) namedValue {
	return namedValue{kind: textValue, read: func(r *record) any { return read(r) }}
}

func urlText(read func(*record) string) namedValue {
	return namedValue{kind: urlValue, read: func(r *record) any { return read(r) }}
}

func number(read func(*record) float64) namedValue {
	return namedValue{kind: numberValue, read: func(r *record) any { return read(r) }}
}

func moment(read func(*record) time.Time) namedValue {
	return namedValue{kind: timeValue, read: func(r *record) any { return read(r) }}
}

// web is text that only a session has.
func web(read func(x *Session, o *landingSource) string) namedValue {
	return text(func(r *record) string { return r.web(read) })
}

func webURL(read func(x *Session, o *landingSource) string) namedValue {
	return urlText(func(r *record) string { return r.web(read) })
}

func param(keys ...string) namedValue {
	return text(func(r *record) string { return r.param(keys...) })
}

// names is a parameter that holds a name, and not a number, which is an id.
func names(keys ...string) namedValue {
	return text(func(r *record) string { return r.nameParam(keys...) })
}

// values are all that a field can be given by name.
var values = map[string]namedValue{
	"type":         text((*record).kind),
	"medium":       text((*record).medium),
	"date":         moment((*record).date),
	"source":       text((*record).sourceName),
	"channel":      text(func(r *record) string { return r.channel.Channel }),
	"subchannel":   text(func(r *record) string { return r.channel.Subchannel }),
	"channel_path": text(func(r *record) string { return r.channel.Path }),

	"campaign":    text((*record).campaign),
	"campaign_id": param("gad_campaignid", "utm_id", "hsa_cam", "utm_campaign"),
	"ad_content":  text((*record).adContent),
	"ad_id":       text((*record).adID),
	"ad_group_id": text(func(r *record) string {
		return cmp.Or(r.param("_bg", "hsa_grp"), r.idParam("utm_adgroup", "utm_ad_group", "utm_adset", "utm_ad_set"))
	}),
	"ad_destination_url": urlText((*record).destination),
	"ad_group":           names("utm_adgroup", "utm_ad_group", "utm_adgroup_name", "utm_ad_group_name", "utm_adset", "utm_ad_set", "utm_adset_name"),
	"placement":          names("utm_placement", "utm_placement_name"),
	"placement_id": text(func(r *record) string {
		return cmp.Or(r.param("utm_placement_id", "utm_placementid"), r.idParam("utm_placement"))
	}),
	"site":       names("utm_site", "utm_site_name", "site_source_name"),
	"site_id":    text(func(r *record) string { return cmp.Or(r.param("utm_site_id", "utm_siteid"), r.idParam("utm_site")) }),
	"keyword_id": text((*record).keywordID),
	"keyword":    param("_bk", "utm_term"),
	"match_type": text((*record).matchType),

	"landing_page":      web(func(_ *Session, o *landingSource) string { return o.page.page() }),
	"landing_page_raw":  webURL(func(x *Session, _ *landingSource) string { return x.LandingPage }),
	"referrer_page":     web(func(_ *Session, o *landingSource) string { return o.cameFrom().page() }),
	"referrer_page_raw": webURL(func(_ *Session, o *landingSource) string { return o.cameFrom().raw }),
	"form_url":          web(func(x *Session, _ *landingSource) string { return splitURL(x.FormURL).page() }),
	"form_url_raw":      webURL(func(x *Session, _ *landingSource) string { return x.FormURL }),
	"form_name":         web(func(x *Session, _ *landingSource) string { return x.FormName }),
	"search_phrase":     web(func(_ *Session, o *landingSource) string { return o.searchPhrase() }),

	"browser":  web(func(x *Session, _ *landingSource) string { return browserOf(x.UserAgent) }),
	"platform": web(func(x *Session, _ *landingSource) string { return platformOf(x.UserAgent) }),
	"city":     web(func(x *Session, _ *landingSource) string { return x.Geo.City }),
	"region":   web(func(x *Session, _ *landingSource) string { return x.Geo.Region }),
	"country":  web(func(x *Session, _ *landingSource) string { return x.Geo.Country }),

	"position":      text(func(r *record) string { return r.position.String() }),
	"first_touch":   number(func(r *record) float64 { return r.position.firstTouch() }),
	"lead_creation": number(func(r *record) float64 { return r.position.leadCreate() }),
	"u_shaped":      number(func(r *record) float64 { return r.position.uShaped() }),

	"person":  {kind: personValue, read: (*record).person},
	"contact": {kind: idValue, read: func(r *record) any { return r.contact() }},
	"account": {kind: idValue, read: func(r *record) any { return r.accountID() }, task: []string{"AccountId", "WhatId"}},
	"case":    {kind: idValue, read: func(r *record) any { return r.caseID() }, task: []string{"WhatId"}},

	// Beyond the built-in map:
	"reason":     text(func(r *record) string { return string(r.reason) }),
	"task_id":    text(func(r *record) string { return r.callValue(func(c *Call) string { return c.TaskID }) }),
	"bizible_id": text(func(r *record) string { return r.callValue(func(c *Call) string { return c.Visitor }) }),
	"who_id":     {kind: idValue, read: func(r *record) any { return r.who }},
	"call_time": moment(func(r *record) time.Time {
		if r.call == nil {
			return time.Time{}
		}
		return r.call.At
	}),
	"page_views": number(func(r *record) float64 {
		if r.session == nil {
			return 0
		}
		return float64(r.session.PageViews)
	}),
}

// callValue returns a value that only a call has.
func (r *record) callValue(read func(*Call) string) string {
	if r.call == nil {
		return ""
	}
	return read(r.call)
}

// cameFrom is the referrer, and zero where the browser named none.
func (o *landingSource) cameFrom() link {
	if o.class == noReferrer {
		return link{}
	}
	return o.referrer
}
