package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// readRow turns a row into a call. The hash is over what the query asked for, less
// the stamp, which moves without a visible change.
func (e *Engine) readRow(src *source, r salesforce.Record) (store.Call, error) {
	hashed := maps.Clone(r)
	delete(hashed, "SystemModstamp")
	b, err := json.Marshal(hashed)
	if err != nil {
		return store.Call{}, err
	}
	call, err := e.read(src, r)
	if err != nil {
		return store.Call{}, err
	}
	sum := sha256.Sum256(b)
	return store.Call{Call: call, Hash: hex.EncodeToString(sum[:16]), ReadAt: e.cfg.Now().UTC()}, nil
}

// tellEvery is how often a long read logs its progress.
const tellEvery = 10 * time.Second

// pace logs the progress of a long read: rows, rate, time left.
type pace struct {
	log         *slog.Logger
	now         func() time.Time
	began, told time.Time
	read        int
}

// tell notes a page. Where spans are narrowed nobody knows how many rows are left.
func (p *pace) tell(rows int, page salesforce.Page, whole bool) {
	p.read += rows
	now := p.now()
	if page.Next == "" && p.told.IsZero() || now.Sub(p.told) < tellEvery {
		return
	}
	p.told = now
	rate := float64(p.read) / max(now.Sub(p.began).Seconds(), 0.001)
	args := []any{"read", p.read, "per_second", int(rate)}
	if whole && page.Total > p.read {
		left := time.Duration(float64(page.Total-p.read) / rate * float64(time.Second))
		args = append(args, "of", page.Total, "left", left.Round(time.Second).String())
	}
	if stamp, ok := stampOf(lastOf(page.Records)); ok {
		args = append(args, "up_to", stamp)
	}
	p.log.Info("reading tasks", args...)
}

func lastOf(records []salesforce.Record) salesforce.Record {
	if len(records) == 0 {
		return nil
	}
	return records[len(records)-1]
}
