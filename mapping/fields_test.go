package mapping

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// matchedRecord is a call in a session that has something of everything.
func matchedRecord(s *Settings, landing string) *record {
	start := time.Date(2026, 11, 23, 12, 0, 0, 250e6, time.UTC)
	x := &Session{
		ID: "abc", StartedAt: start, LandingPage: landing, Referrer: "https://www.google.com/search?q=shoes#x",
		FormURL: "https://www.example.com/contact?x=1", FormName: "Contact us", UserAgent: "Firefox/120.0 (Windows NT 10.0)", PageViews: 3,
		Geo: Geo{"Seattle", "Washington", "United States"},
	}
	call := &Call{TaskID: "00T000000000001AAA", Visitor: "v1", At: start.Add(time.Minute), Fields: map[string]any{
		"Id": "00T000000000001", "Type": "Call", "Subject": "Hello", "WhoId": "003000000000001", "AccountId": "001000000000001", "Score__c": json.Number("12.5"), "Done__c": true,
		"Day__c": "2026-11-23", "Stamp__c": "2026-11-23T12:00:00.000+0000",
	}}
	return s.newRecord(call, x, s.classify(siteCache{}, x), Position{First: true, Lead: true, Converted: true})
}

func TestTouchpointFields(t *testing.T) {
	t.Parallel()
	const landing = "http://info.example.com/demo?_bt=1&_bk=red+shoes&_bm=e&_bg=2&gclid=EAIa&utm_campaign=Spring&utm_content=blue&utm_id=77&utm_medium=cpc"
	tp := matchedRecord(Default(), landing).touchpoint()
	want := map[string]any{
		"Touchpoint_Type": "Call", "Medium": "Call", "Touchpoint_Date": "2026-11-23T12:00:00.250Z", "Touchpoint_Source": "Google AdWords",
		"Marketing_Channel": "Paid Search", "Marketing_Channel_Path": "Paid Search.AdWords",
		"Ad_Campaign_Name": "Spring", "Ad_Campaign_Id": "77", "Ad_Content": "blue", "Ad_Id": "1", "Ad_Group_Id": "2",
		"Ad_Group_Name": nil, "Keyword_Id": nil, "Placement_Id": nil, "Placement_Name": nil, "Site_Id": nil, "Site_Name": nil, "Case": nil, "Account": "001000000000001AAA",
		"Ad_Destination_URL": "http://info.example.com/demo", "Keyword_Text": "red shoes", "Keyword_MatchType": "Exact",
		"Landing_Page": "info.example.com/demo", "Landing_Page_Raw": landing,
		"Referrer_Page": "www.google.com/search", "Referrer_Page_Raw": "https://www.google.com/search?q=shoes#x",
		"Form_URL": "www.example.com/contact", "Form_URL_Raw": "https://www.example.com/contact?x=1", "Form_Name": "Contact us", "Search_Phrase": "shoes",
		"Browser": "Firefox (120.0)", "Platform": "Windows (10.0)", "Geo_City": "Seattle", "Geo_Region": "Washington", "Geo_Country": "United States",
		"Touchpoint_Position": "FT, LC", "Count_First_Touch": 1.0, "Count_Lead_Creation_Touch": 1.0, "Count_U_Shaped": 1.0,
		"Bizible_Person": PersonRef("003000000000001AAA"), "Contact": "003000000000001AAA",
	}
	got := make(map[string]any)
	for name, value := range tp.Values {
		got[strings.TrimSuffix(strings.TrimPrefix(name, "bizible2__"), "__c")] = value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if tp.Key != "callpoint_00T000000000001AAA" || tp.TaskID != "00T000000000001AAA" || tp.Who != "003000000000001AAA" || tp.Cut != 0 || tp.Session != nil {
		t.Errorf("touchpoint %+v", tp)
	}
}

// Where a value comes from, best first.
func TestFieldSources(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		field, page string
		want        any
	}{
		{"Ad_Campaign_Id", "?gad_campaignid=1&utm_id=2&hsa_cam=3&utm_campaign=4", "1"},
		{"Ad_Campaign_Id", "?utm_id=2&hsa_cam=3&utm_campaign=4", "2"},
		{"Ad_Campaign_Id", "?hsa_cam=3&utm_campaign=4", "3"},
		{"Ad_Campaign_Id", "?utm_campaign=4", "4"},
		{"Ad_Id", "?_bt=1&hsa_ad=2", "1"},
		{"Ad_Id", "?hsa_ad=2", "2"},
		{"Ad_Group_Id", "?_bg=1&hsa_grp=2", "1"},
		{"Ad_Group_Id", "?hsa_grp=2", "2"},
		{"Ad_Group_Id", "?utm_adgroup=2", "2"},
		{"Ad_Group_Name", "?utm_adgroup=2&_bg=1", nil},
		{"Ad_Group_Name", "?utm_adgroup=Red+shoes&_bg=1", "Red shoes"},
		{"Ad_Group_Name", "?utm_adset=Retargeting", "Retargeting"},
		{"Keyword_Id", "?hsa_tgt=kwd-298", "298"},
		{"Keyword_Id", "?hsa_tgt=aud-9:kwd-298&utm_keyword_id=1", "298"},
		{"Keyword_Id", "?hsa_tgt=dsa-298", nil},
		{"Keyword_Id", "?utm_keyword_id=k1", "k1"},
		{"Placement_Id", "?utm_placement_id=p1&utm_placement=2", "p1"},
		{"Placement_Id", "?utm_placement=2", "2"},
		{"Placement_Name", "?utm_placement=2", nil},
		{"Placement_Name", "?utm_placement=Facebook_Feed", "Facebook_Feed"},
		{"Site_Id", "?utm_site_id=7", "7"},
		{"Site_Name", "?utm_site=news.example", "news.example"},
		{"Site_Name", "?site_source_name=ig", "ig"},
		{"Keyword_Text", "?_bk=a&utm_term=b", "a"},
		{"Keyword_Text", "?utm_term=b", "b"},
		{"Keyword_MatchType", "?_bm=P", "Phrase"},
		{"Keyword_MatchType", "?_bm=b", "Broad"},
		{"Keyword_MatchType", "?_bm=x", nil},
		{"Ad_Destination_URL", "?utm_medium=email&utm_source=x", nil},
		{"Ad_Destination_URL", "?msclkid=1&size=9", "https://www.example.com/?size=9"},
		{"Ad_Content", "", nil},
		{"Landing_Page", "a/b?x=1", "www.example.com/a/b"},
	} {
		tp := matchedRecord(Default(), "https://www.example.com/"+test.page).touchpoint()
		if got := tp.Values["bizible2__"+test.field+"__c"]; got != test.want {
			t.Errorf("%s of %q is %v, want %v", test.field, test.page, got, test.want)
		}
	}
}

