package mapping

import (
	"iter"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// params are query parameters in order, keys in canonical form.
type params []struct{ key, value string }

// get returns the first value that is not empty, by the order of the keys.
func (p params) get(keys ...string) string {
	for _, key := range keys {
		for _, pair := range p {
			if pair.key == key && pair.value != "" {
				return pair.value
			}
		}
	}
	return ""
}

func (p params) has(keys ...string) bool { return p.get(keys...) != "" }

// parseParams reads a query. url.ParseQuery would drop a pair with ";" or a bad "%".
func parseParams(query string) params {
	var list params
	charset := queryCharset(query)
	for pair := range pairs(query) {
		key, value, _ := strings.Cut(pair, "=")
		if key = paramKey(key); key == "" {
			continue
		}
		if value = strings.TrimSpace(visible(decodeValue(value, charset))); isMacro(value) {
			value = ""
		}
		list = append(list, struct{ key, value string }{key, value})
	}
	return list
}

// maxTag bounds the name of a campaign tag, in bytes, so that a hostile query costs no more
// than its length.
const maxTag = 64

// pairs splits a query at "&", and at a further "?" that a campaign tag follows: links are often
// tagged by appending "?utm_source=x" to an address that has a query already.
func pairs(query string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for pair := range strings.SplitSeq(query, "&") {
			for from := 0; ; {
				mark := strings.IndexByte(pair[from:], '?')
				if mark < 0 {
					break
				}
				mark += from
				key, _, ok := strings.Cut(pair[mark+1:min(len(pair), mark+maxTag)], "=")
				if !ok || !isTag(paramKey(key)) {
					from = mark + 1
					continue
				}
				if mark > 0 && !yield(pair[:mark]) {
					return
				}
				pair, from = pair[mark+1:], 0
			}
			if pair != "" && !yield(pair) {
				return
			}
		}
	}
}

// keyMarks are characters that PHP turns into "_" in the names of parameters.
var keyMarks = strings.NewReplacer(".", "_", " ", "_")

// paramKey returns the canonical form of a parameter's name: lower case, without what HTML and
// PHP add. "amp;UTM_Source", "utm.source", "utm_source[]" and "utm[source]" are utm_source.
func paramKey(key string) string {
	plain := true
	for i := range len(key) {
		if c := key[i]; (c < 'a' || c > 'z') && c != '_' && (c < '0' || c > '9') {
			plain = false
			break
		}
	}
	if plain {
		return key
	}
	key = strings.ToLower(strings.TrimSpace(visible(unescape(key))))
	key = strings.TrimLeft(key, "?")
	for strings.HasPrefix(key, "amp;") { // a link that was HTML-escaped, once or twice
		key = key[len("amp;"):]
	}
	if open := strings.IndexByte(key, '['); open > 0 {
		base, inner := key[:open], strings.TrimSuffix(key[open+1:], "]")
		if base == "utm" && inner != "" {
			base += "_" + inner
		}
		key = base
	}
	return keyMarks.Replace(key)
}

// unescape decodes a part of a query, and keeps it raw where it is not well formed.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return strings.ReplaceAll(s, "+", " ")
}

// macro matches placeholders of ad servers and mail programs wherever they are in a value.
var macro = regexp.MustCompile(`\{[\s{$!#%@]*[\p{L}_][^{}]*\}` + // {keyword}, {{lead.Id}}, {!Contact.Name}, ${CAMPAIGN_ID}
	`|\*\|[^|]+\|\*` + // *|CAMPAIGN_UID|*
	`|%%[\p{L}_][^%]*%%` + // %%emailname_%%
	`|\[%[^%]+%\]|<%[^%]+%>` + // [%tp_CampaignID%], <%= name %>
	`|(?:^|[^\p{L}\p{N}_])__[A-Z][A-Z0-9_]*?__(?:$|[^\p{L}\p{N}_])`) // __CAMPAIGN_NAME__

// wholeMacro matches placeholders that are common in names, unless they are all of the value.
var wholeMacro = regexp.MustCompile(`^(?:\[+[\p{L}_][\p{L}\p{N}_.:-]*\]+|%[A-Z][A-Z0-9_]*%|%e[a-z]+!|\$[a-z][a-z0-9_]*\$|\{.*\})$`)

// isMacro reports whether an ad server or a mail program left a placeholder unreplaced.
func isMacro(value string) bool {
	return (strings.ContainsAny(value, "{|%[$<") || strings.Contains(value, "__")) && (macro.MatchString(value) || wholeMacro.MatchString(value))
}

// pageParams are the parameters of a landing page. Some sites put utm tags behind the "#";
// they count if the query has no tags.
func pageParams(l link) params {
	p := parseParams(l.query)
	if l.fragment == "" || slices.ContainsFunc(p, func(e struct{ key, value string }) bool { return isTag(e.key) && e.value != "" }) {
		return p
	}
	fragment := l.fragment
	if mark := strings.IndexByte(fragment, '?'); mark >= 0 {
		fragment = fragment[mark+1:]
	}
	for _, e := range parseParams(strings.TrimLeft(fragment, "!/")) {
		if strings.HasPrefix(e.key, "utm_") {
			p = append(p, e)
		}
	}
	return p
}

// clickIDs are the parameters by which ad platforms mark a click.
var clickIDs = []string{"gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "li_fat_id", "twclid", "ttclid", "rdt_cid"}

// isTag reports whether a parameter belongs to a campaign: utm_*, a click id, what Google Ads
// adds where browsers remove click ids, or Marketo Measure's own.
func isTag(key string) bool {
	switch key {
	case "_bt", "_bf", "_bl", "gad_source", "gad_campaignid":
		return true
	}
	return strings.HasPrefix(key, "utm_") || slices.Contains(clickIDs, key)
}

// campaignTags is a URL's campaign tags as one comparable text, empty where it has none.
func campaignTags(raw string) string {
	if !strings.ContainsAny(raw, "?#") {
		return ""
	}
	var tags []string
	for _, e := range pageParams(splitURL(raw)) {
		if e.value != "" && isTag(e.key) {
			tags = append(tags, e.key+"="+e.value)
		}
	}
	slices.Sort(tags)
	return strings.Join(slices.Compact(tags), "&")
}

// isTracking reports whether a parameter is there for statistics, and the page is the same without it.
func isTracking(key string) bool {
	switch key {
	case "_bk", "_bm", "_bn", "_bg", "gclsrc", "srsltid", "mc_cid", "mc_eid", "_ga", "_gl", "mkt_tok":
		return true
	}
	return isTag(key) || strings.HasPrefix(key, "hsa_") || strings.HasPrefix(key, "gad_")
}

// withoutTracking is a URL without the parameters that are there for statistics.
func withoutTracking(raw string) string {
	base, parts := urlParts(raw)
	return joinURL(base, slices.DeleteFunc(parts, func(p urlPart) bool { return p.rank != rankRoute && p.rank != rankOther }))
}
