package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"
)

const valueVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal wraps v into an envelope bound to its key.
func seal(key []byte, v any) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %q: %w", key, err)
	}
	b := make([]byte, 5, 5+len(payload))
	b[0] = valueVersion
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[1:5], checksum(key, payload))
	return b, nil
}

// open unwraps an envelope into v. The payload is copied, so v outlives the transaction.
func open(key, b []byte, v any) error {
	payload, err := verify(key, b)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: value of %q: %v", ErrDamaged, key, err)
	}
	return nil
}

func verify(key, b []byte) ([]byte, error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: value of %q has %d bytes", ErrDamaged, key, len(b))
	}
	if b[0] != valueVersion {
		return nil, fmt.Errorf("%w: value of %q has version %d, this program reads %d", ErrDamaged, key, b[0], valueVersion)
	}
	if got, want := checksum(key, b[5:]), binary.BigEndian.Uint32(b[1:5]); got != want {
		return nil, fmt.Errorf("%w: checksum of %q is %08x, recorded was %08x", ErrDamaged, key, got, want)
	}
	return b[5:], nil
}

func checksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

// timeKey sorts as the time does, also before 1970.
func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())^(1<<63))
}

func keyTime(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) ^ (1 << 63))).UTC()
}

// lastKeyTime is later than every time that is stored, and still fits into JSON.
var lastKeyTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
