package orgsim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

func fill(w *world, n int) {
	for i := range n {
		w.insert("Task", m{"Subject": fmt.Sprintf("%05d", i)})
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	fill(w, 4100)
	p := w.query("SELECT Subject FROM Task ORDER BY Id")
	if p.TotalSize != 4100 || p.Done || len(p.Records) != 2000 || !strings.HasPrefix(p.NextRecordsURL, data+"/query/0r8") || !strings.HasSuffix(p.NextRecordsURL, "-2000") {
		t.Fatalf("first page: %d of %d, done %v, next %s", len(p.Records), p.TotalSize, p.Done, p.NextRecordsURL)
	}
	first := p.NextRecordsURL
	all := p.Records
	// What happens meanwhile does not show in the pages of a running query.
	w.insert("Task", m{"Subject": "new"})
	if err := w.org.Delete("Task", w.org.Records("Task")[4000]["Id"].(string)); err != nil {
		t.Fatal(err)
	}
	for !p.Done {
		next := p.NextRecordsURL
		p = page{}
		w.into(w.send("GET", next, ""), 200, &p)
		all = append(all, p.Records...)
	}
	if p.NextRecordsURL != "" || len(p.Records) != 100 || p.TotalSize != 4100 {
		t.Errorf("last page: %d records, next %q", len(p.Records), p.NextRecordsURL)
	}
	for i, r := range all {
		if r["Subject"] != fmt.Sprintf("%05d", i) {
			t.Fatalf("record %d is %v", i, r["Subject"])
		}
	}
	// A page can be read again.
	var again page
	if w.into(w.send("GET", first, ""), 200, &again); again.Records[0]["Subject"] != "02000" {
		t.Errorf("again: %v", again.Records[0])
	}
	s := w.org.Requests()
	if s.Queries != 1 || s.Pages != 4 || s.RowsRead != 6100 || s.APICalls != 4 {
		t.Errorf("stats %+v", s)
	}
}

func TestLocators(t *testing.T) {
	w := newWorld(t, orgsim.Config{PageSize: 2})
	fill(w, 5)
	bad := func(url string) {
		t.Helper()
		w.refused(w.send("GET", url, ""), 400, "INVALID_QUERY_LOCATOR", "invalid query locator")
	}
	p := w.query("SELECT Id FROM Task")
	if len(p.Records) != 2 {
		t.Fatalf("page of %d", len(p.Records))
	}
	bad(strings.TrimSuffix(p.NextRecordsURL, "-2"))
	bad(strings.TrimSuffix(p.NextRecordsURL, "2") + "5")
	bad(data + "/query/0r8Hs0000000zzzAAA-2")
	w.clock.advance(time.Hour) // sessions last two
	w.into(w.send("GET", p.NextRecordsURL, ""), 200, &page{})
	for range 47 {
		w.clock.advance(time.Hour)
		w.send("GET", data+"/limits", "")
	}
	bad(p.NextRecordsURL) // after two days
	p = w.query("SELECT Id FROM Task")
	w.org.ExpireLocators()
	bad(p.NextRecordsURL)
}

func TestBatchSizeHint(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	fill(w, 2100)
	for _, tc := range []struct {
		hint string
		want int
	}{{"batchSize=500", 500}, {"batchsize = 200", 200}, {"batchSize=10", 200}, {"batchSize=5000", 2000}, {"x", 2000}, {"", 2000}} {
		var p page
		w.into(w.send("GET", queryURL("SELECT Id FROM Task"), "", "Sforce-Query-Options", tc.hint), 200, &p)
		if len(p.Records) != tc.want {
			t.Errorf("%q: page of %d, want %d", tc.hint, len(p.Records), tc.want)
		}
	}
}

// query shows neither deleted nor archived Tasks; queryAll shows both.
func TestQueryAll(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	old := start.AddDate(-2, 0, 0)
	w.insert("Task", m{"Subject": "open and old", "CreatedDate": old})
	w.insert("Task", m{"Subject": "closed and old", "CreatedDate": old, "Status": "Completed"})
	w.insert("Task", m{"Subject": "old, due lately", "CreatedDate": old, "Status": "Completed", "ActivityDate": "2026-06-01"})
	w.insert("Task", m{"Subject": "due long ago", "Status": "Completed", "ActivityDate": "2025-11-23"})
	w.insert("Task", m{"Subject": "closed", "Status": "Completed"})
	gone := w.insert("Task", m{"Subject": "deleted"})
	w.clock.advance(time.Minute)
	if err := w.org.Delete("Task", gone); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(subjects(w.query("SELECT Subject FROM Task")), "; "); got != "closed; old, due lately; open and old" {
		t.Errorf("query: %s", got)
	}
	all := func(soql string) page {
		var p page
		w.into(w.send("GET", strings.Replace(queryURL(soql), "/query?", "/queryAll?", 1), ""), 200, &p)
		return p
	}
	if got := strings.Join(subjects(all("SELECT Subject FROM Task")), "; "); got != "closed; closed and old; deleted; due long ago; old, due lately; open and old" {
		t.Errorf("queryAll: %s", got)
	}
	if got := strings.Join(subjects(all("SELECT Subject FROM Task WHERE IsArchived = true")), "; "); got != "closed and old; due long ago" {
		t.Errorf("archived: %s", got)
	}
	// A deletion moves the stamp, so that a cursor meets it.
	p := all("SELECT Subject, IsDeleted, SystemModstamp FROM Task WHERE SystemModstamp > 2026-11-23T17:00:00Z")
	if len(p.Records) != 1 || p.Records[0]["IsDeleted"] != true || p.Records[0]["SystemModstamp"] != "2026-11-23T17:01:00.000+0000" {
		t.Errorf("deleted: %v", p.Records)
	}
	// Following pages keep to queryAll.
	small := newWorld(t, orgsim.Config{PageSize: 1})
	one := small.insert("Task", m{"Subject": "1"})
	small.insert("Task", m{"Subject": "2"})
	if err := small.org.Delete("Task", one); err != nil {
		t.Fatal(err)
	}
	small.into(small.send("GET", strings.Replace(queryURL("SELECT Subject FROM Task ORDER BY Id DESC"), "/query?", "/queryAll/?", 1), ""), 200, &p)
	next := p.NextRecordsURL
	if small.into(small.send("GET", next, ""), 200, &p); p.Records[0]["Subject"] != "1" {
		t.Errorf("second page: %v", p.Records)
	}
	if err := small.org.Purge("Task", one); err != nil {
		t.Fatal(err)
	}
	if small.into(small.send("GET", strings.Replace(queryURL("SELECT Subject FROM Task"), "/query?", "/queryAll?", 1), ""), 200, &p); p.TotalSize != 1 {
		t.Errorf("purged record still shows: %+v", p)
	}
}

// A row is stamped in its transaction and seen after it.
func TestLateVisibility(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	id, err := w.org.InsertLate("Task", m{"Subject": "late"}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		return w.query("SELECT Id FROM Task WHERE SystemModstamp = 2026-11-23T17:00:00Z").TotalSize
	}
	if count() != 0 || len(w.org.Records("Task")) != 0 {
		t.Error("visible at once")
	}
	w.clock.advance(10*time.Minute - time.Second)
	if count() != 0 {
		t.Error("visible a second early")
	}
	w.clock.advance(time.Second)
	if count() != 1 || len(w.org.Records("Task")) != 1 {
		t.Error("not visible in time")
	}
	if err := w.org.UpdateLate("Task", id, m{"Subject": "changed"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if rec, _ := w.org.Get("Task", id); rec["Subject"] != "late" || rec["SystemModstamp"] != "2026-11-23T17:00:00.000+0000" {
		t.Errorf("before the commit: %v", rec)
	}
	if _, err := w.org.InsertLate("Task", m{"Subject": "other"}, time.Hour); err != nil { // changes nothing for this one
		t.Fatal(err)
	}
	w.clock.advance(time.Minute)
	if rec, _ := w.org.Get("Task", id); rec["Subject"] != "changed" || rec["SystemModstamp"] != "2026-11-23T17:10:00.000+0000" {
		t.Errorf("after the commit: %v", rec)
	}
	// A change that is seen at once takes what is pending along.
	if err := w.org.UpdateLate("Task", id, m{"Type": "Call"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := w.org.Update("Task", id, m{"Subject": "at once"}); err != nil {
		t.Fatal(err)
	}
	if rec, _ := w.org.Get("Task", id); rec["Subject"] != "at once" || rec["Type"] != "Call" {
		t.Errorf("after a second change: %v", rec)
	}
}
