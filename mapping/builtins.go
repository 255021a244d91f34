package mapping

import (
	"regexp"
	"slices"
	"strings"
)

// builtin is logic that a channel rule asks for by name: [AdWords Paid Search].
type builtin int

const (
	adWordsPaidSearch builtin = iota
	adWordsDisplay
	doubleClick
	bingPaidSearch
	yahooPaidSearch
	facebookPaid
	linkedInPaid
	otherPaidSearch
	otherPaidSocial
	googleOrganic
	bingOrganic
	yahooOrganic
	otherOrganic
	facebook
	linkedIn
	twitter
	webMail
	accountWebsite
	aiAssistant
	instagram
	youTube
	otherSocial
	builtinCount
)

// builtinNames are the names in brackets, in lower case.
var builtinNames = map[string]builtin{
	"adwords paid search": adWordsPaidSearch, "adwords display": adWordsDisplay, "doubleclick": doubleClick,
	"bing paid search": bingPaidSearch, "yahoo paid search": yahooPaidSearch,
	"facebook paid": facebookPaid, "linkedin paid": linkedInPaid,
	"other paid search": otherPaidSearch, "other paid social": otherPaidSocial,
	"google organic search": googleOrganic, "bing organic search": bingOrganic,
	"yahoo organic search": yahooOrganic, "other organic search": otherOrganic,
	"facebook": facebook, "linkedin": linkedIn, "twitter": twitter,
	"web mail": webMail, "account website": accountWebsite,
	// Beyond Marketo Measure:
	"ai assistant": aiAssistant, "instagram": instagram, "youtube": youTube, "other social": otherSocial,
}

// decide works out every built-in, once. The later ones look at the paid ones before them.
func (o *landingSource) decide() {
	paid := isPaid(o.medium)
	google := o.googleAds()
	net := google && o.googleSearchNetwork()
	o.builtins[adWordsPaidSearch] = net && (!o.params.has("dclid") || o.class == search)
	o.builtins[adWordsDisplay] = google && !net && !o.params.has("dclid")
	o.builtins[doubleClick] = o.params.has("dclid") || !google && within(o.referrer.host, "doubleclick.net")

	bing := o.bingSign()
	yahoo := o.from(search, "Yahoo") || o.source == "yahoo"
	o.builtins[bingPaidSearch] = bing && !yahoo
	o.builtins[yahooPaidSearch] = (bing || paid) && yahoo

	o.builtins[facebookPaid] = o.params.has("_bf") || paid && (among(o.source, "facebook", "fb", "meta") ||
		o.source == "" && (o.from(social, "Facebook") || o.params.has("fbclid")))
	o.builtins[linkedInPaid] = o.params.has("_bl", "li_fat_id") ||
		paid && (among(o.source, "linkedin", "li") || o.from(social, "LinkedIn"))

	if !o.anyPaid() {
		o.builtins[otherPaidSearch] = paid && (o.class == search || engineNames()[o.source]) ||
			among(o.medium, "paidsearch", "paid-search", "paid_search", "sem")
		o.builtins[otherPaidSocial] = o.params.has("twclid", "ttclid", "rdt_cid") ||
			paid && (o.class == social || networkNames()[o.source]) || paidSocial.MatchString(o.medium)
	}

	free := !o.anyPaid() && !isDisplay(o.medium)
	engine := free && o.class == search
	o.builtins[googleOrganic] = engine && o.name == "Google" || free && o.source == "google" && o.medium == "organic"
	o.builtins[bingOrganic] = engine && o.name == "Bing"
	o.builtins[yahooOrganic] = engine && o.name == "Yahoo"
	o.builtins[otherOrganic] = engine && !among(o.name, "Google", "Bing", "Yahoo")

	network := free && o.class == social
	o.builtins[facebook] = network && o.name == "Facebook" ||
		free && o.params.has("fbclid") && o.class == noReferrer && o.source == ""
	o.builtins[linkedIn] = network && o.name == "LinkedIn"
	o.builtins[twitter] = network && o.name == "Twitter"
	o.builtins[instagram] = network && o.name == "Instagram"
	o.builtins[youTube] = network && o.name == "YouTube"
	o.builtins[otherSocial] = network && !among(o.name, "Facebook", "LinkedIn", "Twitter")

	o.builtins[webMail] = o.class == webmail
	o.builtins[aiAssistant] = o.class == assistant
	// A sign-in page or a payment page is a stop on the way, and the way began on the own site.
	o.builtins[accountWebsite] = o.class == ownSite || o.class == signIn
}

