package mapping

import (
	"strings"
	"time"
)

// A landingSource holds where a visitor came from, read from the first page of the session and its referrer.
type landingSource struct {
	page     link
	referrer link
	params   params
	class    refClass
	name     string // of the engine, network or assistant
	phrase   string // what was searched for
	medium   string // utm_medium in lower case
	source   string // utm_source in lower case
	builtins [builtinCount]bool
	channel  Channel
}

// readLanding reads a landing. It costs a few microseconds, so each session is read once.
func (s *Settings) readLanding(sites siteCache, x Landing) *landingSource {
	o := &landingSource{page: splitURL(tidyURL(x.Page)), referrer: splitURL(tidyReferrer(x.Referrer))}
	o.params = pageParams(o.page)
	o.medium = plainText(strings.ToLower(o.params.get("utm_medium")))
	o.source = plainText(strings.ToLower(o.params.get("utm_source")))
	o.class = s.siteClass(sites, o.referrer.host, o.page.host)
	if o.class == otherSite {
		o.class, o.name, o.phrase = identify(o.referrer)
	}
	o.decide()
	return o
}

// Channel returns the channel of a landing page and its referrer.
func (s *Settings) Channel(landingPage, referrer string) Channel {
	return s.rules().classify(s.readLanding(siteCache{}, Landing{landingPage, referrer}).ruleInput())
}

// ChannelOf returns the channel of a session, carry-over included.
func (s *Settings) ChannelOf(x Session) Channel { return s.classify(siteCache{}, &x).channel }

// classifyAll finds every session's source and channel. A Direct session may inherit the channel of the one before.
func (r *resolver) classifyAll() {
	r.landings = make([]*landingSource, len(r.sessions))
	for i := range r.sessions {
		x, last := &r.sessions[i], r.j.PrunedLast
		if i > 0 {
			last = &r.sessions[i-1]
		}
		if last != nil && r.s.ChannelCarryover > 0 {
			x.Carried = r.s.carried(r.sites, last, x, x.StartedAt.Sub(last.EndedAt))
		}
		r.landings[i] = r.s.classify(r.sites, x)
	}
}

// carried returns the landing whose channel a session inherits, or nil: that of the session
// before, or the one that session inherited itself.
func (s *Settings) carried(sites siteCache, last, x *Session, apart time.Duration) *Landing {
	if apart > s.ChannelCarryover || !s.readLanding(sites, Landing{x.LandingPage, x.Referrer}).direct() {
		return nil
	}
	if last.Carried != nil {
		return last.Carried
	}
	return &Landing{last.LandingPage, last.Referrer}
}

// classify fills in what follows from a session's landing.
func (s *Settings) classify(sites siteCache, x *Session) *landingSource {
	o := s.readLanding(sites, Landing{x.LandingPage, x.Referrer})
	o.channel = s.rules().classify(o.ruleInput())
	if x.Carried != nil && s.ChannelCarryover > 0 {
		o.channel = s.rules().classify(s.readLanding(sites, *x.Carried).ruleInput())
	}
	x.Source, x.Medium, x.Campaign = clean(o.sourceName()), clean(o.mediumName()), clean(o.params.get("utm_campaign"))
	x.Channel, x.Subchannel, x.ChannelPath, x.Rule = o.channel.Channel, o.channel.Subchannel, o.channel.Path, o.channel.Rule
	return o
}

// direct reports whether neither the page nor the referrer shows where the visitor came from.
func (o *landingSource) direct() bool {
	for _, e := range o.params {
		if e.value != "" && isTag(e.key) {
			return false
		}
	}
	return o.class == noReferrer || o.class == ownSite || o.class == signIn
}

// webMedium is the medium of a direct or referred visit, and of a call without a session or a type.
const webMedium = "Web"

// mediumName is the session's medium: utm_medium, else the one of its class.
func (o *landingSource) mediumName() string {
	if m := o.params.get("utm_medium"); m != "" {
		return m
	}
	switch {
	case o.paidSearch():
		return "CPC"
	case o.builtins[doubleClick] || o.builtins[adWordsDisplay]:
		return "Display"
	case o.builtins[facebookPaid] || o.builtins[linkedInPaid] || o.builtins[otherPaidSocial]:
		return "Paid Social"
	case o.organic():
		return "Search"
	case o.class == social || o.builtins[facebook]:
		return "Social"
	case o.class == webmail:
		return "Email"
	}
	return webMedium
}

// sourceName is the touchpoint source: the ad platform, the search engine, utm_source, or the web as such.
func (o *landingSource) sourceName() string {
	switch {
	case o.builtins[adWordsPaidSearch] || o.builtins[adWordsDisplay]:
		return "Google AdWords"
	case o.builtins[bingPaidSearch] || o.builtins[yahooPaidSearch] && o.bingSign():
		return "Bing Ads"
	case o.builtins[facebookPaid]:
		return "Facebook"
	case o.builtins[linkedInPaid]:
		return "LinkedIn"
	case o.builtins[googleOrganic]:
		return "Organic - Google"
	case o.organic():
		return "Organic - " + o.name
	}
	if s := o.params.get("utm_source"); s != "" {
		return s
	}
	switch o.class {
	case noReferrer, ownSite, signIn:
		return "Web Direct"
	}
	return "Web"
}

// searchPhrase returns the search phrase, which engines rarely report any more.
func (o *landingSource) searchPhrase() string {
	if o.class != search && !o.paidSearch() {
		return ""
	}
	if phrase := clean(o.phrase); phrase != "" {
		return phrase
	}
	return "(not provided)"
}
