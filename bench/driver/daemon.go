package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"callpoint/bench/workload"
)

// daemon is what only the running daemon shows: ingest, idling, latency.
func (d *driver) daemon() error {
	for _, w := range []struct {
		name string
		fn   func(*org, string) error
	}{{"Ingest", d.ingest}, {"Idle", d.idle}, {"Latency", d.latency}} {
		if !d.only.MatchString(w.name) {
			continue
		}
		o, err := startOrg(d.callpoint)
		if err != nil {
			return err
		}
		err = w.fn(o, filepath.Join(d.dir, w.name+".db"))
		o.stop()
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// startDaemon starts callpoint and waits until it answers.
func (d *driver) startDaemon(o *org, store string, env ...string) (p *process, address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address = l.Addr().String()
	l.Close()
	env = slices.Concat(o.env, []string{"CALLPOINT_STORE=" + store, "CALLPOINT_LISTEN=" + address, "CALLPOINT_LOG_LEVEL=warn"}, env)
	if p, err = start(env, nil, d.callpoint); err != nil {
		return nil, "", err
	}
	for range 500 {
		if resp, err := http.Get("http://" + address + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, address, nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, err = p.end()
	return nil, "", fmt.Errorf("callpoint does not answer: %w\n%s", err, p.out.String())
}

// post sends bodies from a number of clients at once.
func post(url string, bodies [][]byte, clients int) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	work := make(chan []byte)
	errs := make(chan error, clients)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for body := range work {
				if err := postOne(client, url, body); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	for _, b := range bodies {
		work <- b
	}
	close(work)
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func postOne(client *http.Client, url string, body []byte) error {
	for {
		resp, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode == http.StatusOK:
			return nil
		case resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable:
			return fmt.Errorf("%s: %s", resp.Status, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// bodies cuts the sessions into bodies of so many lines.
func (d *driver) bodies(lines, most int) (bodies [][]byte, n int, err error) {
	text, err := os.ReadFile(d.sessions)
	if err != nil {
		return nil, 0, err
	}
	all := bytes.SplitAfter(text, []byte("\n"))
	all = all[:min(len(all)-1, most)]
	for some := range slices.Chunk(all, lines) {
		bodies = append(bodies, bytes.Join(some, nil))
	}
	return bodies, len(all), nil
}

// load puts every session into a store. No org is there: a poll would move the cursor
// beyond Tasks that are yet to be made.
func (d *driver) load(o *org, store string) error {
	nowhere := "SALESFORCE_DOMAIN=http://127.0.0.1:1"
	if d.imports() {
		_, err := run(append([]string{"CALLPOINT_STORE=" + store}, o.env...), d.callpoint, "import", d.sessions)
		return err
	}
	p, address, err := d.startDaemon(o, store, nowhere)
	if err != nil {
		return err
	}
	bodies, _, err := d.bodies(5000, 1<<40)
	if err != nil {
		return err
	}
	if err := post("http://"+address+"/v1/sessions", bodies, 2); err != nil {
		return err
	}
	_, err = p.end()
	return err
}

// imports says whether the program has the command.
func (d *driver) imports() bool {
	_, err := run([]string{"CALLPOINT_STORE=" + filepath.Join(d.dir, "none.db")}, d.callpoint, "import", filepath.Join(d.dir, "no-such-file"))
	return err == nil || !strings.Contains(err.Error(), "unknown command")
}

// ingest posts sessions, one to a body as a browser's collector does, and many.
func (d *driver) ingest(o *org, store string) error {
	for _, c := range []struct{ lines, clients, most int }{{500, 4, 1 << 40}, {1, 64, 50000}, {1, 1, 5000}} {
		bodies, n, err := d.bodies(c.lines, c.most)
		if err != nil {
			return err
		}
		os.Remove(store)
		p, address, err := d.startDaemon(o, store)
		if err != nil {
			return err
		}
		began, cpu := time.Now(), p.cpu()
		if err := post("http://"+address+"/v1/sessions", bodies, c.clients); err != nil {
			return err
		}
		wall, cpu := time.Since(began), p.cpu()-cpu
		u, err := p.end()
		if err != nil {
			return err
		}
		fmt.Printf("BenchmarkIngest/lines=%d/clients=%d %d %d ns/op %d cpu-ns/op %.0f records/s %d anon-B %d file-B\n",
			c.lines, c.clients, n, wall.Nanoseconds()/int64(n), cpu.Nanoseconds()/int64(n), float64(n)/wall.Seconds(), u.peak, size(store))
	}
	return nil
}

// idle lets a daemon with a full store poll an org in which nothing happens.
func (d *driver) idle(o *org, store string) error {
	if err := d.load(o, store); err != nil {
		return err
	}
	leads, err := o.insert("Lead", d.data.Leads())
	if err != nil {
		return err
	}
	if _, err := o.insert("Task", d.data.Tasks(leads)); err != nil {
		return err
	}
	env := append([]string{"CALLPOINT_STORE=" + store}, o.env...)
	if _, err := run(env, d.callpoint, "--sync-once"); err != nil {
		return err
	}
	polls := max(5, int64(20*time.Second/d.poll))
	p, _, err := d.startDaemon(o, store, "CALLPOINT_POLL_INTERVAL="+d.poll.String())
	if err != nil {
		return err
	}
	time.Sleep(d.poll / 2)
	before, err := o.traffic()
	if err != nil {
		return err
	}
	cpu := p.cpu()
	time.Sleep(time.Duration(polls) * d.poll)
	after, err := o.traffic()
	if err != nil {
		return err
	}
	cpu, rest := p.cpu()-cpu, p.anonymous()
	if _, err := p.end(); err != nil {
		return err
	}
	t := after.since(before)
	fmt.Printf("BenchmarkIdle/visitors=%d/calls=%d/poll=%s %d %d cpu-ns/poll %d anon-B %.2f api-calls/poll %d sent-B/poll %d received-B/poll\n",
		d.size.Visitors, d.size.Calls, d.poll, polls, cpu.Nanoseconds()/polls, rest, float64(t.APICalls)/float64(polls), t.sent/polls, t.received/polls)
	return nil
}

// latency makes ten calls a second and looks when their touchpoints stand.
func (d *driver) latency(o *org, store string) error {
	if err := d.load(o, store); err != nil {
		return err
	}
	const interval, calls, rate = 2 * time.Second, 100, 10
	p, address, err := d.startDaemon(o, store, "CALLPOINT_POLL_INTERVAL="+interval.String())
	if err != nil {
		return err
	}
	// The visitors are on the site as they phone.
	now := time.Now()
	var body bytes.Buffer
	for i := range calls {
		if err := json.NewEncoder(&body).Encode(workload.Session{SessionID: fmt.Sprintf("now-%d", i), Visitor: workload.Visitor(i),
			StartedAt: now.Add(-2 * time.Minute), EndedAt: now.Add(-time.Minute), LandingPage: "https://www.harborroofing.example/", PageViews: 1}); err != nil {
			return err
		}
	}
	if err := postOne(http.DefaultClient, "http://"+address+"/v1/sessions", body.Bytes()); err != nil {
		return err
	}
	var people []map[string]any
	for i := range calls {
		people = append(people, workload.Lead(i))
	}
	leads, err := o.insert("Lead", people)
	if err != nil {
		return err
	}
	made := map[string]time.Time{}
	for i := range calls {
		task := workload.Task(i, time.Now(), leads[i])
		for _, stamp := range []string{"CreatedDate", "LastModifiedDate", "SystemModstamp"} {
			delete(task, stamp)
		}
		ids, err := o.insert("Task", []map[string]any{task})
		if err != nil {
			return err
		}
		made[ids[0]] = time.Now()
		time.Sleep(time.Second / rate)
	}
	took, err := d.arrivals(o, made)
	if err != nil {
		return err
	}
	if _, err := p.end(); err != nil {
		return err
	}
	slices.Sort(took)
	fmt.Printf("BenchmarkLatency/interval=%s/rate=%d %d %.2f p50-s %.2f p99-s %.2f max-s\n", interval, rate, calls,
		took[len(took)/2].Seconds(), took[len(took)*99/100].Seconds(), took[len(took)-1].Seconds())
	return nil
}

// arrivals reads when the touchpoints were created, from the org's own stamps: whole
// seconds, so that each figure may be up to a second too low.
func (d *driver) arrivals(o *org, made map[string]time.Time) ([]time.Duration, error) {
	for range 100 {
		var all []struct {
			Key     string `json:"bizible2__UniqueId__c"`
			Created string `json:"CreatedDate"`
		}
		if err := o.call("GET", "/sim/records/bizible2__Bizible_Touchpoint__c", nil, &all); err != nil {
			return nil, err
		}
		var took []time.Duration
		for _, t := range all {
			at, err := time.Parse("2006-01-02T15:04:05.000Z0700", t.Created)
			if err != nil {
				return nil, err
			}
			if began, ok := made[t.Key[len("callpoint_"):]]; ok {
				took = append(took, at.Sub(began))
			}
		}
		if len(took) == len(made) {
			return took, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return nil, fmt.Errorf("not every call has a touchpoint after 20 s")
}
