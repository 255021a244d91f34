package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// A spool brings what an import reads into the rough order of the store's keys before it
// is stored. In the order of arrival nearly every row touches a page of its own, which is
// then written anew for one row; in the order of the keys a page is written once, full.
// Its files have no names: a killed import leaves none behind.
type spool struct {
	files   [spoolFiles]*os.File
	writers [spoolFiles]*bufio.Writer
	rows    int
}

const spoolFiles = 256

// openSpool makes a spool on the disk of the store, which has room for what is imported.
func openSpool(storePath string) (*spool, error) {
	s := &spool{}
	for i := range s.files {
		f, err := os.CreateTemp(filepath.Dir(storePath), ".callpoint-import-*")
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.files[i], s.writers[i] = f, bufio.NewWriterSize(f, 16<<10)
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// add keeps an event or a session of a visitor.
func (s *spool) add(visitor string, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	s.rows++
	w := s.writers[spoolOf(visitor)]
	_, err = w.Write(append(b, '\n'))
	return err
}

// spoolOf grows with the id: BizibleIds are hexadecimal, others share fewer files.
func spoolOf(visitor string) (n int) {
	for i := range 2 {
		digit := 0
		if i < len(visitor) {
			switch c := visitor[i]; {
			case c >= 'a':
				digit = min(15, 10+int(c-'a'))
			case c > '9':
				digit = 9
			case c >= '0':
				digit = int(c - '0')
			}
		}
		n = n*16 + digit
	}
	return n
}

// drain gives everything back, file after file, and is empty then.
func (s *spool) drain(read func(io.Reader) error) error {
	for i, f := range s.files {
		if err := s.writers[i].Flush(); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := read(f); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	s.rows = 0
	return nil
}

func (s *spool) close() (err error) {
	for _, f := range s.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
