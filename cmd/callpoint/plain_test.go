package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

func TestPlainWriter(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ünïcode 日本 👍\n\ttab":   "plain ünïcode 日本 👍\n\ttab",
		"\x1b[2J\x1b]0;title\x07":     `\u001b[2J\u001b]0;title\u0007`,
		"\u009b2J \x7f \x00 a\rb\x08": `\u009b2J \u007f \u0000 a\u000db\u0008`,
		"a\u202eb\u2066c\u200fd":      `a\u202eb\u2066c\u200fd`,
		"\x9b2J \xff":                 "\ufffd2J \ufffd",
		"\x1b[" + red + "mred\x1b[0m": "\x1b[" + red + "mred\x1b[0m",
		"\r\x1b[Kprogress":            "\r\x1b[Kprogress",
	} {
		for _, size := range []int{1 << 20, 3, 1} {
			if size < 8 && strings.ContainsAny(want, "\x1b") {
				continue // callpoint writes its own sequences in one piece
			}
			var out bytes.Buffer
			w := &plainWriter{w: &out}
			for rest := []byte(in); len(rest) > 0; {
				n := min(size, len(rest))
				if got, err := w.Write(rest[:n]); got != n || err != nil {
					t.Fatal(got, err)
				}
				rest = rest[n:]
			}
			if out.String() != want {
				t.Errorf("%q by %d bytes: %q, want %q", in, size, out.String(), want)
			}
		}
	}
	// JSON stays what it was.
	var out bytes.Buffer
	const text = "\u202e \u009b \x1b"
	var back string
	if err := json.NewEncoder(&plainWriter{w: &out}).Encode(text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != text || strings.ContainsAny(out.String(), "\u202e\u009b\x1b") {
		t.Errorf("%q comes back as %q: %v", out.String(), back, err)
	}
}

// Words of Salesforce, and of files, reach the terminal without what steers it.
func TestHostileTextOnTheTerminal(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b[2J\u009b31m\u202eevil"
	b := newBench(t)
	b.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Times: -1, Status: 400, Code: "MALFORMED_QUERY", Message: hostile})
	rules := tempFile(t, "rules.csv", []byte("Channel,Sub Channel,Campaign,Medium,Source,Landing Page,Referring Website\n\"A\","+hostile+",["+hostile+"],,,,\n"))
	for _, args := range [][]string{{"--sync-once"}, {"check"}, {"channels", "lint", rules}, {"explain", hostile}, {"calls", "--reason", hostile}, {hostile}} {
		out, errs, _ := b.run(args...)
		if text := out + errs; strings.ContainsAny(text, "\x1b\u009b\u202e") || text == "" {
			t.Errorf("%q: %q", args, text)
		}
	}
}
