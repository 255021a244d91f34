package mapping

import (
	"strings"
	"testing"
)

// Values that stand for no id would join strangers. Ids as visitors have them stay.
func TestVisitorIDOfNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"undefined", "Undefined", " null ", "NULL", "none", "None", "nan", "NaN", "(not set)", "[object Object]", "-", "--", "0", "0000", "00000000000000000000000000000000",
		"00000000-0000-0000-0000-000000000000", "xxxx", "FFFFFFFF", "{bizible_id}", "{{lead.BizibleId}}", "${BIZ}", "%%biz%%", "[[biz_uid]]", `"undefined"`, "''",
		"", "a\x00b", "a\tb", strings.Repeat("ab", 128), "\xff\xfe",
	} {
		if id, ok := VisitorID(s); ok || id != "" {
			t.Errorf("VisitorID(%q) = %q, %t", s, id, ok)
		}
	}
	for _, s := range []string{"dde5687119cc4928fbf94393ed9f5c35", "DDE5687119CC4928FBF94393ED9F5C35", "v", "7", "id-1", "nullable", "00000000000000000000000000000001", "üß"} {
		if id, ok := VisitorID(s); !ok || id != strings.ToLower(s) {
			t.Errorf("VisitorID(%q) = %q, %t", s, id, ok)
		}
	}
}

// An id in lower case, as some programs write it, is restored from its last three characters.
func TestRestoreID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"00THs00000TestAAAQ", "a01M00000062mPgIAI", "0035e00000AbCdEAAV"} {
		id = ID18(id[:15])
		if got := RestoreID(strings.ToLower(id)); got != id {
			t.Errorf("RestoreID(%q) = %q, want %q", strings.ToLower(id), got, id)
		}
		if got := RestoreID(id); got != id {
			t.Errorf("RestoreID(%q) = %q", id, got)
		}
	}
	if odd := "000000000000000999"; RestoreID(odd) != odd {
		t.Errorf("RestoreID(%q) = %q", odd, RestoreID(odd))
	}
}
