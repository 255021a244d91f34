package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"

	"callpoint/store"
)

// An importSpool brings what an import reads into the rough order of the store's keys before it
// is stored. In the order of arrival nearly every row touches a page of its own, which is
// then written anew for one row; in the order of the keys a page is written once, full.
// Its files have no names: a killed import leaves none behind.
type importSpool struct {
	files   [spoolFiles]*os.File
	writers [spoolFiles]*bufio.Writer
	buf     []byte
	rows    int
}

const spoolFiles = 256

// openSpool makes an importSpool on the disk of the store, which has room for what is imported.
func openSpool(storePath string) (*importSpool, error) {
	s := &importSpool{}
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

// add keeps a row.
func (s *importSpool) add(row store.Row) error {
	s.rows++
	s.buf = row.Append(s.buf[:0])
	_, err := s.writers[spoolOf(row.Visitor())].Write(s.buf)
	return err
}

// spoolOf grows with the id: BizibleIds are hexadecimal, others share fewer files.
func spoolOf(visitor []byte) (n int) {
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

// drain gives every row back, file after file, and is empty then.
func (s *importSpool) drain(give func(store.Row) error) error {
	r := bufio.NewReaderSize(nil, 64<<10)
	var room []byte
	for i, f := range s.files {
		if err := s.writers[i].Flush(); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		for r.Reset(f); ; {
			row, rest, err := store.ReadRow(r, room)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if err := give(row); err != nil {
				return err
			}
			room = rest
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

func (s *importSpool) close() (err error) {
	for _, f := range s.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
