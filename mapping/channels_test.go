package mapping

import (
	"fmt"
	"strings"
	"testing"
)

// rulesOf reads rules from rows without their header.
func rulesOf(t *testing.T, rows ...string) *Rules {
	t.Helper()
	rules, _, err := ParseRules([]byte(header + "\n" + strings.Join(rows, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestDefaultChannels(t *testing.T) {
	t.Parallel()
	if _, problems, err := ParseRules(DefaultChannels()); err != nil || len(problems) > 0 {
		t.Errorf("the default file has problems: %v", problems)
	}
	for _, test := range []struct{ page, referrer, want string }{
		{"?gclid=1", "", "2 Paid Search.AdWords"},
		{"?msclkid=1", "", "3 Paid Search.Bing"},
		{"?utm_source=yahoo&utm_medium=cpc", "", "4 Paid Search.Yahoo"},
		{"?dclid=1", "", "5 Display.DoubleClick"},
		{"?gclid=1&_bn=d", "", "6 Display.Google"},
		{"?_bf=1", "", "7 Paid Social.Facebook"},
		{"?_bl=1", "", "8 Paid Social.LinkedIn"},
		{"?utm_medium=sem", "", "9 Paid Search.Other"},
		{"?twclid=1", "", "10 Paid Social.Other"},
		{"", "https://www.google.com/", "11 Organic Search.Google"},
		{"", "https://www.bing.com/", "12 Organic Search.Bing"},
		{"", "https://search.yahoo.com/", "13 Organic Search.Yahoo"},
		{"", "https://duckduckgo.com/", "14 Organic Search.Other"},
		{"?utm_source=Facebook", "", "15 Social.Facebook"},
		{"?utm_medium=facebook", "", "16 Social.Facebook"},
		{"", "https://l.facebook.com/", "17 Social.Facebook"},
		{"?utm_source=linkedin", "", "18 Social.LinkedIn"},
		{"?utm_medium=linkedin", "", "19 Social.LinkedIn"},
		{"", "https://lnkd.in/x", "20 Social.LinkedIn"},
		{"?utm_source=twitter", "", "21 Social.Twitter"},
		{"?utm_medium=twitter", "", "22 Social.Twitter"},
		{"", "https://t.co/x", "23 Social.Twitter"},
		{"?utm_source=social", "", "24 Social.Other"},
		{"?utm_medium=social", "", "25 Social.Other"},
		{"?utm_medium=display", "", "26 Display.Other"},
		{"?utm_source=display", "", "27 Display.Other"},
		{"?utm_medium=E-Mail", "", "28 Email"},
		{"?utm_source=eml", "", "29 Email"},
		{"", "https://mail.google.com/", "30 Email"},
		{"?utm_campaign=Phone+Call+Spring", "", "31 Phone Call"},
		{"?utm_medium=flyer", "", "32 Other"},
		{"?utm_source=flyer", "", "33 Other"},
		{"", "", "34 Direct"},
		{"", "https://www.example.com/", "34 Direct"},
		{"", "https://blog.example.net/", "35 Web Referral"},
	} {
		got := Default().Channel("https://www.example.com/"+test.page, test.referrer)
		if text := fmt.Sprintf("%d %s", got.Rule.Row, got.Path); text != test.want {
			t.Errorf("%q from %q is %s, want %s", test.page, test.referrer, text, test.want)
		}
	}
}

func TestRulePatterns(t *testing.T) {
	t.Parallel()
	const page = "https://www.example.com/Demo?utm_campaign=Spring Sale&utm_medium=mail&utm_source=a"
	for _, test := range []struct {
		row, referrer string
		fits          bool
	}{
		{`C,,spring sale,,,,`, "", true},
		{`C,,spring,,,,`, "", false},
		{`C,,SPRING*,,,,`, "", true},
		{`C,,*sale,,,,`, "", true},
		{`C,,*spring,,,,`, "", false},
		{`C,,*ing s*,,,,`, "", true},
		{`C,,s*g*e,,,,`, "", true},
		{`C,,s*x*e,,,,`, "", false},
		{`C,,spring sale*spring sale,,,,`, "", false},
		{`C,,*,,,,`, "", true},
		{`C,,Any Value,,,,`, "", true},
		{`C,, other ; Spring Sale ;,,,,`, "", true},
		{`C,,spring sale,mail,,,`, "", true},
		{`C,,spring sale,cpc,,,`, "", false},
		{`C,,,,A,,`, "", true},
		{`C,,,,,*/demo*,`, "", true},
		{`C,,,,,*utm_medium=mail*,`, "", true},
		{`C,,,,,https://www.example.com/demo,`, "", false},
		{`C,,,,,,direct`, "", true},
		{`C,,,,,,direct`, "null", true},
		{`C,,,,,,direct`, "https://blog.example.net/", false},
		{`C,,,,,,*`, "", false},
		{`C,,,,,,Any Value`, "https://blog.example.net/", true},
		{`C,,,,,,Youtube`, "https://m.youtube.com/watch", true},
		{`C,,,,,,Youtube`, "https://youtube.com", true},
		{`C,,,,,,Youtube`, "https://youtube.evil.com/", false},
		{`C,,,,,,youtube.com`, "https://notyoutube.com/", false},
		{`C,,,,,,https://www.youtube.com/`, "https://m.youtube.com/watch", true},
		{`C,,,,,,*youtube*`, "https://youtube.evil.com/", true},
		{`C,,,,,,https://blog.*/a*`, "https://blog.example.net/a/b", true},
		{`C,,,,,,direct;[Account Website]`, "https://www.example.com/", true},
		{`C,,,,,,direct;[ account website ]`, "https://www.example.com/", true},
		{`C,,,,,,[AI Assistant]`, "https://claude.ai/", true},
	} {
		s := Default()
		s.Rules = rulesOf(t, test.row)
		if got := s.Channel(page, test.referrer); (got.Channel == "C") != test.fits {
			t.Errorf("%s from %q: channel %s, row %d", test.row, test.referrer, got.Channel, got.Rule.Row)
		}
	}
}

// An empty value fits no pattern, "*" least of all.
func TestRuleEmptyValue(t *testing.T) {
	t.Parallel()
	s := Default()
	s.Rules = rulesOf(t, `A,,*,,,,`, `B,,,*,,,`, `C,,,,Any Value,,`)
	if got := s.Channel("https://www.example.com/", ""); got.Channel != "Other" || got.Path != "Other" || got.Rule != (Rule{}) {
		t.Errorf("got %+v", got)
	}
}

func TestRuleReported(t *testing.T) {
	t.Parallel()
	s := Default()
	s.Rules = rulesOf(t, ``, `"A ""x""",Sub,,Mail;Post,,"*demo*, *",`)
	got := s.Channel("https://www.example.com/demo, now?utm_medium=post", "")
	want := Channel{`A "x"`, "Sub", `A "x".Sub`, Rule{3, "Medium, Landing Page", "Mail;Post, *demo*, *"}}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A call without a session has a campaign, and neither a referrer nor the lack of one.
func TestRulesOfCall(t *testing.T) {
	t.Parallel()
	s := Default()
	s.Rules = rulesOf(t, `Direct,,,,,,direct;[Account Website]`, `Calls,,phone*,,,,`)
	call := Call{TaskID: "00T000000000001AAA", Fields: map[string]any{}}
	if got := s.newRecord(&call, nil, nil, Position{}).channel; got.Channel != "Calls" {
		t.Errorf("channel %s", got.Channel)
	}
	s.CallCampaign = "Other"
	if got := s.newRecord(&call, nil, nil, Position{}).channel; got.Channel != "Other" || got.Rule.Row != 0 {
		t.Errorf("channel %s by row %d", got.Channel, got.Rule.Row)
	}
}

func TestRulesFile(t *testing.T) {
	t.Parallel()
	utf16 := "\xff\xfe"
	for _, c := range header + "\nBüro,,,x,,,\n" {
		utf16 += string([]byte{byte(c), byte(c >> 8)})
	}
	for name, file := range map[string]string{
		"plain":               header + "\nBüro,,,x,,,\n",
		"byte-order mark":     "\xef\xbb\xbf" + header + "\r\nBüro,,,x,,,\r\n",
		"semicolons":          strings.ReplaceAll(header, ",", ";") + "\nBüro;;;\"x;y\";;;\n",
		"tabs":                strings.ReplaceAll(header, ",", "\t") + "\nBüro\t\t\tx\t\t\t\n",
		"UTF-16":              utf16,
		"Latin-1":             header + "\nB\xfcro,,,x,,,\n",
		"eighth column":       header + ",Do Not Remove\nBüro,,,x,,,,Do Not Remove\n",
		"short rows":          header + "\nBüro,,,x\n",
		"Subchannel, quotes":  "\"Channel\",\"Subchannel\",Campaign,Medium,Source,\"landing page\",\"Referring website\"\n\"Büro\",\"\",,\" x \",,,\n",
		"nine columns, blank": header + ",,\n\nBüro,,,x,,,,,\n",
	} {
		rules, problems, err := ParseRules([]byte(file))
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", name, problems, err)
			continue
		}
		s := Default()
		s.Rules = rules
		if got := s.Channel("https://example.com/?utm_medium=X", "").Channel; got != "Büro" {
			t.Errorf("%s: channel %q", name, got)
		}
	}
}

func TestRulesFileProblems(t *testing.T) {
	t.Parallel()
	many := func(format string, n int) (rows string) {
		for i := range n {
			rows += fmt.Sprintf(format, i)
		}
		return rows
	}
	for _, test := range []struct{ name, rows, want string }{
		{"unknown logic", "A,,,,,,[Adwords]\n", `line 2, Referring Website "[Adwords]": unknown built-in logic; known are [account website], `},
		{"logic in another column", "A,,,,[Facebook],,\n", `line 2, Source "[Facebook]": built-in logic belongs in the column Referring Website`},
		{"no condition", "A,B,,,,,\n", "line 2: the row has no condition, so every visit would fit it"},
		{"only blanks", "A,,x,,,,\n,,,,,,\n", "line 3: the row is blank; delete it"},
		{"no name", ",B,x,,,,\n", "line 2, Channel: the channel has no name"},
		{"dot in the channel", "A.B,,x,,,,\n", `line 2, Channel "A.B": a name cannot contain ".", which joins channel and subchannel`},
		{"dot in the subchannel", "A,B.com,x,,,,\n", `line 2, Sub Channel "B.com": a name cannot contain ".", which joins channel and subchannel`},
		{"all at once", "A.B,,,,,,\n\nC,,,,,,[x]\n", "line 2: the row has no condition, so every visit would fit it\nline 2, Channel \"A.B\": a name cannot contain \".\", which joins channel and subchannel\nline 4, Referring Website \"[x]\": unknown built-in logic; known are [account website], "},
		{"same row", "A,,x,,,,\nB,,X,,,,\n", "warning: line 3: never reached: the row of line 2 fits whatever this one fits"},
		{"wider row", "A,,*sale*,,,,\nB,,spring*sale*now,mail,,,\n", "warning: line 3: never reached: the row of line 2 fits whatever this one fits"},
		{"one alternative left", "A,,a;b,,,,\nB,,a;c,,,,\n", ""},
		{"narrower row", "A,,x,mail,,,\nB,,x,,,,\n", ""},
		{"wider domain", "A,,,,,,example\nB,,,,,,blog.example.com\n", "warning: line 3: never reached: the row of line 2 fits whatever this one fits"},
		{"any referrer leaves direct", "A,,,,,,*\nB,,,,,,direct\n", ""},
		{"any referrer leaves logic", "A,,,,,,*\nB,,,,,,[Facebook]\n", ""},
		{"any referrer takes a domain", "A,,,,,,*\nB,,,,,,example\n", "warning: line 3: never reached: the row of line 2 fits whatever this one fits"},
		{"logic twice", "A,,,,,,[Facebook];direct\nB,,,,,,[facebook]\n", "warning: line 3: never reached: the row of line 2 fits whatever this one fits"},
		{"a page without wildcards", "A,,,,,example.com/x,\n", `warning: line 2, Landing Page "example.com/x": fits no visit: it is compared with the whole URL of the page, which begins with https://; write *example.com/x*`},
		{"with and without subchannel", "A,,x,,,,\na,B,y,,,,\n", `warning: line 2, Channel "a": is listed with and without a subchannel`},
		{"40 channels", many("C%[1]d,,x%[1]d,,,,\n", 40), ""},
		{"41 channels", many("C%[1]d,,x%[1]d,,,,\n", 42), `warning: line 42, Channel "C40": more than 40 channels`},
		{"201 subchannels", many("C,S%[1]d,x%[1]d,,,,\n", 202), `warning: line 202, Sub Channel "S200": more than 200 subchannels`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rules, problems, err := ParseRules([]byte(header + "\n" + test.rows))
			var got []string
			failed := false
			for _, p := range problems {
				text := p.Error()
				if p.Warning {
					text = "warning: " + text
				} else {
					failed = true
				}
				got = append(got, text)
			}
			text := strings.Join(got, "\n")
			if !strings.HasPrefix(text, test.want) || test.want == "" && text != "" || len(got) != strings.Count(test.want, "\n")+1 && test.want != "" {
				t.Errorf("got %s\nwant %s", text, test.want)
			}
			if failed != (err != nil) || failed == (rules != nil) {
				t.Errorf("rules %v, error %v", rules != nil, err)
			}
		})
	}
	for name, file := range map[string]string{
		"empty": "", "another header": "a,b,c\nA,,x\n", "no header": "A,B,x,,,,\n", "a broken quote": header + "\n\"A,,x",
	} {
		if _, problems, err := ParseRules([]byte(file)); err == nil || len(problems) != 1 || problems[0].Line < 1 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
	}
}

func FuzzRules(f *testing.F) {
	f.Add(channelsCSV)
	f.Add([]byte("\xff\xfeC\x00"))
	f.Add([]byte(header + "\nA,,a*b*c;*,[x],;,\"\n\",direct;[Facebook];x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, problems, err := ParseRules(data)
		if (rules == nil) != (err != nil) {
			t.Fatalf("rules %v, error %v", rules, err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
		if rules != nil {
			s := Default()
			s.Rules = rules
			s.Channel("https://www.example.com/?utm_source=abc&utm_medium=x", "https://www.facebook.com/")
		}
	})
}
