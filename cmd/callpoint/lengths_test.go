package main

import (
	"strings"
	"testing"
)

// Values fit the fields of the package: raw URLs keep what attribution needs, others are cut,
// and the cut ones are counted.
func TestValuesFitTheFields(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	long := strings.Repeat("x", 300)
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/a?session="+long+"&utm_source="+strings.Repeat("ü", 70)+"&utm_medium=flyer&utm_content="+long+"&_bt="+strings.Repeat("7", 61), "https://blog.example.net/?q="+long))
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "Type": "Call"})
	d.stop()
	if s := b.syncOnce(); s.TouchpointsWritten != 1 || s.Parked != 0 || s.ValuesCut != 4 { // landing page, referrer, source, ad id
		t.Errorf("summary %+v", s)
	}
	b.expect(id, map[string]any{
		"Landing_Page_Raw":  "https://www.example.com/a?utm_source=" + strings.Repeat("ü", 70) + "&utm_medium=flyer&_bt=" + strings.Repeat("7", 61),
		"Landing_Page":      "www.example.com/a",
		"Referrer_Page_Raw": "https://blog.example.net/",
		"Touchpoint_Source": strings.Repeat("ü", 60),
		"Ad_Content":        long,
		"Ad_Id":             strings.Repeat("7", 60),
	})
}

// A Task field that only the built-in map reads may be hidden: its value is left out.
func TestHiddenTaskFieldOfTheBuiltInMap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.org.HideFieldOf("Task", "AccountId"); err != nil {
		t.Fatal(err)
	}
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "Type": "Call"})
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	d.sync()
	b.expect(id, map[string]any{"Touchpoint_Type": "Call", "Account": nil})
	d.stop()
}
