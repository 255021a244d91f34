package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The version byte of an envelope is the encoding of its payload. Up to schema 2 all were
// JSON; such values stay as they are until they are written again.
const (
	versionJSON = 1
	versionCBOR = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Times keep their nanoseconds and numbers in an any stay what they were; text that is no
// UTF-8 comes back as it was put in.
var (
	encoding = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())
	decoding = must(cbor.DecOptions{IntDec: cbor.IntDecConvertSignedOrFail, UTF8: cbor.UTF8DecodeInvalid,
		DefaultMapType: reflect.TypeFor[map[string]any](), MaxArrayElements: 1 << 24, MaxMapPairs: 1 << 24}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options that contradict each other
	}
	return v
}

// seal wraps v into an envelope bound to its key.
func seal(key []byte, v any) ([]byte, error) {
	payload, err := encoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %q: %w", key, err)
	}
	return envelope(versionCBOR, key, payload), nil
}

// envelope wraps a payload that is encoded already.
func envelope(version byte, key, payload []byte) []byte {
	b := make([]byte, 5, 5+len(payload))
	b[0] = version
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[1:5], checksum(key, payload))
	return b
}

// open unwraps an envelope into v. The payload is copied, so v outlives the transaction.
func open(key, b []byte, v any) error {
	payload, err := verify(key, b)
	if err != nil {
		return err
	}
	decode := decoding.Unmarshal
	if b[0] == versionJSON {
		decode = json.Unmarshal
	}
	if err := decode(payload, v); err != nil {
		return fmt.Errorf("%w: value of %q: %v", ErrDamaged, key, err)
	}
	return nil
}

func verify(key, b []byte) ([]byte, error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: value of %q has %d bytes", ErrDamaged, key, len(b))
	}
	if b[0] != versionJSON && b[0] != versionCBOR {
		return nil, fmt.Errorf("%w: value of %q has version %d, this program reads %d and %d", ErrDamaged, key, b[0], versionJSON, versionCBOR)
	}
	if got, want := checksum(key, b[5:]), binary.BigEndian.Uint32(b[1:5]); got != want {
		return nil, fmt.Errorf("%w: checksum of %q is %08x, recorded was %08x", ErrDamaged, key, got, want)
	}
	return b[5:], nil
}

// wellFormed verifies an envelope whose payload nobody has to decode.
func wellFormed(key, b []byte) error {
	payload, err := verify(key, b)
	switch {
	case err != nil:
		return err
	case b[0] == versionJSON && !json.Valid(payload), b[0] == versionCBOR && cbor.Wellformed(payload) != nil:
		return fmt.Errorf("%w: value of %q cannot be decoded", ErrDamaged, key)
	}
	return nil
}

func checksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

// timeKey sorts as the time does, also before 1970.
func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())^(1<<63))
}

// ceilKey returns the key of the first millisecond that is not before t.
func ceilKey(t time.Time) []byte { return timeKey(t.Add(time.Millisecond - 1)) }

func keyTime(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) ^ (1 << 63))).UTC()
}

// lastKeyTime is later than every time that is stored, and still fits into JSON.
var lastKeyTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
