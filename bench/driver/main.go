// Driver runs callpoint and its peers through the same workloads against a simulated
// org in a process of its own, and prints what they took in the format of Go's
// benchmarks, so that benchstat compares them:
//
//	ns/op       wall time of the whole program, its start included
//	cpu-ns      user and system time of the program (org-cpu-ns: of the simulated org)
//	anon-B      peak of its anonymous memory (RssAnon, looked at every 5 ms)
//	api-calls   what counts against the org's limit
//	sent-B      bytes to the org, received-B from it
//	file-B      size of its store afterwards
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"callpoint/bench/workload"
)

type driver struct {
	callpoint, gopeer, jsforce string
	size                       workload.Size
	delays                     string // "" or the latency of a real org
	poll                       time.Duration
	only                       *regexp.Regexp
	dir                        string
	sessions                   string // the file
	data                       *workload.Generator
	seed                       uint64
	now                        time.Time
}

func main() {
	var d driver
	flag.StringVar(&d.callpoint, "callpoint", "", "the `PROGRAM` under test")
	flag.StringVar(&d.gopeer, "gopeer", "", "the Go peer's `PROGRAM`; empty: without it")
	flag.StringVar(&d.jsforce, "jsforce", "", "the jsforce peer's `SCRIPT`; empty: without it")
	flag.IntVar(&d.size.Visitors, "visitors", 50000, "visitors, with two sessions each on average")
	flag.IntVar(&d.size.Calls, "calls", 20000, "calls, at most as many as visitors")
	flag.StringVar(&d.delays, "delays", "", "latency of the org: `READ,WRITE`, such as 100ms,2s")
	flag.DurationVar(&d.poll, "poll", time.Second, "how often the idle daemon polls; five polls at least are waited for")
	count := flag.Int("count", 1, "how often to run everything")
	only := flag.String("run", "", "run only workloads that match this `REGEXP`")
	flag.Uint64Var(&d.seed, "seed", 1, "of the data")
	flag.Parse()
	d.only = regexp.MustCompile(*only)
	if d.callpoint == "" || d.size.Calls > d.size.Visitors {
		flag.Usage()
		os.Exit(2)
	}
	for range *count {
		if err := d.run(); err != nil {
			fmt.Fprintln(os.Stderr, "driver:", err)
			os.Exit(1)
		}
	}
}

// A system is a program that does the job.
type system struct {
	name  string
	store string // in the working folder
	load  []string
	sync  []string
	env   []string
}

func (d *driver) systems() []system {
	all := []system{{name: "callpoint", store: "callpoint.db",
		load: []string{d.callpoint, "import", d.sessions}, sync: []string{d.callpoint, "--sync-once"}}}
	if d.gopeer != "" {
		all = append(all, system{name: "go-salesforce+sqlite", store: "peer.db",
			load: []string{d.gopeer, "import", d.sessions}, sync: []string{d.gopeer, "sync"}})
	}
	if d.jsforce != "" {
		all = append(all, system{name: "jsforce+leveldb", store: "peer.leveldb",
			load: []string{"node", d.jsforce, "import", d.sessions}, sync: []string{"node", d.jsforce, "sync"}})
	}
	for i := range all {
		s := &all[i]
		path := filepath.Join(d.dir, s.store)
		if s.name == "callpoint" {
			s.env = []string{"CALLPOINT_STORE=" + path}
			continue
		}
		s.load, s.sync = append(s.load, path), append(s.sync, path)
	}
	return all
}

func (d *driver) run() error {
	var err error
	if d.dir, err = os.MkdirTemp("", "callpoint-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	d.now = time.Now()
	d.data = workload.New(d.seed, d.size, d.now)
	d.sessions = filepath.Join(d.dir, "sessions.ndjson")
	f, err := os.Create(d.sessions)
	if err != nil {
		return err
	}
	if _, err := d.data.Sessions(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, s := range d.systems() {
		if err := d.measure(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return d.daemon()
}

// measure takes one system through import, first sync, and what follows.
func (d *driver) measure(s system) error {
	if !slices.ContainsFunc([]string{"Import", "FirstSync", "Nothing", "Cycle", "Remap", "Rewrite"}, d.only.MatchString) {
		return nil
	}
	o, err := startOrg(d.callpoint)
	if err != nil {
		return err
	}
	defer o.stop()
	if s.name == "callpoint" && !d.imports() {
		err = d.load(o, filepath.Join(d.dir, s.store))
	} else {
		err = d.once(o, s, "Import", s.load, nil)
	}
	if err != nil {
		return err
	}
	leads, err := o.insert("Lead", d.data.Leads())
	if err != nil {
		return err
	}
	if _, err := o.insert("Task", d.data.Tasks(leads)); err != nil {
		return err
	}
	if read, write, ok := strings.Cut(d.delays, ","); ok {
		for _, script := range []string{"op=read,times=all,delay=" + read, "op=write,times=all,delay=" + write} {
			if err := o.fault(script); err != nil {
				return err
			}
		}
	}
	if err := d.once(o, s, "FirstSync", s.sync, nil); err != nil {
		return err
	}
	if d.only.MatchString("FirstSync") {
		touchpoints, matched, err := o.outcome()
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "# %s: %d touchpoints stand, %d with a session\n", s.name, touchpoints, matched)
	}
	if err := d.once(o, s, "Nothing", s.sync, nil); err != nil {
		return err
	}
	// A hundred calls came in since. They are a minute old.
	var fresh []map[string]any
	for i := range min(100, d.size.Calls) {
		fresh = append(fresh, workload.Task(i, time.Now().Add(-time.Minute), leads[i]))
	}
	if _, err := o.insert("Task", fresh); err != nil {
		return err
	}
	if err := d.once(o, s, "Cycle", s.sync, nil); err != nil || s.name != "callpoint" {
		return err
	}
	// Rules that move no touchpoint, and rules that move every one.
	if err := d.once(o, s, "Remap", s.sync, []string{"CALLPOINT_SESSION_TIMEOUT=31m"}); err != nil {
		return err
	}
	return d.once(o, s, "Rewrite", s.sync, []string{"CALLPOINT_SESSION_TIMEOUT=31m", "CALLPOINT_CALL_CAMPAIGN=Telephone"})
}

// once runs a program from start to end and prints what it took. Steps that are not
// asked for run unmeasured: the later ones build on them.
func (d *driver) once(o *org, s system, name string, args, env []string) error {
	before, err := o.traffic()
	if err != nil {
		return err
	}
	u, err := run(slices.Concat(o.env, s.env, env), args[0], args[1:]...)
	if err != nil {
		return err
	}
	after, err := o.traffic()
	if err != nil {
		return err
	}
	if d.only.MatchString(name) {
		d.print(name, "system="+s.name, u, after.since(before), size(filepath.Join(d.dir, s.store)))
	}
	return nil
}

func (d *driver) print(name, variant string, u usage, t traffic, file int64) {
	fmt.Printf("Benchmark%s/%s/visitors=%d/calls=%d 1 %d ns/op %d cpu-ns %d anon-B %d api-calls %d written %d rows-read %d sent-B %d received-B %d org-cpu-ns %d file-B\n",
		name, variant, d.size.Visitors, d.size.Calls, u.wall, u.cpu, u.peak, t.APICalls, t.Written, t.RowsRead, t.sent, t.received, t.cpu, file)
}

// size is that of a file, or of all files in a folder.
func size(path string) (n int64) {
	// What cannot be read counts nothing.
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if fi, err := e.Info(); err == nil {
			n += fi.Size()
		}
		return nil
	})
	return n
}
