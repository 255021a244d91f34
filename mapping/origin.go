package mapping

// origin is all that a session's first page and its referrer tell about where the visitor came from.
type origin struct {
	page     link
	referrer link
	params   params
	class    refClass
}

func (s *Settings) originOf(sites siteCache, x Landing) *origin {
	o := &origin{page: splitURL(x.Page), referrer: splitURL(x.Referrer)}
	o.params = pageParams(o.page)
	o.class = s.siteClass(sites, o.referrer.host, o.page.host)
	return o
}

func (r *resolver) classifyAll() {
	r.origins = make([]*origin, len(r.sessions))
	for i := range r.sessions {
		r.origins[i] = r.s.classify(r.sites, &r.sessions[i])
	}
}

// classify fills in what follows from a session's landing.
func (s *Settings) classify(sites siteCache, x *Session) *origin {
	o := s.originOf(sites, Landing{x.LandingPage, x.Referrer})
	x.Source, x.Medium, x.Campaign = o.params.get("utm_source"), o.params.get("utm_medium"), o.params.get("utm_campaign")
	return o
}