// The Account is the Contact's, the Case is the Task's own; neither is guessed.
func TestAccountAndCase(t *testing.T) {
	t.Parallel()
	const contact, lead, account, kase = "003000000000001AAA", "00Q000000000001EAA", "001000000000001AAA", "500000000000001AAA"
	for _, test := range []struct{ who, what, accountID, account, kase any }{
		{contact, nil, account, account, nil},
		{contact, "", "001000000000001", account, nil},
		{contact, "500000000000001", account, nil, kase},
		{contact, "006000000000001AAA", account, nil, nil}, // that of the Opportunity
		{lead, nil, account, nil, nil},
		{nil, kase, account, nil, kase},
		{contact, nil, nil, nil, nil},
	} {
		s := Default()
		call := Call{TaskID: "00T000000000001AAA", Fields: map[string]any{"WhoId": test.who, "WhatId": test.what, "AccountId": test.accountID}}
		v := s.newRecord(&call, nil, nil, Position{}).touchpoint().Values
		if v["bizible2__Account__c"] != test.account || v["bizible2__Case__c"] != test.kase {
			t.Errorf("%+v: account %v, case %v", test, v["bizible2__Account__c"], v["bizible2__Case__c"])
		}
	}
}

// What is no referrer is not shown as one.
func TestNoReferrer(t *testing.T) {
	t.Parallel()
	s := Default()
	for _, referrer := range []string{"", "null", "about:blank"} {
		x := &Session{LandingPage: "https://www.example.com/", Referrer: referrer}
		v := s.newRecord(nil, x, s.classify(siteCache{}, x), Position{}).touchpoint().Values
		if v["bizible2__Referrer_Page__c"] != nil || v["bizible2__Referrer_Page_Raw__c"] != nil {
			t.Errorf("%q is shown as %v, %v", referrer, v["bizible2__Referrer_Page__c"], v["bizible2__Referrer_Page_Raw__c"])
		}
	}
}

