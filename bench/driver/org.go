package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An org is a simulated Salesforce org in a process of its own, behind a meter.
type org struct {
	process *process
	meter   *meter
	address string
	env     []string // what logs in to it
}

func startOrg(callpoint string) (*org, error) {
	p, lines, err := firstLines(3, nil, callpoint, "org", "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &org{process: p, env: lines}
	o.address = strings.TrimPrefix(lines[0], "SALESFORCE_DOMAIN=http://")
	if o.meter, err = newMeter(o.address); err != nil {
		return nil, err
	}
	o.env[0] = "SALESFORCE_DOMAIN=http://" + o.meter.l.Addr().String()
	return o, nil
}

func (o *org) stop() {
	o.meter.l.Close()
	// It has nothing to save: how it ends is of no interest.
	_, _ = o.process.end()
}

func (o *org) call(method, path string, body []byte, answer any) error {
	req, err := http.NewRequest(method, "http://"+o.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// insert makes records and gives back their ids.
func (o *org) insert(object string, records []map[string]any) ([]string, error) {
	var ids []string
	for some := range slices.Chunk(records, 5000) {
		body, err := json.Marshal(some)
		if err != nil {
			return nil, err
		}
		var made struct{ IDs []string }
		if err := o.call("POST", "/sim/insert/"+object, body, &made); err != nil {
			return nil, err
		}
		ids = append(ids, made.IDs...)
	}
	return ids, nil
}

func (o *org) fault(script string) error {
	return o.call("POST", "/sim/fault", []byte(script), nil)
}

// A traffic is what the org saw between two looks.
type traffic struct {
	APICalls, Written, RowsRead int
	sent, received              int64
	cpu                         time.Duration // of the org itself
}

func (o *org) traffic() (traffic, error) {
	var t traffic
	err := o.call("GET", "/sim/stats", nil, &t)
	t.sent, t.received, t.cpu = o.meter.sent.Load(), o.meter.received.Load(), o.process.cpu()
	return t, err
}

func (t traffic) since(u traffic) traffic {
	return traffic{t.APICalls - u.APICalls, t.Written - u.Written, t.RowsRead - u.RowsRead,
		t.sent - u.sent, t.received - u.received, t.cpu - u.cpu}
}

// outcome counts the touchpoints that stand in the org, and those that name a session.
func (o *org) outcome() (touchpoints, matched int, err error) {
	var all []struct {
		Landing string `json:"bizible2__Landing_Page_Raw__c"`
		Person  string `json:"bizible2__Bizible_Person__c"`
	}
	if err := o.call("GET", "/sim/records/bizible2__Bizible_Touchpoint__c", nil, &all); err != nil {
		return 0, 0, err
	}
	for _, t := range all {
		if t.Landing != "" {
			matched++
		}
	}
	return len(all), matched, nil
}
