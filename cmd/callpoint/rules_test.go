package main

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"callpoint/mapping"
	"callpoint/sync/orgsim"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

const header = "Channel,Sub Channel,Campaign,Medium,Source,Landing Page,Referring Website\n"

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Rules change history: SIGHUP maps every stored call again, and only what changed is sent.
func TestReloadMapsHistoryAgain(t *testing.T) {
	t.Parallel()
	file := write(t, header+"Search,,,,,,*google*\nRest,,,,,,*\n")
	b := newBench(t, "CALLPOINT_CHANNELS="+file)
	d := b.daemon()
	const other = "1111687119cc4928fbf94393ed9f5c35"
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"),
		view(other, yesterday("12:00:00"), "https://www.example.com/", "https://news.example.org/"))
	moved := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	stays := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": other})
	d.sync()
	b.expect(moved, map[string]any{"Marketing_Channel": "Search"})
	b.expect(stays, map[string]any{"Marketing_Channel": "Rest"})
	before := b.org.Requests()

	if err := os.WriteFile(file, []byte(header+"Natural,,,,,,*google*\nRest,,,,,,*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new channel", func() bool { return b.touchpoint(moved)["bizible2__Marketing_Channel__c"] == "Natural" })
	d.sync()
	after := b.org.Requests()
	if n := after.Updated + after.Created - before.Updated - before.Created; n != 1 {
		t.Errorf("%d records written after the change, want the one that moved", n)
	}

	// A file with errors is refused, and the old rules stay.
	if err := os.WriteFile(file, []byte(header+"Broken,,,,,,[No Such Thing]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.sync()
	b.expect(moved, map[string]any{"Marketing_Channel": "Natural"})
	d.stop()
	if !strings.Contains(d.logs.String(), "[No Such Thing]") {
		t.Errorf("the log does not name the bad cell:\n%s", d.logs)
	}
	// At a start it is no warning.
	if _, errs, code := b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, "[No Such Thing]") || !strings.Contains(errs, "line 2") {
		t.Errorf("start with a broken file: exit %d\n%s", code, errs)
	}
}

// A field map of one's own renames, adds constants and Task fields; the records follow.
func TestOwnFieldMap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
	d.stop()
	id := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "CallDisposition": "Sale"})
	b.syncOnce()
	b.expect(id, map[string]any{"Ad_Content": nil, "Search_Phrase": "(not provided)"})
	b.env = append(b.env, "CALLPOINT_FIELDS="+write(t, "bizible2__Ad_Content__c = {CallDisposition}\nbizible2__Search_Phrase__c = \"by phone\"\nbizible2__Browser__c = -\n"))
	b.syncOnce()
	b.expect(id, map[string]any{"Ad_Content": "Sale", "Search_Phrase": "by phone", "Marketing_Channel": "Organic Search"})

	b.env = append(b.env, "CALLPOINT_FIELDS="+write(t, "Nowhere__c = channel\nbizible2__Landing_Page__c = no_such_source\n"))
	if _, errs, code := b.run("--sync-once"); code == exitDone || !strings.Contains(errs, "no_such_source") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	b.env = append(b.env, "CALLPOINT_FIELDS="+write(t, "bizible2__Ad_Content__c = {No_Such_Field__c}\n"))
	if _, errs, code := b.run("--sync-once"); code == exitDone || !strings.Contains(errs, "{No_Such_Field__c}") {
		t.Errorf("a Task field that is not there: exit %d\n%s", code, errs)
	}
}

// The reason of each call stands in Salesforce, in a field of the admin's choice.
func TestReasonField(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_REASON_FIELD=Why__c")
	b.org.Schema(touchpoints).AddField(orgsim.Field{Name: "Why__c", Type: "string", Length: 40})
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
	in := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	out := b.task(yesterday("14:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	if got := b.touchpoint(in)["Why__c"]; got != "matched" {
		t.Errorf("Why__c = %v, want matched", got)
	}
	if got := b.touchpoint(out)["Why__c"]; got != "outside_window" {
		t.Errorf("Why__c = %v, want outside_window", got)
	}
	b.expect(in, map[string]any{"Marketing_Channel": "Organic Search"})
	d.stop()
}

// The same on the Task itself: check and the permission set name what it takes, explain
// tells what was written.
func TestReasonOnTask(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_REASON_FIELD=Task.Why__c")
	if out, _, code := b.run("check"); code != exitConfig || !strings.Contains(out, "no field Why__c") {
		t.Errorf("check without the field: exit %d\n%s", code, out)
	}
	b.org.Schema("Task").AddField(orgsim.Field{Name: "Why__c", Type: "string", Length: 20})
	if out, _, code := b.run("check"); code != exitConfig || !strings.Contains(out, "holds 20 characters") {
		t.Errorf("check with a short field: exit %d\n%s", code, out)
	}
	b.org.Schema("Task").Change("Why__c", func(f *orgsim.Field) { f.Length, f.Locked = 40, true })
	if out, _, code := b.run("check"); code != exitConfig || !strings.Contains(out, "may not be edited") {
		t.Errorf("check with a locked field: exit %d\n%s", code, out)
	}
	b.org.Schema("Task").Change("Why__c", func(f *orgsim.Field) { f.Locked = false })
	if out, _, _ := b.run("check"); !strings.Contains(out, "takes each call's reason") {
		t.Errorf("check:\n%s", out)
	}
	if out, _, _ := b.run("check", "--permission-set"); !strings.Contains(out, "<field>Task.Why__c</field>") || !strings.Contains(out, "<name>EditTask</name>") {
		t.Errorf("permission set:\n%s", out)
	}
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
	task := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	d.stop()
	if rec, _ := b.org.Get("Task", task); rec["Why__c"] != "matched" {
		t.Errorf("the Task says %v", rec["Why__c"])
	}
	if out, _, _ := b.run("explain", task); !strings.Contains(out, "The Task says matched in Why__c") {
		t.Errorf("explain:\n%s", out)
	}
	b.env = append(b.env, "CALLPOINT_REASON_FIELD=Task.no name")
	if _, errs, code := b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, "CALLPOINT_REASON_FIELD") {
		t.Errorf("a bad name: exit %d\n%s", code, errs)
	}
}

