package collector

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// splitter cuts an input into records: lines, or the elements of an array. It holds one
// record at a time.
type splitter struct {
	r      *bufio.Reader
	max    int    // bytes of one record
	buf    []byte // the record, valid until the next call
	line   int    // of the record: in an array its position, in any case from 1
	next   func() ([]byte, error)
	opened bool // array: the bracket is behind us
	ended  bool // array: so is the closing one
}

const peekSize = 64 << 10

// readers keeps buffers of peekSize: most requests hold one event.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, peekSize) }}

// close returns the buffer to the pool.
func (s *splitter) close() {
	s.r.Reset(nil)
	readers.Put(s.r)
	s.r = nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// newLines splits into lines.
func newLines(r io.Reader, max int) *splitter {
	s := &splitter{r: readers.Get().(*bufio.Reader), max: max}
	s.r.Reset(r)
	s.next = s.nextLine
	if b, _ := s.r.Peek(3); bytes.Equal(b, byteOrderMark) {
		s.r.Discard(3)
	}
	return s
}

// newSplitter peeks at the input to distinguish a JSON array, a pretty-printed object and NDJSON.
func newSplitter(r io.Reader, max int) *splitter {
	s := newLines(r, max)
	b, _ := s.r.Peek(peekSize) // an error shows again on reading
	b = bytes.TrimLeft(b, " \t\r\n")
	switch {
	case len(b) > 0 && b[0] == '[':
		s.next = s.nextElement
	case isPretty(b):
		s.next = s.nextObject
	}
	return s
}

// isPretty distinguishes a pretty-printed object from lines of which the first is broken: what
// follows the line break is a key then, never another object.
func isPretty(b []byte) bool {
	first, rest, found := bytes.Cut(b, []byte("\n"))
	if !found || len(first) == 0 || first[0] != '{' {
		return false
	}
	var n nesting
	for _, c := range first {
		if n.step(c) && n.depth == 0 {
			return false
		}
	}
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return n.depth > 0 && !n.inString && len(rest) > 0 && rest[0] != '{'
}

// nesting follows brackets and strings.
type nesting struct {
	depth             int
	inString, escaped bool
}

// step takes one byte and reports whether it closed a bracket.
func (n *nesting) step(c byte) (closed bool) {
	switch {
	case n.escaped:
		n.escaped = false
	case n.inString:
		n.escaped = c == '\\'
		n.inString = c != '"'
	case c == '"':
		n.inString = true
	case c == '{' || c == '[':
		n.depth++
	case c == '}' || c == ']':
		n.depth--
		return true
	}
	return false
}

// errSkip marks a record that is refused while the next one can be read.
type errSkip struct{ err error }

func (e errSkip) Error() string { return e.err.Error() }

func (s *splitter) tooLong() error {
	return errSkip{reject("", tooLong, fmt.Sprintf("longer than %d bytes", s.max))}
}

// nextLine returns the next line that is not blank.
func (s *splitter) nextLine() ([]byte, error) {
	for {
		s.buf = s.buf[:0]
		s.line++
		long := false
		for {
			part, err := s.r.ReadSlice('\n')
			whole := err == nil || err == io.EOF && len(part) > 0
			if whole && len(s.buf) == 0 && !long && len(part) <= s.max {
				if part = bytes.TrimSpace(part); len(part) > 0 {
					return part, nil
				}
				break // blank
			}
			if long = long || len(s.buf)+len(part) > s.max; !long {
				s.buf = append(s.buf, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && err != io.EOF {
				return nil, err
			}
			if long {
				return nil, s.tooLong()
			}
			if b := bytes.TrimSpace(s.buf); len(b) > 0 {
				return b, nil
			}
			if err == io.EOF {
				return nil, io.EOF
			}
			break
		}
	}
}

// nextElement returns the next element of an array. Where its brackets do not match, the
// rest cannot be read: one record reports it, and the input ends.
func (s *splitter) nextElement() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	s.line++
	first := !s.opened
	if first {
		s.opened = true
		if _, err := s.token(); err != nil { // the opening bracket
			return nil, err
		}
	}
	c, err := s.token()
	if err == nil && c == ',' && !first {
		if c, err = s.token(); err == nil && c == ']' {
			return nil, s.broken("unexpected ']' after a comma")
		}
	} else if err == nil && c != ']' && !first {
		return nil, s.broken(fmt.Sprintf("unexpected %q between the elements", c))
	}
	switch {
	case err == io.EOF:
		return nil, s.broken("the array does not end")
	case err != nil:
		return nil, err
	case c == ']':
		s.ended = true
		return s.trailing()
	}
	return s.element(c)
}

// nextObject returns the next of several consecutive objects.
func (s *splitter) nextObject() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	s.line++
	c, err := s.token()
	if err != nil {
		return nil, err
	}
	return s.element(c)
}

// trailing makes sure that nothing follows the closing bracket.
func (s *splitter) trailing() ([]byte, error) {
	c, err := s.token()
	if err != nil {
		return nil, err
	}
	return nil, s.broken(fmt.Sprintf("unexpected %q after the array", c))
}

func (s *splitter) broken(what string) error {
	s.ended = true
	return errSkip{reject("", malformed, "not JSON: "+what+"; what follows was not read")}
}

// token returns the next byte that is no blank.
func (s *splitter) token() (byte, error) {
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, nil
		}
	}
}

// element reads the element that begins with c.
func (s *splitter) element(c byte) ([]byte, error) {
	var n nesting
	long := false
	s.buf = s.buf[:0]
	for {
		if long = long || len(s.buf) == s.max; !long {
			s.buf = append(s.buf, c)
		}
		closed := n.step(c)
		if closed && n.depth <= 0 {
			break
		}
		if n.depth == 0 && !n.inString {
			// A bare value ends before a comma or bracket.
			if b, _ := s.r.Peek(1); len(b) == 0 || b[0] == ',' || b[0] == ']' {
				break
			}
		}
		var err error
		if c, err = s.r.ReadByte(); err == io.EOF {
			return nil, s.broken("the text ends too early")
		} else if err != nil {
			return nil, err
		}
	}
	if long {
		return nil, s.tooLong()
	}
	return s.buf, nil
}