func (o *landingSource) anyPaid() bool { return slices.Contains(o.builtins[:otherPaidSocial+1], true) }

func (o *landingSource) paidSearch() bool {
	return o.builtins[adWordsPaidSearch] || o.builtins[bingPaidSearch] || o.builtins[yahooPaidSearch] || o.builtins[otherPaidSearch]
}

func (o *landingSource) organic() bool {
	return slices.Contains(o.builtins[googleOrganic:otherOrganic+1], true)
}

func (o *landingSource) from(class refClass, name string) bool {
	return o.class == class && o.name == name
}

var (
	googleSources = []string{"google", "adwords", "googleads", "google-ads", "gads"}
	bingSources   = []string{"bing", "bing_yahoo", "bingads", "microsoft"}
)

// googleAds reports whether a click on an ad of Google led here.
func (o *landingSource) googleAds() bool {
	if o.searchAds360() {
		return false
	}
	return o.params.has("gclid", "gbraid", "wbraid", "gad_source") ||
		o.params.has("_bt") && o.params.has("_bk", "_bm", "_bn", "_bg") && !o.fromBing() ||
		among(o.source, googleSources...) && (isPaid(o.medium) || isDisplay(o.medium))
}

// googleSearchNetwork reports whether the ad was in the search network, not in the display network.
func (o *landingSource) googleSearchNetwork() bool {
	switch strings.ToLower(o.params.get("_bn")) {
	case "g", "s":
		return true
	case "d":
		return false
	}
	switch {
	case isDisplay(o.medium):
		return false
	case o.params.get("gad_source") == "1":
		return true
	}
	switch o.class {
	case search, noReferrer, ownSite, signIn:
		return true
	}
	return false
}

// searchAds360 reports whether a gclid is one of Search Ads 360, which manages other engines' ads too.
func (o *landingSource) searchAds360() bool {
	return among(strings.ToLower(o.params.get("gclsrc")), "ds", "3p.ds")
}

// fromBing reports whether anything points to Bing.
func (o *landingSource) fromBing() bool {
	return o.params.has("msclkid") || among(o.source, bingSources...) || o.from(search, "Bing")
}

// bingSign reports whether a click on an ad of Microsoft led here; Yahoo shows those ads as well.
func (o *landingSource) bingSign() bool {
	switch {
	case o.params.has("msclkid"):
		return true
	case among(o.source, bingSources...) && (o.params.has("_bt") || isPaid(o.medium)):
		return true
	case o.params.has("_bt") && o.from(search, "Bing"):
		return true
	}
	return o.params.has("gclid") && o.searchAds360() && o.fromBing()
}

var (
	paidMedium = regexp.MustCompile(`^(.*cp.*|ppc|retargeting|paid.*)$`)
	paidSocial = regexp.MustCompile(`^paid.*social$`)
)

// isPaid reports whether a medium, in lower case, means clicks that are paid for.
func isPaid(medium string) bool { return paidMedium.MatchString(medium) && !isDisplay(medium) }

// isDisplay reports whether a medium, in lower case, means banners and the like.
func isDisplay(medium string) bool {
	for _, word := range []string{"display", "banner", "expandable", "interstitial", "cpm"} {
		if strings.Contains(medium, word) {
			return true
		}
	}
	return false
}

func among(s string, list ...string) bool { return slices.Contains(list, s) }
