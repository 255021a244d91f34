package orgsim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

// seed fills an org with a small family of records to query.
func seed(w *world) (lead, contact, account string) {
	account = w.insert("Account", m{"Name": "Acme"})
	lead = w.insert("Lead", m{"FirstName": "Lea", "LastName": "Dove", "Company": "Dove Ltd", "Email": "lea@dove.example"})
	contact = w.insert("Contact", m{"LastName": "Tact", "AccountId": account})
	for _, t := range []m{
		{"Subject": "a1", "TaskSubtype": "Call", "CallType": "Inbound", "CallDurationInSeconds": 60, "WhoId": lead, "ActivityDate": "2026-11-23"},
		{"Subject": "b2", "TaskSubtype": "Call", "CallType": "Outbound", "CallDurationInSeconds": 90, "WhoId": contact, "ActivityDate": "2026-11-22"},
		{"Subject": "C3", "TaskSubtype": "Email", "bizible2__BizibleId__c": "It's 100%_ok\\now"},
		{"Subject": "d4", "TaskSubtype": "Call", "CallDurationInSeconds": 60, "WhatId": account, "bizible2__BizibleId__c": "ABC"},
		{"TaskSubtype": "Task", "Description": "no subject"},
	} {
		w.insert("Task", t)
		w.clock.advance(time.Minute)
	}
	return lead, contact, account
}

func TestWhere(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	lead, _, account := seed(w)
	deleted := w.insert("Task", m{"Subject": "gone"})
	if err := w.org.Delete("Task", deleted); err != nil {
		t.Fatal(err)
	}
	w.insert("Task", m{"Subject": "midnight", "CreatedDate": start.Add(7 * time.Hour)})
	if got := w.query("SELECT Id FROM Task WHERE CreatedDate = TODAY AND Subject = 'midnight'").TotalSize; got != 0 {
		t.Error("midnight belongs to the day before")
	}
	if err := w.org.Purge("Task", w.org.Records("Task")[5]["Id"].(string)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ where, want string }{
		{"Subject = 'c3'", "C3"},                      // text ignores case
		{"subject = 'A1'", "a1"},                      // names too
		{"Subject != 'a1'", "- C3 b2 d4"},             // != holds for null
		{"Subject <> 'a1'", "- C3 b2 d4"},             //
		{"Subject = null", "-"},                       //
		{"Subject = ''", "-"},                         // empty text is null
		{"Subject != NULL", "C3 a1 b2 d4"},            //
		{"Subject > 'b2'", "C3 d4"},                   //
		{"Subject <= 'b2'", "a1 b2"},                  //
		{"Subject IN ('a1','B2')", "a1 b2"},           //
		{"Subject IN ('a1', null)", "- a1"},           //
		{"Subject NOT IN ('a1','b2')", "- C3 d4"},     //
		{"Subject LIKE '%3'", "C3"},                   //
		{"Subject LIKE '_4'", "d4"},                   //
		{"(NOT Subject LIKE '%3')", "- a1 b2 d4"},     //
		{"NOT Subject = 'a1'", "- C3 b2 d4"},          //
		{"CallDurationInSeconds = 60", "a1 d4"},       //
		{"CallDurationInSeconds > 60", "b2"},          //
		{"CallDurationInSeconds >= 60.0", "a1 b2 d4"}, //
		{"CallDurationInSeconds < 60", ""},            //
		{"CallDurationInSeconds IN (90, 91)", "b2"},   //
		{"IsClosed = false AND Subject = 'a1'", "a1"}, // derived fields filter
		{"IsDeleted = true", ""},                      // query never shows it
		{"ActivityDate = 2026-11-23", "a1"},           //
		{"ActivityDate < 2026-11-23", "b2"},           //
		{"ActivityDate = TODAY", "a1"},                //
		{"ActivityDate = YESTERDAY", "b2"},            //
		{"ActivityDate = LAST_N_DAYS:3", "a1 b2"},     //
		{"ActivityDate < TOMORROW", "a1 b2"},
		{"ActivityDate = NEXT_N_DAYS:2", ""},
		{"ActivityDate > LAST_MONTH", "a1 b2"},
		{"ActivityDate <= LAST_MONTH", ""},
		{"ActivityDate = THIS_YEAR", "a1 b2"},
		{"ActivityDate IN (YESTERDAY, 2026-11-23)", "a1 b2"},
		{"ActivityDate > TODAY", ""},                      //
		{"CreatedDate >= 2026-11-23T17:03:00Z", "- d4"},   //
		{"CreatedDate = 2026-11-23T17:03:00.900Z", "d4"},  // milliseconds do not count
		{"CreatedDate > 2026-11-23T17:03:00.900Z", "-"},   //
		{"CreatedDate = 2026-11-23T18:03:00+01:00", "d4"}, //
		{"CreatedDate < TODAY", ""},                       //
		{"CreatedDate = THIS_MONTH", "- C3 a1 b2 d4"},     //
		{"Who.Type = 'Lead'", "a1"},                       //
		{"Who.Type IN ('Lead','Contact')", "a1 b2"},       //
		{"Who.Name LIKE 'lea%'", "a1"},                    //
		{"Who.Email = 'LEA@dove.example'", "a1"},          //
		{"What.Type = 'Account'", "d4"},                   //
		{"Account.Name = 'acme'", "b2 d4"},                // derived from What, or Who's account
		{"AccountId = '" + account + "'", "b2 d4"},        //
		{"WhoId = '" + lead[:15] + "'", "a1"},             // 15 characters do
		{"WhoId != null", "a1 b2"},
		{"WhoId = ''", "- C3 d4"},
		{"Task.Subject = 'a1'", "a1"},
		{`bizible2__BizibleId__c = 'it\'s 100%_ok\\now'`, "C3"},
		{`bizible2__BizibleId__c LIKE '%100\%\_ok%'`, "C3"},
		{`bizible2__BizibleId__c LIKE '%1\_0%'`, ""},
		{`bizible2__BizibleId__c LIKE '%ok\\n%'`, "C3"},
		{"bizible2__BizibleId__c = 'abc'", "d4"},
		{"bizible2__BizibleId__c != null OR (TaskSubtype = 'Call' AND CallType != 'Outbound')", "C3 a1 d4"},
		{"Subject = 'a1' OR Subject = 'b2' OR Subject = 'C3'", "C3 a1 b2"},
		{"(Subject = 'a1' OR Subject = 'b2') AND CallType = 'Inbound'", "a1"},
		{"((Subject = 'a1'))", "a1"},
	} {
		soql := "SELECT Subject FROM Task WHERE " + tc.where
		if got := strings.Join(subjects(w.query(soql)), " "); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.where, got, tc.want)
		}
	}
}

