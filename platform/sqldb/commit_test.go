package sqldb_test

import (
	"database/sql"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// A transaction whose COMMIT was lost does not run again, since it may have taken effect. Its caller gets an error that
// means: outcome unknown. A transaction that failed before COMMIT, or that the server has rolled back, runs again.
func TestLostCommitIsNeverRepeated(t *testing.T) {
	const statement = "INSERT INTO parents"
	for name, test := range map[string]struct {
		at   string                  // the server fails the first message that contains this text
		with *pgproto3.ErrorResponse // the server's answer to that message; nil: it cuts the connection
		runs int
		ok   bool
	}{
		"nothing fails":                         {"", nil, 1, true},
		"cut before COMMIT":                     {statement, nil, 2, true},
		"rolled back before COMMIT":             {statement, &pgproto3.ErrorResponse{Severity: "ERROR", Code: "40P01"}, 2, true},
		"cut at COMMIT":                         {"commit", nil, 1, false},
		"shut down at COMMIT":                   {"commit", &pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P01"}, 1, false},
		"rolled back at COMMIT":                 {"commit", &pgproto3.ErrorResponse{Severity: "ERROR", Code: "40001"}, 2, true},
		"COMMIT refused for good":               {"commit", &pgproto3.ErrorResponse{Severity: "ERROR", Code: "23514"}, 1, false},
		"COMMIT refused, the disk may be full":  {"commit", &pgproto3.ErrorResponse{Severity: "ERROR", Code: "53100"}, 1, false},
		"the server goes down in the statement": {statement, &pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P01"}, 2, true},
	} {
		for _, way := range []string{"InTx", "InPipeline"} {
			t.Run(name+" "+way, func(t *testing.T) {
				db := sqldbtest.Reopen(t, pretendServer(t, test.at, test.with))
				runs := 0
				var err error
				if way == "InTx" {
					err = db.InTx(t.Context(), func(tx *sql.Tx) error {
						runs++
						_, err := tx.ExecContext(t.Context(), statement)
						return err
					})
				} else {
					err = db.InPipeline(t.Context(), func(p *sqldb.Pipeline) error {
						runs++
						first := p.Batch()
						first.Queue(statement)
						return p.Send(t.Context(), first)
					})
				}
				if runs != test.runs || (err == nil) != test.ok {
					t.Errorf("%d runs, answered %v", runs, err)
				}
				if err != nil && (fault.From(err).Kind != fault.Unavailable || batch.ExtentOf(err) != batch.Everything) {
					t.Errorf("answered %v, want a fault of kind Unavailable that no batch is divided for", err)
				}
			})
		}
	}
}

// pretendServer speaks PostgreSQL's protocol as far as transactions need it. It accepts every statement but the first that
// contains text (in upper or lower case).
func pretendServer(t *testing.T, text string, with *pgproto3.ErrorResponse) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var failed atomic.Bool
	fails := func(message string) bool {
		return text != "" && strings.Contains(strings.ToLower(message), strings.ToLower(text)) && failed.CompareAndSwap(false, true)
	}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for pid := uint32(1); ; pid++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				defer conn.Close()
				if err := pretendSession(conn, pid, fails, with); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() { // runs after the database has been closed
		listener.Close()
		sessions.Wait()
	})
	return "postgres://nobody@" + listener.Addr().String() + "/none?sslmode=disable&default_query_exec_mode=simple_protocol"
}

// pretendSession serves one connection until the client has gone, or until the message that fails.
func pretendSession(conn net.Conn, pid uint32, fails func(string) bool, with *pgproto3.ErrorResponse) error {
	server := pgproto3.NewBackend(conn, conn)
	if _, err := server.ReceiveStartupMessage(); err != nil {
		return err
	}
	server.Send(&pgproto3.AuthenticationOk{})
	server.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	server.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	server.Send(&pgproto3.BackendKeyData{ProcessID: pid, SecretKey: []byte{1, 2, 3, 4}})
	status := byte('I')
	for {
		server.Send(&pgproto3.ReadyForQuery{TxStatus: status})
		if server.Flush() != nil {
			return nil // the client has gone
		}
		message, err := server.Receive()
		query, ok := message.(*pgproto3.Query)
		if err != nil || !ok {
			return nil // the client has gone, or says goodbye
		}
		for statement := range strings.SplitSeq(query.String, ";") {
			if fails(statement) {
				if with == nil {
					return nil
				}
				server.Send(with)
				if with.Severity == "FATAL" {
					return server.Flush()
				}
				if status = 'E'; strings.EqualFold(statement, "commit") {
					status = 'I'
				}
				break
			}
			status = agree(server, statement, status, pid)
		}
	}
}

// agree answers a statement as a server that accepts it.
func agree(server *pgproto3.Backend, statement string, status byte, pid uint32) byte {
	verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(statement)), " ")
	switch verb {
	case "", "--":
		server.Send(&pgproto3.EmptyQueryResponse{})
		return status
	case "BEGIN":
		status = 'T'
	case "COMMIT", "ROLLBACK":
		status = 'I'
	case "SELECT": // pg_backend_pid()
		server.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("pid"), DataTypeOID: 23, DataTypeSize: 4}}})
		server.Send(&pgproto3.DataRow{Values: [][]byte{strconv.AppendUint(nil, uint64(pid), 10)}})
	}
	server.Send(&pgproto3.CommandComplete{CommandTag: []byte(verb)})
	return status
}
