package pgkv

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5/pgconn"
)

// A kind is what follows from an error.
type kind int

const (
	done     kind = iota
	failed        // it is returned as it is
	conflict      // with another transaction: it is tried again at once
	away          // the connection or the server is gone: it is tried again later
	stale         // the server takes no writes any more: all connections are dropped
	fenced        // another instance leads
	noSpace       // the disk of the database is full
)

// classify decides what follows from an error of a transaction.
func classify(err error) kind {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case err == nil:
		return done
	case errors.Is(err, errReplica):
		return stale
	case errors.Is(err, errAsync), errors.Is(err, kv.ErrNotLeader), errors.Is(err, kv.ErrDamaged):
		return failed
	case errors.As(err, &pg):
		return classifyCode(pg.Code)
	case errors.As(err, &connect), errors.As(err, &network), pgconn.SafeToRetry(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.DeadlineExceeded), strings.Contains(err.Error(), "conn closed"):
		return away
	}
	return failed
}

func classifyCode(code string) kind {
	switch code {
	case "40001", "40P01": // serialization failure, deadlock
		return conflict
	case "22012": // division by zero, which the fence uses
		return fenced
	case "25006": // read-only transaction
		return stale
	case "53100":
		return noSpace
	case "57P01", "57P02", "57P03", "57P05", "53300", "53400", "55P03", "57014", "25P03":
		return away
	}
	if strings.HasPrefix(code, "08") {
		return away
	}
	return failed
}
