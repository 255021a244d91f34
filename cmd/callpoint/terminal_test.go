package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// onTerminal runs the program on a terminal of so many columns, and returns what it shows.
func (b *bench) onTerminal(columns int, args ...string) string {
	b.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		b.t.Skip("no terminals here:", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		b.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		b.t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	c := b.command(b.t.Context(), args...)
	c.Env = append(c.Env, "NO_COLOR=1", "TERM=xterm")
	c.Stdout, c.Stderr = tty, tty
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	tty.Close()
	out, err := io.ReadAll(master) // ends with an error when the program has ended
	if len(out) == 0 {
		b.t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		b.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// On a narrow terminal the Task's id and the time stay whole, and the rest gives way.
func TestCallsOnNarrowTerminals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("11:50:00"), "https://www.example.com/?gclid=x", "https://www.google.com/"))
	var ids []string
	for i := range 3 {
		ids = append(ids, b.task(yesterday("12:00:00").Add(time.Duration(i)*time.Minute), map[string]any{
			"Subject": fmt.Sprintf("Call %d from a caller with quite a long name about a roof in the rain", i), "bizible2__BizibleId__c": visitorA}))
	}
	d.sync()
	d.stop()
	for _, width := range []int{200, 80, 60} {
		out := b.onTerminal(width, "calls")
		for _, id := range ids {
			line := regexp.MustCompile(`(?m)^.*` + id + `.*$`).FindString(out)
			if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d +`+id+` +(matched|session_already_credited|session_[a-z_]+…)`).MatchString(line) || !strings.Contains(line, "Call ") && width > 60 {
				t.Errorf("%d columns: %q", width, line)
			}
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%d columns: a line of %d: %q", width, n, line)
			}
		}
	}
}

func TestDemoFits80Columns(t *testing.T) {
	t.Parallel()
	out, errs, code := newBench(t).run("demo")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	table, full, _ := strings.Cut(out, "in full:\n")
	for line := range strings.Lines(table) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > demoWidth {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if !strings.Contains(full, "Touchpoint_Type") {
		t.Errorf("no touchpoint is shown in full:\n%s", out)
	}
}

// With --output json an error is JSON too, whatever the command and the reason.
func TestErrorsAreJSONToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_LISTEN=127.0.0.1:1")
	bad := newBench(t, "CALLPOINT_RETENTION=soon")
	for _, c := range []struct {
		b    *bench
		args []string
		code int
		want string
	}{
		{b, []string{"calls", "-o", "json"}, exitFailed, "there is no store"},
		{b, []string{"calls", "--output=json", "--reason", "none"}, exitUsage, "--reason none"},
		{b, []string{"-o", "json", "explain"}, exitUsage, "accepts 1 arg"},
		{b, []string{"-o", "json", "snyc"}, exitUsage, "snyc"},
		{b, []string{"status", "-ojson", "--nothing"}, exitUsage, "unknown flag: --nothing"},
		{bad, []string{"--sync-once", "--output", "json"}, exitConfig, "CALLPOINT_RETENTION=soon is not a duration"},
		{bad, []string{"check", "-o", "json"}, exitConfig, "CALLPOINT_RETENTION"},
	} {
		_, errs, code := c.b.run(c.args...)
		var e struct{ Error string }
		if err := json.Unmarshal([]byte(errs), &e); err != nil || code != c.code || !strings.Contains(e.Error, c.want) {
			t.Errorf("%v: exit %d, %v\n%s", c.args, code, err, errs)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	flag, _, code := b.run("--version")
	command, _, _ := b.run("version")
	if code != exitDone || flag != command || !strings.HasPrefix(flag, "callpoint ") {
		t.Errorf("exit %d, %q and %q", code, flag, command)
	}
}

func TestCallsAsCSV(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.task(yesterday("12:00:00"), map[string]any{"Subject": `=HYPERLINK("x"), "quoted"`, "Type": "+1 555"})
	b.syncOnce()
	out, errs, code := b.run("calls", "--output", "csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if code != exitDone || err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{"task_id": id, "subject": `'=HYPERLINK("x"), "quoted"`, "type": "'+1 555", "reason": "no_bizible_id",
		"call_time": yesterday("12:00:00").Format(time.RFC3339)} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

// Text is in the org's time zone, or in the one that is configured; JSON is UTC.
func TestTimeZone(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_TIME_ZONE=")
	b.task(yesterday("20:00:00"), nil)
	b.syncOnce() // asks the org, which is in Los Angeles
	la, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	local := yesterday("20:00:00").In(la)
	offline, _, _ := b.run("calls")
	b.env = append(b.env, "CALLPOINT_LISTEN=unix:"+b.store+".sock")
	d := b.daemon()
	online, _, _ := b.run("calls")
	inJSON, _, _ := b.run("calls", "-o", "json")
	b.env = append(b.env, "CALLPOINT_TIME_ZONE=Asia/Tokyo")
	configured, _, _ := b.run("calls")
	b.env = append(b.env, "CALLPOINT_TIME_ZONE=Tokyo")
	_, errs, code := b.run("calls")
	for name, out := range map[string]string{"offline": offline, "online": online} {
		if !strings.Contains(out, "CALL TIME ("+local.Format("MST")+")") || !strings.Contains(out, local.Format("2006-01-02 15:04")) {
			t.Errorf("%s, want %s:\n%s", name, local, out)
		}
	}
	if !strings.Contains(inJSON, yesterday("20:00:00").Format(`"2006-01-02T15:04:05Z"`)) {
		t.Errorf("JSON is not in UTC: %s", inJSON)
	}
	if tokyo := yesterday("20:00:00").Add(9 * time.Hour).Format("2006-01-02 15:04"); !strings.Contains(configured, "(JST)") || !strings.Contains(configured, tokyo) {
		t.Errorf("configured, want %s:\n%s", tokyo, configured)
	}
	if code != exitConfig || !strings.Contains(errs, "CALLPOINT_TIME_ZONE: ") || !strings.Contains(errs, "Europe/Berlin") {
		t.Errorf("a wrong name: exit %d\n%s", code, errs)
	}
	d.stop()
}

// The org is asked for its time zone once a week, not in every cycle.
func TestTimeZoneIsAskedForOnce(t *testing.T) {
	t.Parallel()
	cycles := func(zone string) (n [2]int) {
		b := newBench(t, "CALLPOINT_TIME_ZONE="+zone)
		for i := range n {
			b.org.ResetRequests()
			b.syncOnce()
			n[i] = b.org.Requests().Queries
		}
		return n
	}
	if asking, without := cycles(""), cycles("UTC"); asking != [2]int{without[0] + 1, without[1]} {
		t.Errorf("queries of two cycles: %v, and %v with a configured zone", asking, without)
	}
}

func TestForgetOfAnUnknownID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.syncOnce()
	_, errs, code := b.run("forget", visitorA)
	if code != exitFailed || !strings.Contains(errs, "nothing is stored of "+visitorA) {
		t.Errorf("exit %d\n%s", code, errs)
	}
	out, errs, code := b.run("forget", visitorA, "-o", "json")
	if code != exitFailed || !strings.HasPrefix(errs, `{"error":`) || !strings.Contains(out, `"events":0`) {
		t.Errorf("JSON: exit %d\n%s%s", code, out, errs)
	}
}

func TestCompletionOfValues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct{ line, want string }{
		{"calls --reason out", "outside_window"}, {"calls --state wr", "written"}, {"calls --output c", "csv"}, {"status --output j", "json"},
		{"init --login j", "jwt"}, {"init --vendor callr", "callrail"}, {"completion b", "bash"}, {"store ch", "check"},
	} {
		out, _, _ := b.run(append([]string{"__complete"}, strings.Fields(c.line)...)...)
		if !regexp.MustCompile(`(?m)^` + c.want + `\b`).MatchString(out) {
			t.Errorf("%s completes to %q, want %s", c.line, out, c.want)
		}
	}
}
