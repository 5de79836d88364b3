package statementfile_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a machine may have no time zones

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/internal/httpapi/statementfile"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// november is a statement with a movement of each kind.
func november(t *testing.T) statementfile.Statement {
	t.Helper()
	movements := []ledger.Movement{
		{ID: "m1", Type: ledger.Credit, Kind: ledger.Deposit, Amount: 100000, BalanceAfter: 100005, Description: "Depósito",
			CreatedAt: instant(t, "2026-11-01T03:00:00Z")},
		{ID: "m2", Type: ledger.Debit, Kind: ledger.Transfer, Amount: 15000, BalanceAfter: 85005, Description: "Transferência enviada",
			Counterparty: "7907027952", CounterpartyName: "Bia \"B\" Lima; & <Filhos>", TransferID: "t1", CreatedAt: instant(t, "2026-11-02T02:59:59.123456Z")},
		{ID: "m3", Type: ledger.Debit, Kind: ledger.Fee, Amount: 200, BalanceAfter: 84805, Description: "Tarifa de transferência", TransferID: "t1",
			CreatedAt: instant(t, "2026-11-02T03:00:00Z")},
		{ID: "m4", Type: ledger.Credit, Kind: ledger.Transfer, Amount: 1, BalanceAfter: 84806, Description: "Transferência recebida",
			Counterparty: "11", CounterpartyName: "=HYPERLINK(\"http://x\")", TransferID: "t2", CreatedAt: instant(t, "2026-11-03T12:00:00Z")},
		{ID: "m5", Type: ledger.Credit, Kind: ledger.Refund, Amount: 500, BalanceAfter: 85306, Description: "Estorno de transferência",
			Counterparty: "12", CounterpartyName: strings.Repeat("ã", 100), TransferID: "t3", CreatedAt: instant(t, "2026-11-04T12:00:00Z")},
		{ID: "m6", Type: ledger.Debit, Kind: ledger.Withdrawal, Amount: 85306, BalanceAfter: 0, Description: "Saque",
			CreatedAt: instant(t, "2026-12-01T02:59:59.999999Z")},
	}
	return statementfile.Statement{
		BankCode: "341", Account: "5299822470", From: instant(t, "2026-11-01T03:00:00Z"), To: instant(t, "2026-12-01T03:00:00Z"),
		CompleteUntil: instant(t, "2026-12-01T03:00:00Z"), Opening: 5, Closing: 0, Made: instant(t, "2026-12-24T23:00:00Z"), Zone: zone(t, "America/Sao_Paulo"),
		Walk: func(visit func(ledger.Movement) error) error {
			for _, m := range movements {
				if err := visit(m); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// A program that reads CSV gets back every text and every amount, in the days of the bank. Nothing in a cell is a formula.
func TestCSV(t *testing.T) {
	for name, test := range map[string]struct {
		comma     bool
		separator rune
		point     string // before the cents
	}{
		"with commas": {true, ';', ","},
		"with points": {false, ',', "."},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			if err := statementfile.CSV(&file, november(t), test.comma); err != nil {
				t.Fatal(err)
			}
			rest, marked := strings.CutPrefix(file.String(), "\ufeff")
			if !marked {
				t.Error("Excel would not read the file as UTF-8")
			}
			if strings.Count(rest, "\r\n") != strings.Count(rest, "\n") {
				t.Error("a line does not end as RFC 4180 has it")
			}
			read := csv.NewReader(strings.NewReader(rest))
			read.Comma = test.separator
			lines, err := read.ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			amount := func(text string) string { return strings.Replace(text, ".", test.point, 1) }
			want := [][]string{
				{"data", "hora", "tipo", "descricao", "valor", "saldo", "conta_contraparte", "nome_contraparte", "id", "id_transferencia"},
				{"2026-11-01", "00:00:00", "saldo inicial", "", "", amount("0.05"), "", "", "", ""},
				{"2026-11-01", "00:00:00", "depósito", "Depósito", amount("1000.00"), amount("1000.05"), "", "", "m1", ""},
				{"2026-11-01", "23:59:59", "transferência", "Transferência enviada", amount("-150.00"), amount("850.05"), "7907027952", "Bia \"B\" Lima; & <Filhos>", "m2", "t1"},
				{"2026-11-02", "00:00:00", "tarifa", "Tarifa de transferência", amount("-2.00"), amount("848.05"), "", "", "m3", "t1"},
				{"2026-11-03", "09:00:00", "transferência", "Transferência recebida", amount("0.01"), amount("848.06"), "11", "'=HYPERLINK(\"http://x\")", "m4", "t2"},
				{"2026-11-04", "09:00:00", "estorno", "Estorno de transferência", amount("5.00"), amount("853.06"), "12", strings.Repeat("ã", 100), "m5", "t3"},
				{"2026-11-30", "23:59:59", "saque", "Saque", amount("-853.06"), amount("0.00"), "", "", "m6", ""},
				{"2026-11-30", "23:59:59", "saldo final", "", "", amount("0.00"), "", "", "", ""},
			}
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// No text of another customer begins a formula or ends its cell, and an ordinary text stays as it is.
func TestCSVTexts(t *testing.T) {
	for name, want := range map[string]string{
		"=1+1": "'=1+1", "+55": "'+55", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠a": "'＠a",
		"  =1": "'=1", "\t=1": "'=1", "\r\n=1": "'=1", "\u00a0=1": "'=1",
		"x,=cmd|' /C calc'!A0,y": "x,'=cmd|' /C calc'!A0,y", "x; \"=1\";+2": "x; \"'=1\";'+2", "a|\t-1": "a| '-1",
		"a=1": "a=1", "Ana-Lu": "Ana-Lu", "a\nb\tc": "a b c", "'a'": "'a'", "\"a\";b,c": "\"a\";b,c", "漢字 😀": "漢字 😀", "": "",
	} {
		s := november(t)
		s.Walk = func(visit func(ledger.Movement) error) error {
			return visit(ledger.Movement{Kind: ledger.Transfer, Type: ledger.Credit, CounterpartyName: name, Description: name})
		}
		var file bytes.Buffer
		if err := statementfile.CSV(&file, s, true); err != nil {
			t.Fatal(err)
		}
		read := csv.NewReader(&file)
		read.Comma = ';'
		lines, err := read.ReadAll()
		if err != nil || len(lines) != 4 || lines[2][7] != want || lines[2][3] != want {
			t.Errorf("%q: %q, %v", name, lines, err)
		}
	}
}

// The whole of an OFX file. The end-to-end suite has programs read one that import OFX.
func TestOFX(t *testing.T) {
	var file bytes.Buffer
	if err := statementfile.OFX(&file, november(t)); err != nil {
		t.Fatal(err)
	}
	const transaction = "<STMTTRN><TRNTYPE>"
	want := `<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS><DTSERVER>20261224200000.000[-3:BRT]</DTSERVER>` +
		`<LANGUAGE>POR</LANGUAGE><FI><ORG>BankMore</ORG><FID>341</FID></FI></SONRS></SIGNONMSGSRSV1>` +
		`<BANKMSGSRSV1><STMTTRNRS><TRNUID>0</TRNUID><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS><STMTRS><CURDEF>BRL</CURDEF>` +
		`<BANKACCTFROM><BANKID>341</BANKID><ACCTID>5299822470</ACCTID><ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTFROM>` +
		`<BANKTRANLIST><DTSTART>20261101000000.000[-3:BRT]</DTSTART><DTEND>20261130235959.999[-3:BRT]</DTEND>` +
		transaction + `DEP</TRNTYPE><DTPOSTED>20261101000000.000[-3:BRT]</DTPOSTED><TRNAMT>1000.00</TRNAMT><FITID>m1</FITID><NAME>Depósito</NAME><MEMO>Depósito</MEMO></STMTTRN>` +
		transaction + `XFER</TRNTYPE><DTPOSTED>20261101235959.123[-3:BRT]</DTPOSTED><TRNAMT>-150.00</TRNAMT><FITID>m2</FITID><NAME>Bia "B" Lima; &amp; &lt;Filhos&gt;</NAME>` +
		`<BANKACCTTO><BANKID>341</BANKID><ACCTID>7907027952</ACCTID><ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTTO><MEMO>Transferência enviada, conta 7907027952</MEMO></STMTTRN>` +
		transaction + `FEE</TRNTYPE><DTPOSTED>20261102000000.000[-3:BRT]</DTPOSTED><TRNAMT>-2.00</TRNAMT><FITID>m3</FITID><NAME>Tarifa de transferência</NAME><MEMO>Tarifa de transferência</MEMO></STMTTRN>` +
		transaction + `XFER</TRNTYPE><DTPOSTED>20261103090000.000[-3:BRT]</DTPOSTED><TRNAMT>0.01</TRNAMT><FITID>m4</FITID><NAME>=HYPERLINK("http://x")</NAME><MEMO>Transferência recebida, conta 11</MEMO></STMTTRN>` +
		transaction + `CREDIT</TRNTYPE><DTPOSTED>20261104090000.000[-3:BRT]</DTPOSTED><TRNAMT>5.00</TRNAMT><FITID>m5</FITID><NAME>` + strings.Repeat("ã", 32) + `</NAME>` +
		`<EXTDNAME>` + strings.Repeat("ã", 100) + `</EXTDNAME><MEMO>Estorno de transferência, conta 12</MEMO></STMTTRN>` +
		transaction + `CASH</TRNTYPE><DTPOSTED>20261130235959.999[-3:BRT]</DTPOSTED><TRNAMT>-853.06</TRNAMT><FITID>m6</FITID><NAME>Saque</NAME><MEMO>Saque</MEMO></STMTTRN>` +
		`</BANKTRANLIST><LEDGERBAL><BALAMT>0.00</BALAMT><DTASOF>20261130235959.999[-3:BRT]</DTASOF></LEDGERBAL>` +
		`<BALLIST><BAL><NAME>Saldo inicial</NAME><DESC>Saldo no início do período</DESC><BALTYPE>DOLLAR</BALTYPE><VALUE>0.05</VALUE><DTASOF>20261101000000.000[-3:BRT]</DTASOF></BAL></BALLIST>` +
		`</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>`
	if diff := cmp.Diff(want, file.String()); diff != "" {
		t.Error(diff)
	}
}

// The next time, a program asks for movements from DTEND on. So DTEND is not after the instant up to which the file is complete.
func TestOFXEndsWhereItIsComplete(t *testing.T) {
	for until, want := range map[string]string{
		"2026-12-01T03:00:00Z": "20261130235959.999[-3:BRT]",
		"2026-12-01T02:59:00Z": "20261130235900.000[-3:BRT]",
		"2026-11-01T02:59:30Z": "20261101000000.000[-3:BRT]", // before the period begins
	} {
		s := november(t)
		s.CompleteUntil = instant(t, until)
		var file bytes.Buffer
		if err := statementfile.OFX(&file, s); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"<DTEND>" + want + "</DTEND>", "<LEDGERBAL><BALAMT>0.00</BALAMT><DTASOF>20261130235959.999[-3:BRT]</DTASOF>"} {
			if !strings.Contains(file.String(), part) {
				t.Errorf("complete until %s: no %s in %s", until, part, &file)
			}
		}
	}
}

// A text may hold anything that the ledger stores, and the file is still XML, with texts as long as OFX allows.
func TestOFXTexts(t *testing.T) {
	s := november(t)
	hostile := "]]>\x01\ufffe</NAME>" + strings.Repeat("&", 300)
	s.Walk = func(visit func(ledger.Movement) error) error {
		return visit(ledger.Movement{Kind: ledger.Fee, Type: ledger.Debit, Description: hostile})
	}
	var file bytes.Buffer
	if err := statementfile.OFX(&file, s); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Name     string `xml:"BANKMSGSRSV1>STMTTRNRS>STMTRS>BANKTRANLIST>STMTTRN>NAME"`
		Extended string `xml:"BANKMSGSRSV1>STMTTRNRS>STMTRS>BANKTRANLIST>STMTTRN>EXTDNAME"`
		Memo     string `xml:"BANKMSGSRSV1>STMTTRNRS>STMTRS>BANKTRANLIST>STMTTRN>MEMO"`
	}
	if err := xml.NewDecoder(&file).Decode(&read); err != nil {
		t.Fatal(err)
	}
	seen := strings.NewReplacer("\x01", " ", "\ufffe", "\ufffd").Replace(hostile)
	for what, test := range map[string]struct {
		got   string
		limit int
	}{"NAME": {read.Name, 32}, "EXTDNAME": {read.Extended, 100}, "MEMO": {read.Memo, 255}} {
		if want := string([]rune(seen)[:test.limit]); test.got != want {
			t.Errorf("%s is %q, want %q", what, test.got, want)
		}
	}
}

// Times are of the bank's zone, and mean the same instant for every program: with a difference in hours, or in UTC.
func TestOFXTimes(t *testing.T) {
	for name, want := range map[string]string{
		"America/Sao_Paulo": "20261224200000.000[-3:BRT]", "America/Manaus": "20261224190000.000[-4:LOCAL]", "UTC": "20261224230000.000[+0:UTC]",
		"Europe/Lisbon": "20261224230000.000[+0:WET]", "Asia/Kolkata": "20261224230000.000[+0:GMT]", "America/St_Johns": "20261224230000.000[+0:GMT]",
	} {
		s := november(t)
		s.Zone = zone(t, name)
		var file bytes.Buffer
		if err := statementfile.OFX(&file, s); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(file.String(), "<DTSERVER>"+want+"</DTSERVER>") {
			t.Errorf("%s: %.400s", name, &file)
		}
	}
}

// If the walk or the writer fails, the file fails with that error, and nothing more is written.
func TestFailures(t *testing.T) {
	gone := errors.New("gone")
	for name, write := range map[string]func(io.Writer, statementfile.Statement) error{
		"CSV": func(w io.Writer, s statementfile.Statement) error { return statementfile.CSV(w, s, true) },
		"OFX": statementfile.OFX,
	} {
		s := november(t)
		s.Walk = func(func(ledger.Movement) error) error { return gone }
		var file bytes.Buffer
		if err := write(&file, s); !errors.Is(err, gone) || strings.Contains(file.String(), "saldo final") || strings.Contains(file.String(), "LEDGERBAL") {
			t.Errorf("%s: %v after %s", name, err, &file)
		}
		if err := write(broken{gone}, november(t)); !errors.Is(err, gone) {
			t.Errorf("%s into a broken writer: %v", name, err)
		}
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