// subjects lists the Subjects of a page, sorted; - for null.
func subjects(p page) []string {
	var out []string
	for _, r := range p.Records {
		s, ok := r["Subject"].(string)
		if !ok {
			s = "-"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func TestOrderAndWindow(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	seed(w)
	for _, tc := range []struct{ rest, want string }{
		{"ORDER BY Subject", "- a1 b2 C3 d4"},
		{"ORDER BY Subject ASC NULLS LAST", "a1 b2 C3 d4 -"},
		{"ORDER BY Subject DESC", "- d4 C3 b2 a1"},
		{"ORDER BY Subject DESC NULLS LAST", "d4 C3 b2 a1 -"},
		{"ORDER BY CallDurationInSeconds DESC NULLS LAST, Subject DESC LIMIT 3", "b2 d4 a1"},
		{"order by CreatedDate limit 2", "a1 b2"},
		{"ORDER BY CreatedDate LIMIT 2 OFFSET 1", "b2 C3"},
		{"ORDER BY CreatedDate OFFSET 3", "d4 -"},
		{"ORDER BY CreatedDate OFFSET 2000", ""},
		{"ORDER BY Id DESC LIMIT 1", "-"},
		{"ORDER BY Who.Name NULLS LAST, Subject LIMIT 2", "a1 b2"},
		{"WHERE TaskSubtype = 'Call' ORDER BY Subject LIMIT 0", ""},
	} {
		var got []string
		p := w.query("SELECT Subject FROM Task " + tc.rest)
		for _, r := range p.Records {
			got = append(got, strings.ReplaceAll(fmt.Sprint(r["Subject"]), "<nil>", "-"))
		}
		if strings.Join(got, " ") != tc.want || p.TotalSize != len(got) {
			t.Errorf("%s: got %q (totalSize %d), want %q", tc.rest, got, p.TotalSize, tc.want)
		}
	}
}

// Ties come in an order that is neither that of Id nor that of insertion.
func TestTiesAreUnordered(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	for i := range 50 {
		w.insert("Task", m{"Subject": fmt.Sprintf("%02d", i)})
	}
	ids := func(soql string) []string {
		var out []string
		for _, r := range w.query(soql).Records {
			out = append(out, r["Id"].(string))
		}
		return out
	}
	if got := ids("SELECT Id FROM Task ORDER BY SystemModstamp"); slices.IsSorted(got) {
		t.Error("rows of one second are sorted by Id without asking for it")
	}
	if got := ids("SELECT Id FROM Task ORDER BY SystemModstamp, Id"); !slices.IsSorted(got) || len(got) != 50 {
		t.Errorf("not sorted by Id: %v", got)
	}
}

func TestRecordShape(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	lead, _, _ := seed(w)
	a := w.send("GET", queryURL("select id, SUBJECT, createddate, CallDurationInSeconds, ActivityDate, IsClosed, WhatId, Who.Type, who.name, What.Name, Owner.Name from task where Subject = 'a1'"), "")
	var p struct{ Records []map[string]any }
	w.into(a, 200, &p)
	id := p.Records[0]["Id"].(string)
	want := `{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Task","url":"/services/data/v62.0/sobjects/Task/` + id + `"},` +
		`"Id":"` + id + `","Subject":"a1","CreatedDate":"2026-11-23T17:00:00.000+0000","CallDurationInSeconds":60,"ActivityDate":"2026-11-23","IsClosed":false,"WhatId":null,` +
		`"Who":{"attributes":{"type":"Name","url":"/services/data/v62.0/sobjects/Lead/` + lead + `"},"Type":"Lead","Name":"Lea Dove"},"What":null,` +
		`"Owner":{"attributes":{"type":"Name","url":"/services/data/v62.0/sobjects/User/` + w.org.UserID() + `"},"Name":"User Integration"}}]}`
	if a.text != want {
		t.Errorf("got\n%s\nwant\n%s", a.text, want)
	}
	w.upsert(tp, m{extID: "k", "bizible2__Count_U_Shaped__c": 0.5, "bizible2__Count_First_Touch__c": 1})
	a = w.send("GET", queryURL("SELECT bizible2__Count_U_Shaped__c, bizible2__Count_First_Touch__c FROM "+tp), "")
	if !strings.Contains(a.text, `"bizible2__Count_U_Shaped__c":0.5,"bizible2__Count_First_Touch__c":1.0`) {
		t.Errorf("doubles: %s", a.text)
	}
}

func TestCustomRelationships(t *testing.T) {
	w := newWorld(t, orgsim.Config{}).link()
	lead, _, _ := seed(w)
	person := w.insert(orgsim.Person, m{"bizible2__Lead__c": lead, extID: "p"})
	id := w.insert(tp, m{extID: "t", "bizible2__Bizible_Person__c": person})
	p := w.query("SELECT Name, bizible2__Bizible_Person__r.bizible2__Lead__r.Name FROM " + tp + " WHERE bizible2__Bizible_Person__r.bizible2__Lead__c = '" + lead + "'")
	if len(p.Records) != 1 {
		t.Fatalf("%d records", len(p.Records))
	}
	up := p.Records[0]["bizible2__Bizible_Person__r"].(m)
	if name := up["bizible2__Lead__r"].(m)["Name"]; name != "Lea Dove" || p.Records[0]["Name"] != id {
		t.Errorf("got %v", p.Records[0])
	}
	// A deleted parent is null for query, and still there for queryAll.
	if err := w.org.Delete("Lead", lead); err != nil {
		t.Fatal(err)
	}
	if got := w.query("SELECT Who.Name FROM Task WHERE Subject = 'a1'").Records[0]["Who"]; got != nil {
		t.Errorf("deleted Who is %v", got)
	}
	// The custom lookup to it is cleared.
	if rec, _ := w.org.Get(orgsim.Person, person); rec["bizible2__Lead__c"] != nil {
		t.Errorf("lookup to a deleted lead: %v", rec["bizible2__Lead__c"])
	}
}

func TestAggregates(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	seed(w)
	for _, tc := range []struct{ soql, want string }{
		{"SELECT COUNT() FROM Task WHERE TaskSubtype = 'Call'", `{"totalSize":3,"done":true,"records":[]}`},
		{"SELECT COUNT() FROM Task LIMIT 2", `{"totalSize":2,"done":true,"records":[]}`},
		{"SELECT COUNT(Id) n, SUM(CallDurationInSeconds) s, MIN(CreatedDate) lo, MAX(Subject) hi, AVG(CallDurationInSeconds), COUNT(CallType) FROM Task",
			`[{"attributes":{"type":"AggregateResult"},"n":5,"s":210,"lo":"2026-11-23T17:00:00.000+0000","hi":"d4","expr0":70,"expr1":2}]`},
		{"SELECT TaskSubtype, COUNT(Id) n FROM Task GROUP BY TaskSubtype ORDER BY COUNT(Id) DESC, TaskSubtype",
			`[{"attributes":{"type":"AggregateResult"},"TaskSubtype":"Call","n":3},{"attributes":{"type":"AggregateResult"},"TaskSubtype":"Email","n":1},{"attributes":{"type":"AggregateResult"},"TaskSubtype":"Task","n":1}]`},
		{"SELECT CallType c, COUNT(Id) FROM Task GROUP BY CallType LIMIT 1", "only aggregate expressions use field aliasing"},
		{"SELECT Who.Type, COUNT_DISTINCT(CallDurationInSeconds) d FROM Task GROUP BY Who.Type ORDER BY Who.Type NULLS LAST LIMIT 2",
			`[{"attributes":{"type":"AggregateResult"},"Type":"Contact","d":1},{"attributes":{"type":"AggregateResult"},"Type":"Lead","d":1}]`},
		{"SELECT SUM(CallDurationInSeconds) FROM Task WHERE Subject = 'nobody'", `[{"attributes":{"type":"AggregateResult"},"expr0":null}]`},
		{"SELECT TaskSubtype FROM Task WHERE Subject = 'nobody' GROUP BY TaskSubtype", `"records":[]`},
		{"SELECT Subject, COUNT(Id) FROM Task GROUP BY TaskSubtype", "Field must be grouped or aggregated: Subject"},
		{"SELECT SUM(Subject) FROM Task", "field Subject does not support aggregate operator SUM"},
		{"SELECT COUNT(Id) FROM Task GROUP BY Description", "field 'Description' can not be grouped in a query call"},
	} {
		if a := w.send("GET", queryURL(tc.soql), ""); !strings.Contains(a.text, tc.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.soql, a.text, tc.want)
		}
	}
}

func TestQueryErrors(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	for _, tc := range []struct{ soql, code, message string }{
		{"SELECT Naem FROM Account", "INVALID_FIELD", "\nSELECT Naem FROM Account\n       ^\nERROR at Row:1:Column:8\nNo such column 'Naem' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c'"},
		{"SELECT Id\nFROM Task\nWHERE Naem = 1", "INVALID_FIELD", "\nWHERE Naem = 1\n      ^\nERROR at Row:3:Column:7\nNo such column"},
		{"SELECT Id FROM Task ORDER BY Naem", "INVALID_FIELD", "No such column 'Naem' on entity 'Task'"},
		{"SELECT Who.Company FROM Task", "INVALID_FIELD", "No such column 'Company' on entity 'Name'"},
		{"SELECT Foo.Name FROM Task", "INVALID_FIELD", "Didn't understand relationship 'Foo' in field path. If you are attempting to use a custom relationship, be sure to append the '__r'"},
		{"SELECT Id FROM Nope__c", "INVALID_TYPE", "sObject type 'Nope__c' is not supported."},
		{"SELECT Phone FROM Task", "INVALID_FIELD", "No such column 'Phone'"},
		{"SELECT Id FORM Task", "MALFORMED_QUERY", "unexpected token: 'FORM'"},
		{"SELECT Id foo FROM Task", "MALFORMED_QUERY", "only aggregate expressions use field aliasing"},
		{"SELECT FROM Task", "MALFORMED_QUERY", "unexpected token: 'FROM'"},
		{"SELECT Id, FROM Task", "MALFORMED_QUERY", "unexpected token: 'FROM'"},
		{"SELECT Id", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"DELETE FROM Task", "MALFORMED_QUERY", "unexpected token: 'DELETE'"},
		{"SELECT * FROM Task", "MALFORMED_QUERY", "unexpected token: '*'"},
		{"SELECT Id FROM Task;", "MALFORMED_QUERY", "unexpected token: ';'"},
		{"SELECT Id FROM Task WHERE", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"SELECT Id FROM Task WHERE Subject = 'a' AND Type = 'b' OR Status = 'c'", "MALFORMED_QUERY", "unexpected token: 'OR'"},
		{"SELECT Id FROM Task WHERE Subject = 'a' OR Type = 'b' AND Status = 'c'", "MALFORMED_QUERY", "unexpected token: 'AND'"},
		{"SELECT Id FROM Task WHERE NOT Subject = 'a' AND Type = 'b'", "MALFORMED_QUERY", "unexpected token: 'AND'"},
		{"SELECT Id FROM Task WHERE Type = 'b' AND NOT Subject = 'a'", "MALFORMED_QUERY", "unexpected token: 'NOT'"},
		{"SELECT Id FROM Task WHERE Subject = 'a", "MALFORMED_QUERY", "unexpected token: 'a"},
		{`SELECT Id FROM Task WHERE Subject = 'C:\dir'`, "MALFORMED_QUERY", `Illegal character sequence '\d' in string literal.`},
		{`SELECT Id FROM Task WHERE Subject = '100\%'`, "MALFORMED_QUERY", `Illegal character sequence '\%'`},
		{"SELECT Id FROM Task WHERE Subject IN ()", "MALFORMED_QUERY", "unexpected token: ')'"},
		{"SELECT Id FROM Task WHERE Id IN (SELECT WhoId FROM Task)", "MALFORMED_QUERY", "unexpected token: 'SELECT'"},
		{"SELECT Id FROM Task WHERE Subject = \"a\"", "MALFORMED_QUERY", "unexpected token: '\"'"},
		{"SELECT Id FROM Task WHERE Subject = a", "MALFORMED_QUERY", "unexpected token: 'a'"},
		{"SELECT Id FROM Task WHERE Subject == 'a'", "MALFORMED_QUERY", "unexpected token: '='"},
		{"SELECT Id FROM Task WHERE CreatedDate = LAST_N_DAYS:x", "MALFORMED_QUERY", "unexpected token: 'x'"},
		{"SELECT Id FROM Task WHERE Subject NOT LIKE 'x'", "MALFORMED_QUERY", "unexpected token: 'LIKE'"},
		{"SELECT Id FROM Task WHERE Subject 'x'", "MALFORMED_QUERY", "unexpected token: 'x'"},
		{"SELECT Id FROM Task ORDER BY Id NULLS", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"SELECT Id FROM Task ORDER BY COUNT()", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"SELECT Id FROM Task ORDER BY COUNT(Id)", "MALFORMED_QUERY", "Ordered field must be grouped or aggregated: Id"},
		{"SELECT COUNT(), Id FROM Task", "MALFORMED_QUERY", "unexpected token: ','"},
		{"SELECT Id FROM Task WHERE Subject = ~", "MALFORMED_QUERY", "unexpected token: '~'"},
		{"SELECT Id FROM Task LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"},
		{"SELECT Id FROM Task LIMIT 5 ORDER BY Id", "MALFORMED_QUERY", "unexpected token: 'ORDER'"},
		{"SELECT Id FROM Task OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"},
		{"SELECT Id, Subject, ID FROM Task", "MALFORMED_QUERY", "duplicate field selected: ID"},
		{"SELECT Id FROM Task WHERE SystemModstamp > '2026-11-23T17:00:00Z'", "INVALID_FIELD", "value of filter criterion for field 'SystemModstamp' must be of type dateTime and should not be enclosed in quotes"},
		{"SELECT Id FROM Task WHERE SystemModstamp > 2026-11-23", "INVALID_FIELD", "field 'SystemModstamp' must be of type dateTime"},
		{"SELECT Id FROM Task WHERE SystemModstamp > 2026-11-23T17:00:00 01:00", "MALFORMED_QUERY", "unexpected token: '01:00'"},
		{"SELECT Id FROM Task WHERE ActivityDate = 2026-11-23T17:00:00Z", "INVALID_FIELD", "field 'ActivityDate' must be of type date and should not"},
		{"SELECT Id FROM Task WHERE IsDeleted = 'true'", "INVALID_FIELD", "field 'IsDeleted' must be of type boolean and should not be enclosed in quotes"},
		{"SELECT Id FROM Task WHERE IsDeleted > true", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on boolean field"},
		{"SELECT Id FROM Task WHERE CallDurationInSeconds = '60'", "INVALID_FIELD", "must be of type int and should not be enclosed in quotes"},
		{"SELECT Id FROM Task WHERE Subject = 5", "INVALID_FIELD", "field 'Subject' must be of type combobox and should be enclosed in quotes"},
		{"SELECT Id FROM Task WHERE WhoId = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"},
		{"SELECT Id FROM Task WHERE Id LIKE '00T%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id field"},
		{"SELECT Id FROM Task WHERE CallDurationInSeconds > null", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on int field"},
		{"SELECT Id FROM Task WHERE Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"},
		{"SELECT Id FROM Task ORDER BY Description", "INVALID_FIELD", "field 'Description' can not be sorted in a query call"},
		{"SELECT Id FROM " + tp + " WHERE bizible2__Ad_Content__c != null", "INVALID_FIELD", "can not be filtered"},
		{"SELECT Id FROM Task WHERE CreatedDate = LAST_N_DAYS:0", "INVALID_FIELD", "must be of type dateTime"},
	} {
		a := w.send("GET", queryURL(tc.soql), "")
		t.Run(tc.soql, func(t *testing.T) { (&world{T: t}).refused(a, 400, tc.code, tc.message) })
	}
	w.refused(w.send("GET", data+"/query", ""), 400, "MALFORMED_QUERY", "A query string has to be specified")
	w.refused(w.send("POST", queryURL("SELECT Id FROM Task"), "{}"), 405, "METHOD_NOT_ALLOWED", "HTTP Method 'POST' not allowed")
}

// A query too long for a URL still fits a composite subrequest.
func TestQuerySizes(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	sub := func(soql string) string {
		var out struct {
			CompositeResponse []struct {
				Body           any
				HTTPStatusCode int
			}
		}
		w.into(w.sendJSON("POST", data+"/composite", m{"compositeRequest": []m{{"method": "GET", "url": queryURL(soql), "referenceId": "q"}}}), 200, &out)
		return fmt.Sprint(out.CompositeResponse[0].HTTPStatusCode, out.CompositeResponse[0].Body)
	}
	in := func(n int) string {
		return "SELECT Id FROM Task WHERE Subject IN (" + strings.Repeat("'abcdefgh',", n/11) + "'x')"
	}
	if got := sub(in(50_000)); !strings.HasPrefix(got, "200") {
		t.Errorf("50,000 characters: %s", got)
	}
	if got := sub(in(101_000)); !strings.Contains(got, "SOQL statements cannot be longer than 100000 characters.") {
		t.Errorf("101,000 characters: %s", got)
	}
	if got := sub("SELECT Id FROM Task WHERE Subject = '" + strings.Repeat("x", 4001) + "'"); !strings.Contains(got, "MALFORMED_QUERY") {
		t.Errorf("literal of 4001: %s", got)
	}
	if got := sub("SELECT Id FROM Task WHERE Subject = '" + strings.Repeat("x", 4000) + "'"); !strings.HasPrefix(got, "200") {
		t.Errorf("literal of 4000: %s", got)
	}
	deep := strings.Repeat("(", 300) + "Id != null" + strings.Repeat(")", 300)
	w.refused(w.send("GET", queryURL("SELECT Id FROM Task WHERE "+deep), ""), 400, "QUERY_TOO_COMPLICATED", "")
	if a := w.send("GET", queryURL(in(17_000)), ""); a.status != 414 || a.header.Get("Sforce-Limit-Info") != "" {
		t.Errorf("long URI: %d", a.status)
	}
	if a := w.send("GET", queryURL("SELECT Id FROM Task"), "", "X-Long", strings.Repeat("x", 16_384)); a.status != 431 {
		t.Errorf("long headers: %d", a.status)
	}
}