func TestPerson(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		who     any
		person  any
		contact any
	}{
		{"00Q000000000001", PersonRef("00Q000000000001EAA"), nil},
		{"003000000000001AAA", PersonRef("003000000000001AAA"), "003000000000001AAA"},
		{"001000000000001AAA", PersonRef(""), nil},
		{nil, PersonRef(""), nil},
	} {
		s := Default()
		call := Call{TaskID: "00T000000000001AAA", Fields: map[string]any{"WhoId": test.who}}
		tp := s.newRecord(&call, nil, nil, Position{}).touchpoint()
		if tp.Values["bizible2__Bizible_Person__c"] != test.person || tp.Values["bizible2__Contact__c"] != test.contact {
			t.Errorf("who %v: person %v, contact %v", test.who, tp.Values["bizible2__Bizible_Person__c"], tp.Values["bizible2__Contact__c"])
		}
	}
}

func TestValuesAreFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("😀", 200)
	landing := "https://www.example.com/?utm_campaign=" + long + "&utm_term=a%00b%ff%0ac&utm_content=%20%20&x=" + strings.Repeat("y", 40000)
	tp := matchedRecord(Default(), landing).touchpoint()
	checkValues(t, tp)
	if got := tp.Values["bizible2__Ad_Campaign_Name__c"]; got != strings.Repeat("😀", 127) {
		t.Errorf("the campaign was cut to %v", got)
	}
	if got := tp.Values["bizible2__Landing_Page_Raw__c"]; got != "https://www.example.com/?utm_term=a%00b%ff%0ac&utm_content=%20%20" {
		t.Errorf("the landing page was cut to %v", got)
	}
	if got := tp.Values["bizible2__Keyword_Text__c"]; got != "abÿ c" {
		t.Errorf("the keyword is %q", got)
	}
	if got, ok := tp.Values["bizible2__Ad_Content__c"]; got != nil || !ok {
		t.Errorf("the empty content is %v, %v", got, ok)
	}
	if tp.Cut != 3 { // campaign, campaign id, raw landing page
		t.Errorf("%d values were cut", tp.Cut)
	}
}

// A value that is cut at a blank does not end with it: Salesforce would drop the blank, and the record differ for ever.
func TestCutAtBlank(t *testing.T) {
	t.Parallel()
	tp := matchedRecord(Default(), "https://www.example.com/?utm_term="+strings.Repeat("y", 254)+"+z").touchpoint()
	if got := tp.Values["bizible2__Keyword_Text__c"]; got != strings.Repeat("y", 254) || tp.Cut != 2 { // the keyword, the raw URL
		t.Errorf("%q, %d cut", got, tp.Cut)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in    string
		limit int
		want  string
		short bool
	}{
		{"abc", 3, "abc", false},
		{"abcd", 3, "abc", true},
		{"éé", 2, "éé", false},
		{"a😀", 2, "a", true},
		{"a😀", 3, "a😀", false},
		{"", 1, "", false},
	} {
		if got, short := cut(test.in, test.limit); got != test.want || short != test.short {
			t.Errorf("cut(%q, %d) = %q, %v", test.in, test.limit, got, short)
		}
	}
}

const ownFields = `
# comment
bizible2__Medium__c = source
BIZIBLE2__BROWSER__C = -
Phrase__c = "{Subject} / {Type} {Missing}"
Score__c = {Score__c}
Done__c = true
Weight__c = 2
When__c = call_time
Click__c = param.GCLID
`

