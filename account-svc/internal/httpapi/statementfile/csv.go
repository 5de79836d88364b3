package statementfile

import (
	"bufio"
	"encoding/csv"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/money"
)

// CSVMediaType is the media type of what CSV writes (RFC 4180, RFC 7111).
const CSVMediaType = "text/csv; charset=utf-8; header=present"

// bufferSize is how much of a file is written at once.
const bufferSize = 64 << 10

// byteOrderMark makes Excel read a CSV file as UTF-8. Without it, Excel takes the system's old code page.
const byteOrderMark = "\ufeff"

// columns are the names of the columns. Programs read them, so they keep their names and their order.
var columns = []string{
	"data", "hora", "tipo", "descricao", "valor", "saldo", "conta_contraparte", "nome_contraparte", "id", "id_transferencia",
}

// kindNames are the texts of the column tipo.
var kindNames = map[ledger.Kind]string{
	ledger.Deposit: "depósito", ledger.Withdrawal: "saque", ledger.Transfer: "transferência", ledger.Fee: "tarifa", ledger.Refund: "estorno",
}

// CSV writes a statement for spreadsheets. The first line has the names of the columns, the second the opening balance, and the
// last the closing balance; between them is a line for each movement, with its amount, which is negative for a debit, and the
// balance after it. With decimalComma, amounts have a comma before the cents, and a semicolon separates the columns, as
// spreadsheets expect where the comma is decimal. Otherwise amounts have a point, and a comma separates the columns.
func CSV(w io.Writer, s Statement, decimalComma bool) error {
	buffer := bufio.NewWriterSize(w, bufferSize)
	if _, err := buffer.WriteString(byteOrderMark); err != nil {
		return err
	}
	lines := csvLines{zone: s.Zone, decimalComma: decimalComma, out: csv.NewWriter(buffer), cells: make([]string, len(columns))}
	lines.out.UseCRLF = true
	if decimalComma {
		lines.out.Comma = ';'
	}
	if err := lines.out.Write(columns); err != nil {
		return err
	}
	if err := lines.balance(s.From, "saldo inicial", s.Opening); err != nil {
		return err
	}
	if err := s.Walk(lines.movement); err != nil {
		return err
	}
	if err := lines.balance(s.lastMoment(), "saldo final", s.Closing); err != nil {
		return err
	}
	lines.out.Flush()
	if err := lines.out.Error(); err != nil {
		return err
	}
	return buffer.Flush()
}

type csvLines struct {
	zone         *time.Location
	decimalComma bool
	out          *csv.Writer
	cells        []string // of the line that is written next
}

func (l csvLines) movement(m ledger.Movement) error {
	l.at(m.CreatedAt)
	copy(l.cells[2:], []string{
		kindNames[m.Kind], text(m.Description), l.amount(signed(m)), l.amount(m.BalanceAfter), text(m.Counterparty),
		text(m.CounterpartyName), m.ID, text(m.TransferID),
	})
	return l.out.Write(l.cells)
}

func (l csvLines) balance(at time.Time, name string, balance money.Cents) error {
	clear(l.cells)
	l.at(at)
	l.cells[2], l.cells[5] = name, l.amount(balance)
	return l.out.Write(l.cells)
}

func (l csvLines) at(t time.Time) {
	local := t.In(l.zone)
	l.cells[0], l.cells[1] = local.Format(time.DateOnly), local.Format(time.TimeOnly)
}

func (l csvLines) amount(c money.Cents) string {
	if l.decimalComma {
		return strings.Replace(c.String(), ".", ",", 1)
	}
	return c.String()
}

// formulas are the characters with which a spreadsheet begins a formula (OWASP, CSV Injection), also in the wide forms that a
// spreadsheet with an East Asian language takes for the same.
const formulas = "=+-@＝＋－＠"

// text returns a text that a spreadsheet shows as it is. Other customers choose their names, and a name may look like a formula.
// An apostrophe before it makes it a text. A spreadsheet that expects another separator than the file has cuts the text in the
// middle, so that a formula may also begin there. Control characters, which might end the cell, become spaces.
func text(s string) string {
	s = strings.TrimFunc(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s), unicode.IsSpace)
	var safe strings.Builder
	begins := true // a cell, but for spaces and quotes
	for _, r := range s {
		if begins && strings.ContainsRune(formulas, r) {
			safe.WriteByte('\'')
		}
		safe.WriteRune(r)
		begins = strings.ContainsRune(",;|", r) || begins && (unicode.IsSpace(r) || r == '"')
	}
	return safe.String()
}
