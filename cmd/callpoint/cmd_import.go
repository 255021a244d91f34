package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"callpoint/store"
	"callpoint/sync/collector"

	"github.com/spf13/cobra"
)

func (p *program) importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE...",
		Short: "Read events and sessions from files of any size",
		Long: `import reads files of one JSON object a line: events as POST /v1/events takes them, or
sessions as POST /v1/sessions does; a line with a session_id is a session. - is standard
input. gzip and zstd are recognised by their first bytes.

A rejected line is reported with file and number, and the import continues. Duplicates are
not stored twice, so a file may be read again. An import that was
stopped goes on near where it was when it is started again with the same file: at most a
million records are read twice. Where the daemon runs, they are sent to it.`,
		Example: `  callpoint import sessions-2026-11.ndjson.gz
  zcat /var/log/site/*.gz | callpoint import -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.importFiles(cmd.Context(), args) },
	}
}

// imported is the summary of an import.
type imported struct {
	Files    int     `json:"files"`
	Lines    int     `json:"lines"`
	Events   int     `json:"events"`
	Sessions int     `json:"sessions"`
	Accepted int     `json:"accepted"` // of these, new to the store
	Repeated int     `json:"repeated"`
	Bots     int     `json:"bots"`
	Rejected int     `json:"rejected"`
	Seconds  float64 `json:"duration_seconds"`
}

func (i imported) String() string {
	read := i.Events + i.Sessions
	text := fmt.Sprintf("%d events and %d sessions in %d lines: %d new, %d skipped (duplicates, erased visitors or older than the retention), %d bots, %d rejected; %.1f s",
		i.Events, i.Sessions, i.Lines, i.Accepted, i.Repeated, i.Bots, i.Rejected, i.Seconds)
	if i.Seconds >= 1 { // too short for a meaningful rate
		text += fmt.Sprintf(", %.0f a second", float64(read)/i.Seconds)
	}
	if lost := read - i.Accepted - i.Repeated; lost > 0 { // the import was stopped
		text += fmt.Sprintf("; %d not stored: start it again with the same files", lost)
	}
	return text
}

func (p *program) importFiles(ctx context.Context, names []string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	s, to, err := p.importSink(ctx, c)
	if err != nil {
		return err
	}
	if s != nil {
		// A batch is garbage as soon as it is stored; the pages of the store belong to the
		// kernel's cache. Without a limit the heap would double before it is looked through.
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(40 << 20))
	}
	cfg := collector.Config{Retention: c.Retention}
	if c.GeoIP != "" {
		geo, err := openGeoIP(c.GeoIP)
		if err != nil {
			return failed(err)
		}
		defer geo.close()
		cfg.Geo = geo.lookup
	}
	im := &importer{p: p, cfg: cfg, to: to, beside: c.besideStore(), began: time.Now()}
	err = errors.Join(im.files(ctx, names), im.close())
	if s != nil {
		err = errors.Join(err, s.Close())
	}
	im.sum.Seconds = time.Since(im.began).Seconds()
	if perr := p.print(im.sum); perr != nil {
		err = errors.Join(err, perr)
	}
	switch {
	case err != nil:
		return failed(err)
	case im.sum.Events+im.sum.Sessions+im.sum.Bots == 0 && im.sum.Lines > 0:
		return failed(errors.New("no line could be read"))
	}
	return nil
}

// importSink returns where an import goes: the store, or the daemon that has it (then s is
// nil).
func (p *program) importSink(ctx context.Context, c Config) (s *store.Store, to sink, err error) {
	if c.StoreNamed || c.storeExists() {
		if s, err = store.Open(c.Store, c.storeOptions()); err == nil {
			return s, s, nil
		}
		if !errors.Is(err, store.ErrInUse) {
			return nil, nil, failed(err)
		}
		err = failed(err)
	} else {
		err = c.needStore()
	}
	running, derr := p.daemonCall(ctx, c, http.MethodGet, "/livez", nil, nil)
	if running {
		return nil, &daemonSink{p, c}, nil
	}
	return nil, nil, errors.Join(err, derr)
}