func TestChannelsCommands(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out, _, code := b.run("channels", "test", "https://www.example.com/?gclid=x", "https://www.google.com/", "-o", "json")
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone {
		t.Fatalf("exit %d: %v in %q", code, err, out)
	}
	want := map[string]any{"channel": "Paid Search", "subchannel": "AdWords", "channel_path": "Paid Search.AdWords",
		"row": 2.0, "column": "Referring Website", "cell": "[AdWords Paid Search]"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %v, want %v", k, got[k], v)
		}
	}
	if out, _, code := b.run("channels", "default"); code != exitDone || out != string(mapping.DefaultChannels()) {
		t.Errorf("channels default: exit %d\n%s", code, out)
	}
	good := write(t, header+"Search,,,,,,*google*\n")
	if out, _, code := b.run("channels", "lint", good); code != exitDone || !strings.Contains(out, "no errors") {
		t.Errorf("lint of a good file: exit %d %s", code, out)
	}
	bad := write(t, header+"Se.arch,,,,,,*google*\nX,,,,,,[Nonsense]\n")
	out, _, code = b.run("channels", "lint", bad)
	if code != exitConfig || !strings.Contains(out, "[Nonsense]") || !strings.Contains(out, "Se.arch") {
		t.Errorf("lint of a bad file: exit %d %s", code, out)
	}

	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"),
		view("second", yesterday("12:00:00"), "https://www.example.com/?utm_medium=email", ""))
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	if _, errs, code := b.run("channels", "diff", good); code != exitFailed || !strings.Contains(errs, "callpoint store backup") {
		t.Errorf("diff beside a daemon: exit %d\n%s", code, errs)
	}
	d.stop()
	out, errs, code := b.run("channels", "diff", good, "-o", "json")
	var m moves
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != exitDone {
		t.Fatalf("diff: exit %d: %v in %q\n%s", code, err, out, errs)
	}
	if m.Sessions != 2 || m.Moved != 2 || len(m.Moves) != 2 || m.Moves[0] != (move{"Email", "Other", 1, 0}) || m.Moves[1] != (move{"Organic Search.Google", "Search", 1, 1}) {
		t.Errorf("diff %+v", m)
	}
}

func TestVendorSetsDefaultsThatVariablesOverride(t *testing.T) {
	t.Parallel()
	for name := range vendors {
		c, err := loadConfig([]string{"CALLPOINT_VENDOR=" + name, "CALLPOINT_LOG_FORMAT=json"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if v := vendors[name]; c.TaskFilter != v.taskFilter || len(c.CallTime) != len(v.callTime) {
			t.Errorf("%s: filter %q, call time %q", name, c.TaskFilter, c.CallTime)
		}
		if !strings.Contains(read(t, "docs/vendors.md"), "| `"+name+"` |") {
			t.Errorf("docs/vendors.md lacks %s", name)
		}
	}
	c, err := loadConfig([]string{"CALLPOINT_VENDOR=whatconverts", "CALLPOINT_TASK_FILTER=Type = 'Phone'", "CALLPOINT_LOG_FORMAT=json"}, "")
	if err != nil || c.TaskFilter != "Type = 'Phone'" || c.CallTime[1] != "CreatedDate" {
		t.Errorf("%+v %v", c, err)
	}
	c, err = loadConfig([]string{"CALLPOINT_VENDOR=callrail", "CALLPOINT_BIZIBLE_ID_FIELD=Cookie__c", "CALLPOINT_LOG_FORMAT=json"}, "")
	if err != nil || !strings.HasPrefix(c.TaskFilter, "Cookie__c != null OR") {
		t.Errorf("filter %q %v", c.TaskFilter, err)
	}
}

// The visitor's address gives the place and goes no further.
func TestGeoIP(t *testing.T) {
	t.Parallel()
	db, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	names := func(s string) mmdbtype.Map {
		return mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(s)}}
	}
	_, network, _ := net.ParseCIDR("203.0.113.0/24")
	if err := db.Insert(network, mmdbtype.Map{"city": names("Seattle"), "country": names("United States"),
		"subdivisions": mmdbtype.Slice{names("Washington")}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	f.Close()

	b := newBench(t, "CALLPOINT_GEOIP="+path)
	d := b.daemon()
	e := view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "")
	e["ip"] = "203.0.113.7"
	d.send(e)
	id := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	b.expect(id, map[string]any{"Geo_City": "Seattle", "Geo_Region": "Washington", "Geo_Country": "United States"})
	d.stop()
	raw, err := os.ReadFile(b.store)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "203.0.113.7") || strings.Contains(d.logs.String(), "203.0.113.7") {
		t.Error("the address stands in the store or in the log")
	}
	if _, errs, code := newBench(t, "CALLPOINT_GEOIP="+write(t, "no database")).run("--sync-once"); code != exitConfig || !strings.Contains(errs, "CALLPOINT_GEOIP") {
		t.Errorf("a bad database: exit %d\n%s", code, errs)
	}
	g, err := openGeoIP(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if got := g.lookup(netip.MustParseAddr("198.51.100.1")); got != (mapping.Geo{}) {
		t.Errorf("an unknown address is in %+v", got)
	}
}
