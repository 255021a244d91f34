package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// envCases are files of variables and what systemd reads from them.
var envCases = []struct {
	name, text string
	want       map[string]string
}{
	{"plain", "A=b\nB=c d\n", map[string]string{"A": "b", "B": "c d"}},
	{"blanks around", "  A=  b  \n\tB\t=\tc\n", map[string]string{"A": "b", "B": "c"}},
	{"empty", "A=\nB=\"\"\nC=''\n", map[string]string{"A": "", "B": "", "C": ""}},
	{"no comment after a value", "A=b # c\nB=b#c\nC=\"b\" # c\n", map[string]string{"A": "b # c", "B": "b#c", "C": "b# c"}},
	{"comments", "# A=b\n; B=c\n  # C=d\nD=e\n", map[string]string{"D": "e"}},
	{"a comment goes on", "# A=b \\\nB=c\nD=e\n", map[string]string{"D": "e"}},
	{"single quotes", `A='b "c" \n d'` + "\n", map[string]string{"A": `b "c" \n d`}},
	{"double quotes", `A="b 'c' \"d\" \\ \n \x"` + "\n", map[string]string{"A": `b 'c' "d" \ \n \x`}},
	{"quotes within a value", `A=b"c"d` + "\nB=it's\n", map[string]string{"A": `b"c"d`, "B": "it's"}},
	{"parts one after the other", `A="b"'c'd "e"` + "\n", map[string]string{"A": `bcd "e"`}},
	{"a value over two lines", "A=\"b\nc\"\nB='d\ne'\n", map[string]string{"A": "b\nc", "B": "d\ne"}},
	{"backslashes", `A=b\c\\d\"e\ ` + "\nB=C:\\dir\n", map[string]string{"A": `bc\d"e `, "B": "C:dir"}},
	{"a joined line", "A=b\\\nc\nB=d \\\n e\nC=\"f\\\ng\"\n", map[string]string{"A": "bc", "B": "d  e", "C": "fg"}},
	{"equals signs", "A=b=c\nB==\n", map[string]string{"A": "b=c", "B": "="}},
	{"twice", "A=b\nA=c\n", map[string]string{"A": "c"}},
	{"no line break at the end", "A=b", map[string]string{"A": "b"}},
	{"carriage returns", "A=b\r\nB=\"c\"\r\n", map[string]string{"A": "b", "B": "c"}},
	{"an open quote", "A=\"b\nB=c", map[string]string{"A": "b\nB=c"}},
}

// The parser reads what systemd reads: systemd's own parser is compared where it is
// installed. It serves environment.d as well, whose generator runs without systemd.
func TestEnvFileAsSystemd(t *testing.T) {
	t.Parallel()
	const generator = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
	_, err := os.Stat(generator)
	installed := err == nil
	if !installed {
		t.Logf("%v: the table alone is compared", err)
	}
	for _, c := range envCases {
		got, err := parseEnvFile(c.text)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
		if installed {
			// environment.d leaves out what is empty, EnvironmentFile= sets it.
			maps.DeleteFunc(got, func(_, value string) bool { return value == "" })
			if diff := cmp.Diff(systemdReads(t, generator, c.text), got); diff != "" {
				t.Errorf("%s (-systemd +callpoint):\n%s", c.name, diff)
			}
		}
	}
	// environment.d expands variables, EnvironmentFile= does not (systemd.exec(5)).
	got, err := parseEnvFile("A=$X ${X} \\$X\nB=\"$X \\$X\"\nC='$X'\n")
	if diff := cmp.Diff(map[string]string{"A": "$X ${X} $X", "B": "$X $X", "C": "$X"}, got); err != nil || diff != "" {
		t.Errorf("$: %v\n%s", err, diff)
	}
}

// systemdReads runs systemd's parser on a text.
func systemdReads(t *testing.T, generator, text string) map[string]string {
	t.Helper()
	home := t.TempDir()
	dir := filepath.Join(home, "environment.d")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "x.conf"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(generator)
	c.Env = []string{"XDG_CONFIG_HOME=" + home, "HOME=" + home}
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]string{}
	// NAME=value, or NAME="value" or NAME=$'value' with the escapes of a shell.
	for _, m := range regexp.MustCompile(`(?m)^([A-D])=(.*(?:\n[^A-Z].*)*)$`).FindAllStringSubmatch(string(out), -1) {
		value := m[2]
		if inner, ok := strings.CutPrefix(value, `$'`); ok {
			value = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\'`, "'", `\\`, `\`).Replace(strings.TrimSuffix(inner, "'"))
		} else if inner, ok := strings.CutPrefix(value, `"`); ok {
			value = strings.NewReplacer(`\n`, "\n", `\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(strings.TrimSuffix(inner, `"`))
		}
		read[m[1]] = value
	}
	return read
}

// What systemd would ignore with a warning is an error with its line.
func TestEnvFileErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"A=b\nexport C=d\n":   `line 2: "export C"`,
		"A=b\n\nnonsense\n":   `line 3: "nonsense"`,
		"1A=b\n":              `line 1: "1A"`,
		"nothing at the end":  `line 1: "nothing at the end"`,
		"A=\xff\n":            "not valid UTF-8",
		"\ufeffA=b\n":         "line 1",
		"A-B=c\n":             `line 1: "A-B"`,
		"# fine\n\n=b\nA=c\n": `line 3`,
	} {
		if _, err := parseEnvFile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
