package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"callpoint/mapping"
)

// A segment is one file of batches, named by its number: 00000001.spool. A batch is
//
//	magic 4 | length of the payload 4 | CRC-32C of the payload 4 | payload (JSON)
//
// with numbers in big-endian order. The magic lets a reader find the next batch after
// damage.
type segment struct {
	path   string
	size   int64
	oldest time.Time // when its first batch was written
	file   *os.File  // open for appending; nil for a segment that is complete
}

const (
	magic      = "CPs1"
	headLength = 12
	maxPayload = 64 << 20 // a request body is at most 32 MiB
	suffix     = ".spool"

	asidePattern = "undelivered-*"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is the payload.
type batch struct {
	At     time.Time       `json:"at"` // when it was written
	Events []mapping.Event `json:"events,omitempty"`
	Visits []mapping.Visit `json:"sessions,omitempty"`
}

func encode(at time.Time, events []mapping.Event, visits []mapping.Visit) ([]byte, error) {
	payload, err := json.Marshal(batch{at.UTC(), events, visits})
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, headLength+len(payload))
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...), nil
}

// errDamaged is the error of a batch whose checksum does not match or that cannot be decoded.
var errDamaged = errors.New("damaged batch")

// readBatch returns the next batch and its length in the file. io.EOF means a clean end,
// io.ErrUnexpectedEOF an incomplete batch, errDamaged anything else that is no batch.
func readBatch(r *bufio.Reader) (b batch, length int, err error) {
	head, err := r.Peek(headLength)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return b, 0, err
	}
	n, sum := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if string(head[:4]) != magic || n > maxPayload {
		return b, 0, errDamaged
	}
	_, _ = r.Discard(headLength) // peeked
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return b, 0, io.ErrUnexpectedEOF
	}
	length = headLength + int(n)
	if crc32.Checksum(payload, castagnoli) != sum || json.Unmarshal(payload, &b) != nil {
		return batch{}, length, errDamaged
	}
	return b, length, nil
}

// load lists the segments of earlier processes. Writes go to a new one, so an incomplete
// batch at the end of a segment, which was never acknowledged, needs no repair: delivery
// ignores it.
func (s *Spool) load() error {
	names, err := filepath.Glob(filepath.Join(s.cfg.Dir, "*"+suffix))
	if err != nil {
		return err
	}
	slices.Sort(names)
	aside, err := filepath.Glob(filepath.Join(s.cfg.Dir, asidePattern))
	if err != nil {
		return err
	}
	s.aside, s.next = len(aside), 1
	for _, path := range names {
		n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), suffix))
		if err != nil {
			continue // not one of ours
		}
		s.next = max(s.next, n+1)
		seg, err := inspect(path)
		if err != nil {
			return err
		}
		if seg.size == 0 {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		s.segments, s.bytes = append(s.segments, seg), s.bytes+seg.size
	}
	return nil
}

// inspect returns a segment's size and the time of its first batch.
func inspect(path string) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	seg := &segment{path: path, size: info.Size(), oldest: info.ModTime().UTC()}
	if b, _, err := readBatch(bufio.NewReader(f)); err == nil {
		seg.oldest = b.At
	}
	return seg, nil
}

// batches iterates over the whole batches of a segment's content; nil is a damaged one. An
// incomplete batch at the end is left out.
func batches(data []byte) iter.Seq[*batch] {
	return func(yield func(*batch) bool) {
		offset := 0
		for offset < len(data) {
			b, length, err := readBatch(bufio.NewReader(bytes.NewReader(data[offset:])))
			if err == nil {
				offset += length
				if !yield(&b) {
					return
				}
				continue
			}
			// The next whole batch, if there is one, shows that this one is damaged and not cut off.
			next := nextBatch(data, offset+1)
			if next < 0 {
				if err == errDamaged {
					yield(nil)
				}
				return
			}
			offset = next
			if !yield(nil) {
				return
			}
		}
	}
}

// nextBatch returns the offset of the first whole batch at or after from, or -1.
func nextBatch(data []byte, from int) int {
	for from < len(data) {
		i := bytes.Index(data[from:], []byte(magic))
		if i < 0 {
			return -1
		}
		from += i
		if _, _, err := readBatch(bufio.NewReader(bytes.NewReader(data[from:]))); err == nil {
			return from
		}
		from++
	}
	return -1
}
