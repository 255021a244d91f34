package main

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"callpoint/mapping"
	"callpoint/sync/orgsim"
)

// packageFields are the package's fields by object, as the table of the simulated org has them.
func packageFields(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for line := range strings.Lines(read(t, "sync/orgsim/package.tsv")) {
		if cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(cells) > 3 {
			if all[cells[0]] == nil {
				all[cells[0]] = map[string]string{}
			}
			all[cells[0]][cells[1]] = cells[3]
		}
	}
	return all
}

func testConfig(t *testing.T, env ...string) Config {
	t.Helper()
	c, err := loadConfig(append(env, "SALESFORCE_DOMAIN=https://example.my.salesforce.com"), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every field that the project names is one of the package's, on the object where it is named.
func TestMetadataNamesThePackagesFields(t *testing.T) {
	t.Parallel()
	files, err := metadataFiles(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	known := packageFields(t)
	org := orgsim.New(orgsim.Config{})
	checked := 0
	has := func(where, object, field string) {
		t.Helper()
		checked++
		if _, ok := known[object][field]; !ok && (org.Schema(object) == nil || org.Schema(object).Field(field) == nil) && field != "Callpoint_Reason__c" {
			t.Errorf("%s names %s.%s, which the package does not have", where, object, field)
		}
	}
	qualified := regexp.MustCompile(`\b(bizible2__\w+?__c|Task|Contact|Case|Lead|Account|Opportunity)[.$](\w+)`)
	column := regexp.MustCompile(`(?s)<field>(\w+)</field>\s*<table>(\w+)</table>`)
	bare := regexp.MustCompile(`<(?:columns|field)>(bizible2__\w+__c)</(?:columns|field)>`)
	for name, content := range files {
		for _, m := range qualified.FindAllStringSubmatch(string(content), -1) {
			has(name, m[1], m[2])
		}
		for _, m := range column.FindAllStringSubmatch(string(content), -1) {
			has(name, m[2], m[1])
		}
		if strings.HasSuffix(name, "listView-meta.xml") {
			for _, m := range bare.FindAllStringSubmatch(string(content), -1) {
				has(name, defaultTouchpoint, m[1])
			}
		}
	}
	if checked < 120 {
		t.Errorf("only %d fields checked", checked)
	}
}

// The files are well-formed, have elements of a kind together, and refer to each other rightly.
func TestMetadataIsWellFormed(t *testing.T) {
	t.Parallel()
	files, err := metadataFiles(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	reports, types := map[string]bool{}, map[string]bool{}
	for name, content := range files {
		if !strings.HasSuffix(name, ".xml") {
			continue
		}
		var order []string
		depth := 0
		for d := xml.NewDecoder(strings.NewReader(string(content))); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch e := token.(type) {
			case xml.StartElement:
				if depth++; depth == 1 && e.Name.Space != "http://soap.sforce.com/2006/04/metadata" {
					t.Errorf("%s: namespace %q", name, e.Name.Space)
				}
				if depth == 2 && (len(order) == 0 || order[len(order)-1] != e.Name.Local) {
					order = append(order, e.Name.Local)
				}
			case xml.EndElement:
				depth--
			}
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(order))); len(unique) != len(order) {
			t.Errorf("%s: elements of a kind are apart: %v", name, order)
		}
		base := path.Base(name)
		if report, ok := strings.CutSuffix(base, ".report-meta.xml"); ok {
			reports[path.Base(path.Dir(name))+"/"+report] = true
			folder := path.Dir(name) + ".reportFolder-meta.xml"
			if files[folder] == nil {
				t.Errorf("%s has no %s", name, folder)
			}
		}
		if kind, ok := strings.CutSuffix(base, ".reportType-meta.xml"); ok {
			types[kind+"__c"] = true
		}
	}
	element := func(content []byte, name string) (all []string) {
		for _, m := range regexp.MustCompile(`<`+name+`>([^<]+)</`+name+`>`).FindAllStringSubmatch(string(content), -1) {
			all = append(all, m[1])
		}
		return all
	}
	for name, content := range files {
		for _, kind := range element(content, "reportType") {
			if !types[kind] {
				t.Errorf("%s uses the report type %s, which is not there", name, kind)
			}
		}
		for _, report := range element(content, "report") {
			if !reports[report] {
				t.Errorf("%s shows the report %s, which is not there", name, report)
			}
		}
		// What is grouped by may not be a column, too.
		for _, grouped := range regexp.MustCompile(`(?s)<groupingsDown>.*?<field>([^<]+)<`).FindAllStringSubmatch(string(content), -1) {
			if strings.Contains(string(content), "<columns>\n        <field>"+grouped[1]+"<") {
				t.Errorf("%s: %s is grouped by and a column", name, grouped[1])
			}
		}
		if n := len(regexp.MustCompile(`<description>([^<]{256,})<`).FindAllString(string(content), -1)); n > 0 {
			t.Errorf("%s: a description is longer than 255", name)
		}
	}
	if len(reports) != 2 || len(types) != 2 {
		t.Errorf("reports %v, types %v", reports, types)
	}
	var project struct {
		PackageDirectories []struct{ Path string }
	}
	if err := json.Unmarshal(files["sfdx-project.json"], &project); err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{"sfdx-project.json": true, "README.md": true}
	for _, d := range project.PackageDirectories {
		folders[d.Path] = true
	}
	for name := range files {
		if first, _, _ := strings.Cut(name, "/"); !folders[first] {
			t.Errorf("%s is in no package directory", name)
		}
	}
}

// The field for reasons holds the longest of them, and is the one that the documents name.
func TestMetadataReasonField(t *testing.T) {
	t.Parallel()
	files, err := metadataFiles(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	field := string(files["reason-field/main/default/objects/Activity/fields/Callpoint_Reason__c.field-meta.xml"])
	if !strings.Contains(field, "<length>40</length>") || len(mapping.SessionAlreadyUsed) > 40 {
		t.Errorf("the field is too short:\n%s", field)
	}
	if c := testConfig(t, "CALLPOINT_REASON_FIELD=Task.Callpoint_Reason__c"); c.taskReason() != "Callpoint_Reason__c" {
		t.Errorf("CALLPOINT_REASON_FIELD names %q", c.taskReason())
	}
}

func TestMetadataCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_REASON_FIELD=Task.Callpoint_Reason__c")
	dir := filepath.Join(t.TempDir(), "project")
	out, errs, code := b.run("metadata", dir)
	if code != exitDone || !strings.Contains(out, "wrote ") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	printed, _, _ := b.run("check", "--permission-set")
	if set, err := os.ReadFile(filepath.Join(dir, permissionSetPath)); err != nil || string(set) != printed || !strings.Contains(printed, "Task.Callpoint_Reason__c") {
		t.Errorf("the permission set is not that of check --permission-set: %v", err)
	}
	if _, errs, code := b.run("metadata", dir); code != exitFailed || !strings.Contains(errs, "--force") {
		t.Errorf("again: exit %d\n%s", code, errs)
	}
	if _, errs, code := b.run("metadata", dir, "--force"); code != exitDone {
		t.Errorf("with --force: exit %d\n%s", code, errs)
	}
}