func TestParseFields(t *testing.T) {
	t.Parallel()
	s := Default()
	var err error
	if s.Fields, err = ParseFields([]byte("\xef\xbb\xbf" + strings.ReplaceAll(ownFields, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	v := matchedRecord(s, "https://www.example.com/?gclid=1").touchpoint().Values
	for name, want := range map[string]any{
		"bizible2__Medium__c": "Google AdWords", "Phrase__c": "Hello / Call", "Score__c": 12.5, "Done__c": true, "Weight__c": 2.0,
		"When__c": "2026-11-23T12:01:00.250Z", "Click__c": "1", "bizible2__Platform__c": "Windows (10.0)",
	} {
		if v[name] != want {
			t.Errorf("%s is %v (%T), want %v", name, v[name], v[name], want)
		}
	}
	if _, ok := v["bizible2__Browser__c"]; ok || len(v) != len(DefaultFields().fields)+5 {
		t.Errorf("the dropped field is there, or another is not: %d fields", len(v))
	}
	if len(DefaultFields().Names()) != 41 || DefaultFields().Names()[1] != "bizible2__Medium__c" || DefaultFields().fields[1].value != "medium" {
		t.Error("the built-in map has changed")
	}
	only, err := ParseFields([]byte("* = -\nA__c = type"))
	if err != nil || strings.Join(only.Names(), " ") != "A__c" {
		t.Errorf("only %v, %v", only, err)
	}
	// A journey record has no Task to take values from.
	x := Session{StartedAt: time.Unix(0, 0), LandingPage: "https://www.example.com/"}
	v = s.newRecord(nil, &x, s.classify(siteCache{}, &x), Position{}).touchpoint().Values
	if v["Phrase__c"] != "/" || v["Score__c"] != nil || v["When__c"] != nil {
		t.Errorf("journey record: %v, %v, %v", v["Phrase__c"], v["Score__c"], v["When__c"])
	}
}

func TestParseFieldsProblems(t *testing.T) {
	t.Parallel()
	_, err := ParseFields([]byte("A__c = type\nnonsense\n1__c = type\na__c = medium\nB__c = colour\nC__c = \"open\nD__c =\n"))
	if err == nil {
		t.Fatal("no error")
	}
	for i, want := range []string{
		`line 2 "nonsense": not of the form Field__c = value`,
		`line 3 "1__c = type": not the API name of a field`,
		`line 4 "a__c = medium": the field is mapped on line 1 already`,
		`line 5 "B__c = colour": no such value`,
		`line 6 "C__c = \"open": no such value`,
		`line 7 "D__c =": no such value`,
	} {
		if lines := strings.Split(err.Error(), "\n"); len(lines) != 6 || !strings.HasPrefix(lines[i], want) {
			t.Errorf("got %s\nwant %s", err, want)
		}
	}
}

// describe is an org that has all of the built-in map.
func describe() []FieldInfo {
	var org []FieldInfo
	for _, f := range DefaultFields().fields {
		info := FieldInfo{Name: f.name, Type: "string", Length: 255, Createable: true, Updateable: true, Nillable: true}
		switch f.kind {
		case timeValue:
			info.Type = "datetime"
		case numberValue:
			info.Type, info.Length = "double", 0
		case personValue, idValue:
			info.Type, info.Length = "reference", 18
		}
		org = append(org, info)
	}
	return org
}

func TestFit(t *testing.T) {
	t.Parallel()
	fitted, dropped, err := DefaultFields().Fit(describe())
	if err != nil || len(dropped) > 0 || len(fitted.fields) != len(DefaultFields().fields) {
		t.Fatalf("%v, %v", dropped, err)
	}
	s := Default()
	s.Fields = fitted
	before, after := matchedRecord(Default(), "https://www.example.com/?gclid=1").touchpoint(), matchedRecord(s, "https://www.example.com/?gclid=1").touchpoint()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}

	org := describe()[1:]                      // no type
	org[0].Updateable = false                  // medium
	org[1].Type = "boolean"                    // date
	org[2].Length = 6                          // source
	org[3].Name = strings.ToUpper(org[3].Name) // channel
	if fitted, dropped, err = DefaultFields().Fit(org); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bizible2__Touchpoint_Type__c: the org has no such field, or hides it from this user",
		"bizible2__Medium__c: the field cannot be written by this user",
		"bizible2__Touchpoint_Date__c: its type is boolean, which cannot hold date",
	}
	if diff := cmp.Diff(want, dropped); diff != "" {
		t.Error(diff)
	}
	s.Fields = fitted
	tp := matchedRecord(s, "https://www.example.com/?gclid=1").touchpoint()
	if tp.Values["bizible2__Touchpoint_Source__c"] != "Google" || tp.Cut != 1 {
		t.Errorf("source %v, %d cut", tp.Values["bizible2__Touchpoint_Source__c"], tp.Cut)
	}
	if tp.Values["BIZIBLE2__MARKETING_CHANNEL__C"] != "Paid Search" {
		t.Error("the org's spelling of a field is not used")
	}
}

// In a map of the user's own every problem is an error, and all come together.
func TestFitOwn(t *testing.T) {
	t.Parallel()
	m, err := ParseFields([]byte("Gone__c = type\nRead__c = type\nNumber__c = type\nShort__c = \"too long\"\nLink__c = person\nbizible2__Medium__c = type\n"))
	if err != nil {
		t.Fatal(err)
	}
	ok := FieldInfo{Type: "string", Length: 5, Createable: true, Updateable: true}
	var org []FieldInfo
	for name, fieldType := range map[string]string{"Read__c": "string", "Number__c": "double", "Short__c": "string", "Link__c": "string"} {
		info := ok
		info.Name, info.Type = name, fieldType
		info.Createable = name != "Read__c"
		org = append(org, info)
	}
	_, dropped, err := m.Fit(org)
	want := `line 6, bizible2__Medium__c: the org has no such field, or hides it from this user
line 1, Gone__c: the org has no such field, or hides it from this user
line 2, Read__c: the field cannot be written by this user
line 3, Number__c: its type is double, which cannot hold type
line 4, Short__c: the text is longer than the field, which holds 5 characters
line 5, Link__c: its type is string, which cannot hold person`
	if err == nil || err.Error() != want || len(dropped) != len(DefaultFields().fields)-1 {
		t.Errorf("got %v\nwant %s\n%d dropped", err, want, len(dropped))
	}
}

// A Task field takes the type of the field that it goes to; what cannot, is left empty.
func TestFitTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value, fieldType string
		want             any
	}{
		{"{Score__c}", "double", 12.5},
		{"{Score__c}", "string", "12.5"},
		{"{Subject}", "double", nil},
		{"{Done__c}", "boolean", true},
		{"{Missing__c}", "boolean", false},
		{"{Done__c}", "string", "true"},
		{"{Stamp__c}", "datetime", "2026-11-23T12:00:00.000Z"},
		{"{Stamp__c}", "date", "2026-11-23"},
		{"{Subject}", "datetime", nil},
		{"{Subject}", "picklist", "Hello"},
		{"date", "date", "2026-11-23"},
		{"date", "string", "2026-11-23T12:00:00.250Z"},
		{"page_views", "int", 3.0},
		{"page_views", "string", "3"},
		{"who_id", "reference", "003000000000001AAA"},
		{"true", "boolean", true},
		{"1.5", "percent", 1.5},
	} {
		m, err := ParseFields([]byte("* = -\nX__c = " + test.value))
		if err != nil {
			t.Fatal(err)
		}
		s := Default()
		if s.Fields, _, err = m.Fit([]FieldInfo{{Name: "X__c", Type: test.fieldType, Createable: true, Updateable: true}}); err != nil {
			t.Errorf("%s in %s: %v", test.value, test.fieldType, err)
			continue
		}
		if got := matchedRecord(s, "https://www.example.com/").touchpoint().Values["X__c"]; got != test.want {
			t.Errorf("%s in %s is %v (%T), want %v", test.value, test.fieldType, got, got, test.want)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(ownFields))
	f.Add(fieldsTXT)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseFields(data)
		if err != nil {
			return
		}
		s := Default()
		s.Fields = m
		for name, value := range matchedRecord(s, "https://www.example.com/?gclid=1").touchpoint().Values {
			if text, ok := value.(string); ok && (text != clean(text) || text == "") {
				t.Errorf("%s is %q", name, text)
			}
		}
	})
}
