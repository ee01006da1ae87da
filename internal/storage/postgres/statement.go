package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// Formats of the protocol (PostgreSQL manual, section 54.1.3).
const (
	binaryFormat = 1 // in place of text
)

// exec runs one statement, which is not prepared. Its arguments are string, int64,
// float64 and []byte; what it gives is in the binary format, see scan.
func exec(ctx context.Context, conn *pgconn.PgConn, statement string, args ...any) (*pgconn.Result, error) {
	values, formats := make([][]byte, len(args)), make([]int16, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			values[i] = []byte(arg)
		case int64:
			values[i] = strconv.AppendInt(nil, arg, 10)
		case float64:
			values[i] = strconv.AppendFloat(nil, arg, 'g', -1, 64)
		case []byte:
			values[i], formats[i] = append([]byte{}, arg...), binaryFormat // not nil, which is NULL
		default:
			return nil, fmt.Errorf("argument %d is a %T", i+1, arg)
		}
	}
	result := conn.ExecParams(ctx, statement, values, nil, formats, []int16{binaryFormat}).Read()
	return result, result.Err
}

var errColumns = errors.New("the columns are not those that were asked for")

// scan reads a row of the types text or bytea, bigint, integer and boolean, none of
// them NULL.
func scan(row [][]byte, into ...any) error {
	if len(row) != len(into) {
		return errColumns
	}
	for i, value := range row {
		switch into := into[i].(type) { // #nosec G602 -- as long as row: see above
		case *string:
			*into = string(value)
		case *[]byte:
			*into = value
		case *int64:
			switch len(value) {
			case 8:
				*into = int64(binary.BigEndian.Uint64(value)) // #nosec G115 -- two's complement
			case 4:
				*into = int64(int32(binary.BigEndian.Uint32(value))) // #nosec G115 -- two's complement
			default:
				return errColumns
			}
		case *bool:
			if len(value) != 1 {
				return errColumns
			}
			*into = value[0] != 0
		default:
			return errColumns
		}
	}
	return nil
}
