// Gopeer does callpoint's central job the way one would write it in an afternoon: with
// go-salesforce's own Query and UpsertCollection, and SQLite.
//
//	gopeer import sessions.ndjson peer.db
//	gopeer sync peer.db
//
// It logs in by SALESFORCE_DOMAIN, SALESFORCE_CONSUMER_KEY and SALESFORCE_CONSUMER_SECRET.
package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"time"

	"callpoint/bench/workload"

	"github.com/k-capehart/go-salesforce/v2"
	_ "modernc.org/sqlite"
)

const (
	touchpoint = "bizible2__Bizible_Touchpoint__c"
	person     = "bizible2__Bizible_Person__c"
	key        = "bizible2__UniqueId__c"
	window     = 30 * time.Minute
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "import":
		return load(args[1], args[2])
	case len(args) == 2 && args[0] == "sync":
		return sync(args[1])
	}
	return fmt.Errorf("usage: gopeer import FILE DB | gopeer sync DB")
}

func open(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`
		CREATE TABLE IF NOT EXISTS sessions (visitor TEXT, started INTEGER, ended INTEGER, id TEXT, landing TEXT, referrer TEXT,
			PRIMARY KEY (visitor, started, id)) WITHOUT ROWID;
		CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT)`)
	return db, err
}

// perTransaction is how many rows share one fsync.
const perTransaction = 10000

func load(file, path string) error {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for more := true; more; {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		insert, err := tx.Prepare(`INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		for n := 0; n < perTransaction; n++ {
			if more = lines.Scan(); !more {
				break
			}
			var s workload.Session
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				return err
			}
			if _, err := insert.Exec(s.Visitor, s.StartedAt.UnixMilli(), s.EndedAt.UnixMilli(), s.SessionID, s.LandingPage, s.Referrer); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return lines.Err()
}

type task struct {
	ID             string `mapstructure:"Id"`
	WhoID          string `mapstructure:"WhoId"`
	BizibleID      string `mapstructure:"bizible2__BizibleId__c"`
	At             string `mapstructure:"bizible2__Bizible_Touchpoint_Date__c"`
	SystemModstamp string
}

const stampLayout = "2006-01-02T15:04:05.000Z0700"

func sync(path string) error {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	sf, err := salesforce.Init(salesforce.Creds{
		Domain:      os.Getenv("SALESFORCE_DOMAIN"),
		ConsumerKey: os.Getenv("SALESFORCE_CONSUMER_KEY"), ConsumerSecret: os.Getenv("SALESFORCE_CONSUMER_SECRET"),
	})
	if err != nil {
		return err
	}
	since := "2000-01-01T00:00:00Z"
	if err := db.QueryRow(`SELECT value FROM state WHERE name = 'since'`).Scan(&since); err != nil && err != sql.ErrNoRows {
		return err
	}
	var tasks []task
	err = sf.Query("SELECT Id, WhoId, bizible2__BizibleId__c, bizible2__Bizible_Touchpoint_Date__c, SystemModstamp FROM Task"+
		" WHERE bizible2__BizibleId__c != null AND SystemModstamp >= "+since+" ORDER BY SystemModstamp, Id", &tasks)
	if err != nil {
		return err
	}
	nearest, err := db.Prepare(`SELECT started, ended, landing, referrer FROM sessions WHERE visitor = ? AND started <= ? ORDER BY started DESC LIMIT 1`)
	if err != nil {
		return err
	}
	defer nearest.Close()
	var persons, touchpoints []map[string]any
	seen := map[string]bool{}
	for _, t := range tasks {
		at, err := time.Parse(stampLayout, t.At)
		if err != nil {
			return err
		}
		record := map[string]any{key: "peer_" + t.ID, "bizible2__Touchpoint_Type__c": "Phone Call", "bizible2__Medium__c": "Phone",
			"bizible2__Touchpoint_Date__c": at.UTC().Format(time.RFC3339)}
		var started, ended int64
		var landing, referrer string
		err = nearest.QueryRow(t.BizibleID, at.UnixMilli()).Scan(&started, &ended, &landing, &referrer)
		if err != nil && err != sql.ErrNoRows {
			return err
		}
		if err == nil && at.UnixMilli() <= ended+window.Milliseconds() {
			describe(record, landing, referrer)
		}
		if t.WhoID != "" {
			if !seen[t.WhoID] {
				seen[t.WhoID] = true
				persons = append(persons, map[string]any{key: "peer_" + t.WhoID, "bizible2__Lead__c": t.WhoID})
			}
			record["bizible2__Bizible_Person__r"] = map[string]any{key: "peer_" + t.WhoID}
		}
		touchpoints = append(touchpoints, record)
	}
	if err := upsert(sf, person, persons); err != nil {
		return err
	}
	if err := upsert(sf, touchpoint, touchpoints); err != nil {
		return err
	}
	if len(tasks) > 0 {
		last, err := time.Parse(stampLayout, tasks[len(tasks)-1].SystemModstamp)
		if err != nil {
			return err
		}
		_, err = db.Exec(`INSERT OR REPLACE INTO state VALUES ('since', ?)`, last.UTC().Format(time.RFC3339))
		return err
	}
	return nil
}

// describe fills in what the session says.
func describe(record map[string]any, landing, referrer string) {
	record["bizible2__Landing_Page_Raw__c"] = landing
	record["bizible2__Referrer_Page_Raw__c"] = referrer
	u, err := url.Parse(landing)
	if err != nil {
		return
	}
	record["bizible2__Landing_Page__c"] = u.Scheme + "://" + u.Host + u.Path
	q := u.Query()
	record["bizible2__Touchpoint_Source__c"] = q.Get("utm_source")
	record["bizible2__Ad_Campaign_Name__c"] = q.Get("utm_campaign")
	record["bizible2__Keyword_Text__c"] = q.Get("utm_term")
	record["bizible2__Marketing_Channel__c"] = channel(q.Get("utm_medium"), referrer)
}

func channel(medium, referrer string) string {
	switch {
	case medium == "cpc":
		return "Paid Search"
	case medium == "paid_social":
		return "Paid Social"
	case medium == "email":
		return "Email"
	case referrer == "https://www.google.com/", referrer == "https://www.bing.com/":
		return "Organic Search"
	case referrer != "":
		return "Web Referral"
	}
	return "Direct"
}

func upsert(sf *salesforce.Salesforce, object string, records []map[string]any) error {
	if len(records) == 0 {
		return nil
	}
	results, err := sf.UpsertCollection(object, key, records, 200)
	if err != nil {
		return err
	}
	if results.HasSalesforceErrors {
		for _, r := range results.Results {
			if !r.Success {
				return fmt.Errorf("%s: %v", object, r.Errors)
			}
		}
	}
	return nil
}
