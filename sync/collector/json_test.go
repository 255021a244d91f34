package collector

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// stricter reports whether err is one of what encoding/json lets pass.
func stricter(err error) bool {
	re, ok := errors.AsType[*RecordError](err)
	return ok && (re.Reason == duplicateKey || re.Reason == invalidUTF8 ||
		strings.HasPrefix(re.Text, "nested deeper") || strings.HasPrefix(re.Text, "an object with more"))
}

// compare holds the scanner against encoding/json: it may refuse more, but never take
// anything else, and what it reads must be the same.
func compare(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		return
	}
	p := scanner{s: text}
	err := p.skip(0)
	if err == nil {
		err = p.end()
	}
	if valid := json.Valid([]byte(text)); err == nil && !valid {
		t.Fatalf("%q is no JSON, but was taken", text)
	} else if err != nil && valid && !stricter(err) {
		t.Fatalf("%q is JSON, but was refused: %v", text, err)
	}
	if err != nil {
		return
	}
	var want map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &want) != nil || want == nil {
		return
	}
	p = scanner{s: text}
	n := 0
	err = p.object(0, func(key string) error {
		n++
		value, ok := want[key]
		if !ok {
			t.Fatalf("%q has no key %q", text, key)
		}
		if p.next() != '"' {
			return p.skip(0)
		}
		got, err := p.str()
		var s string
		if json.Unmarshal(value, &s); s != got {
			t.Fatalf("%q: %q is %q, want %q", text, key, got, s)
		}
		return err
	})
	if err != nil || n != len(want) {
		t.Fatalf("%q: %d of %d keys, %v", text, n, len(want), err)
	}
}

var jsonTexts = []string{
	``, ` `, `{}`, `{ }`, `{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a" : [ 1 , 2 ] }`, `{"a":1}x`, `{"a":1} {}`, `{'a':1}`, `{a:1}`, `{"a":1 "b":2}`,
	`[]`, `[1,]`, `[,]`, `[1 2]`, `[[[]]]`, `]`, `}`, `{]`, `[}`, `"x"`, `"`, `"\`, `"\"`, `"\\"`, `"\/\b\f\n\r\t"`, `"\x"`, `"\u00e9"`, `"\uD83D\uDE00"`, `"\ud83d"`, `"\ude00"`, `"\ud83d\n"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"",
	`0`, `-0`, `01`, `-`, `+1`, `1.`, `.5`, `1.5`, `1e5`, `1E+5`, `1e`, `1e-`, `1e400`, `-1.5e-10`, `0x10`, `1_000`, `NaN`, `Infinity`, `123456789012345678901234567890`,
	`true`, `false`, `null`, `nul`, `nullx`, `True`, `{"a":true,"b":false,"c":null}`, `{"a":tru}`, `{"":1}`, `{"\u0061":"\u0062"}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`,
	"{\"a\":1\u00a0}", "\ufeff{}", `{"a":"` + strings.Repeat("é", 100) + `"}`, strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat("[", 40) + strings.Repeat("]", 40), "/* */{}", "{}//",
}

func TestScannerAgainstEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range jsonTexts {
		compare(t, text)
	}
	// Every text cut at every byte, and with every byte replaced.
	full := view("geo", `{"city":"S\u00e9attle \ud83d\ude00"}`, "x", `[1,-2.5e3,true,null,{"y":"z"}]`)
	for i := range full {
		compare(t, full[:i])
		for _, c := range []string{`"`, `\`, `{`, `}`, `]`, `,`, `:`, ` `, `0`, `x`, "\x00"} {
			compare(t, full[:i]+c+full[i+1:])
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	f.Fuzz(compare)
}
