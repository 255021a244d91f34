package mapping

import "strings"

// maxUserAgent is how much of a user agent is looked at, in bytes.
const maxUserAgent = 1 << 10

// browserTokens identify browsers, best first: most user agents name several. Safari
// goes by its build, as in "Safari (603.2)".
var browserTokens = []struct{ token, name string }{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"Edge/", "Edge"},
	{"OPR/", "Opera"}, {"OPiOS/", "Opera"}, {"OPT/", "Opera"}, {"Opera Mini/", "Opera Mini"},
	{"SamsungBrowser/", "Samsung Internet"}, {"YaBrowser/", "Yandex Browser"}, {"Vivaldi/", "Vivaldi"},
	{"UCBrowser/", "UC Browser"}, {"DuckDuckGo/", "DuckDuckGo"}, {"Silk/", "Silk"},
	{"CriOS/", "Chrome"}, {"FxiOS/", "Firefox"}, {"GSA/", "Google App"},
	{"Firefox/", "Firefox"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
	{"MSIE ", "Internet Explorer"}, {"Safari/", "Safari"}, {"AppleWebKit/", "Safari"},
}

// Device names the browser and the platform of a user agent: "Safari (603.2), Mac (10_10)".
// What is not known is left out.
func Device(userAgent string) string {
	browser, platform := browserOf(userAgent), platformOf(userAgent)
	if browser == "" || platform == "" {
		return browser + platform
	}
	return browser + ", " + platform
}

// browserOf names the browser and its version: "Chrome (119.0)". What is not known is empty.
func browserOf(userAgent string) string {
	ua := fold(userAgent, maxUserAgent)
	if strings.Contains(ua, "Trident/") && !strings.Contains(ua, "MSIE ") {
		return versioned("Internet Explorer", after(ua, "rv:"))
	}
	if strings.HasPrefix(ua, "Opera/") && !strings.Contains(ua, "Opera Mini/") {
		version := after(ua, "Version/")
		if version == "" {
			version = after(ua, "Opera/")
		}
		return versioned("Opera", version)
	}
	android := strings.Contains(ua, "Android")
	for _, b := range browserTokens {
		if !strings.Contains(ua, b.token) {
			continue
		}
		if b.name == "Safari" && android {
			return versioned("Android Browser", after(ua, "Version/"))
		}
		return versioned(b.name, after(ua, b.token))
	}
	return ""
}

// platformOf names the operating system and its version: "Mac (10_10)", "Windows (10.0)".
func platformOf(userAgent string) string {
	ua := fold(userAgent, maxUserAgent)
	has := func(token string) bool { return strings.Contains(ua, token) }
	switch {
	case has("Windows Phone"):
		return versioned("Windows Phone", after(ua, "Windows Phone OS ", "Windows Phone "))
	case has("iPhone") || has("iPad") || has("iPod"):
		return versioned("iOS", after(ua, "iPhone OS ", "CPU OS "))
	case has("Android"):
		return versioned("Android", after(ua, "Android "))
	case has("Windows"):
		return versioned("Windows", after(ua, "Windows NT ", "Windows "))
	case has("Mac OS X") || has("Macintosh"):
		return versioned("Mac", after(ua, "Mac OS X "))
	case has("CrOS"):
		// "CrOS x86_64 14541.0.0": the processor comes before the version.
		_, rest, _ := strings.Cut(ua, "CrOS ")
		_, rest, _ = strings.Cut(rest, " ")
		return versioned("Chrome OS", leadingVersion(rest))
	case has("Linux") || has("X11"):
		return "Linux"
	}
	return ""
}

func versioned(name, version string) string {
	if version == "" {
		return name
	}
	return name + " (" + version + ")"
}

// after is the version that follows the first of the tokens that has one.
func after(ua string, tokens ...string) string {
	for _, token := range tokens {
		if _, rest, ok := strings.Cut(ua, token); ok {
			if version := leadingVersion(rest); version != "" {
				return version
			}
		}
	}
	return ""
}

// leadingVersion is the version that a text begins with, major and minor alone, with the dot or
// underscore between them: "Chrome (65.0)", as Marketo Measure has it.
func leadingVersion(s string) string {
	end := 0
	for seps := 0; end < len(s); end++ {
		if end > 0 && (s[end] == '.' || s[end] == '_') {
			if seps++; seps == 2 {
				break
			}
		} else if s[end] < '0' || '9' < s[end] {
			break
		}
	}
	return strings.TrimRight(s[:end], "._")
}
