package spool

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A write is one batch that waits for the writer.
type write struct {
	data []byte
	done chan error
}

// maxGroup bounds how many batches share one fsync.
const maxGroup = 256

// append hands an encoded batch to the writer and waits until it is on disk.
func (s *Spool) append(data []byte) error {
	w := &write{data, make(chan error, 1)}
	select {
	case s.writes <- w:
		return <-w.done
	case <-s.closed:
		return errors.New("the spool is closed")
	}
}

// writer appends batches, as many with one fsync as wait at the time.
func (s *Spool) writer() {
	defer close(s.done)
	for {
		select {
		case w := <-s.writes:
			group := []*write{w}
		gather:
			for len(group) < maxGroup {
				select {
				case w := <-s.writes:
					group = append(group, w)
				default:
					break gather
				}
			}
			s.writeGroup(group)
		case <-s.closed:
			return
		}
	}
}

// writeGroup writes what fits and syncs it. After an error nothing of the group counts as
// written: what reached the file all the same is cut off.
func (s *Spool) writeGroup(group []*write) {
	s.disk.Lock()
	defer s.disk.Unlock()
	var fit []*write
	var data []byte
	var full error
	used := s.Stats().Bytes // delivery may free some meanwhile
	for _, w := range group {
		if used+int64(len(data)+len(w.data)) > s.cfg.Max {
			full = fmt.Errorf("%w: %d of %d bytes are used; restore the destination or raise CALLPOINT_SPOOL_MAX", ErrFull, used, s.cfg.Max)
			w.done <- full
			continue
		}
		fit, data = append(fit, w), append(data, w.data...)
	}
	var err error
	if len(fit) > 0 {
		err = s.writeSegment(data)
	}
	s.mu.Lock()
	s.failed = cmp.Or(err, full)
	s.mu.Unlock()
	for _, w := range fit {
		w.done <- err
	}
	s.notify()
}

// writeSegment appends data to the current segment and syncs it.
func (s *Spool) writeSegment(data []byte) error {
	seg, err := s.current()
	if err != nil {
		return diskError(err)
	}
	if _, err = seg.file.WriteAt(data, seg.size); err == nil {
		err = seg.file.Sync()
	}
	if err != nil {
		// The file's state is unknown after a failed fsync: the next batch goes to a new file.
		_ = seg.file.Truncate(seg.size)
		seg.seal()
		if seg.size == 0 {
			_ = os.Remove(seg.path)
			s.drop(seg)
		}
		return diskError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if seg.size == 0 {
		seg.oldest = s.cfg.Now().UTC()
	}
	seg.size, s.bytes = seg.size+int64(len(data)), s.bytes+int64(len(data))
	return nil
}

// current returns the segment that takes writes, a new one if the last is complete.
func (s *Spool) current() (*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.segments); n > 0 {
		last := s.segments[n-1]
		if last.file != nil && last.size < s.cfg.Segment {
			return last, nil
		}
		last.seal()
	}
	path := filepath.Join(s.cfg.Dir, fmt.Sprintf("%08d%s", s.next, suffix))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	s.next++
	if err := syncDir(s.cfg.Dir); err != nil {
		f.Close()
		return nil, err
	}
	seg := &segment{path: path, file: f}
	s.segments = append(s.segments, seg)
	return seg, nil
}

// seal ends the writing of a segment.
func (g *segment) seal() {
	if g.file != nil {
		_ = g.file.Close() // everything in it is synced
		g.file = nil
	}
}

// diskError maps a full disk to ErrFull.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("spool: %w", err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
