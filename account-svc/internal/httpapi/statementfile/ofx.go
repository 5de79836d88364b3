package statementfile

import (
	"bufio"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/money"
)

// OFXMediaType is the media type of what OFX writes. Programs know it, although it is not registered.
const OFXMediaType = "application/x-ofx"

// ofxHeader declares OFX 2.2 (Open Financial Exchange Specification 2.2, section 2.2).
const ofxHeader = `<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
`

// The bank, as OFX names it, and its currency.
const (
	organization = "BankMore"
	currency     = "BRL"
)

// Limits of texts, in characters (OFX 2.2, section 11.4.4.1).
const (
	maxName         = 32
	maxExtendedName = 100
	maxMemo         = 255
)

// transactionTypes are the TRNTYPE of each kind (OFX 2.2, section 11.4.4.3).
var transactionTypes = map[ledger.Kind]string{
	ledger.Deposit: "DEP", ledger.Withdrawal: "CASH", ledger.Transfer: "XFER", ledger.Fee: "FEE", ledger.Refund: "CREDIT",
}

type ofxStatus struct {
	Code     int    `xml:"CODE"`
	Severity string `xml:"SEVERITY"`
}

var ofxOK = ofxStatus{Severity: "INFO"}

type ofxSignOn struct {
	Status       ofxStatus `xml:"SONRS>STATUS"`
	At           string    `xml:"SONRS>DTSERVER"`
	Language     string    `xml:"SONRS>LANGUAGE"`
	Organization string    `xml:"SONRS>FI>ORG"`
	Bank         string    `xml:"SONRS>FI>FID"`
}

type ofxAccount struct {
	Bank   string `xml:"BANKID"`
	Number string `xml:"ACCTID"`
	Type   string `xml:"ACCTTYPE"`
}

type ofxTransaction struct {
	XMLName      xml.Name    `xml:"STMTTRN"`
	Type         string      `xml:"TRNTYPE"`
	At           string      `xml:"DTPOSTED"`
	Amount       money.Cents `xml:"TRNAMT"`
	ID           string      `xml:"FITID"`
	Name         ofxText     `xml:"NAME"`
	ExtendedName *ofxText    `xml:"EXTDNAME,omitempty"`
	To           *ofxAccount `xml:"BANKACCTTO,omitempty"`
	Memo         ofxText     `xml:"MEMO"`
}

// ofxText is a text of somebody else. Programs for OFX know only the entities for &, < and > (OFX 2.2, section 2.3.2.1), while
// encoding/xml has others as well.
type ofxText struct {
	Escaped string `xml:",innerxml"`
}

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// shown returns the first characters of a text, at most limit. Control characters become spaces, and what XML does not allow
// becomes U+FFFD.
func shown(text string, limit int) ofxText {
	return ofxText{entities.Replace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case r == 0xFFFE || r == 0xFFFF:
			return unicode.ReplacementChar
		default:
			return r
		}
	}, cut(text, limit)))}
}

type ofxBalance struct {
	Amount money.Cents `xml:"BALAMT"`
	At     string      `xml:"DTASOF"`
}

type ofxNamedBalance struct {
	Name        string      `xml:"NAME"`
	Description string      `xml:"DESC"`
	Type        string      `xml:"BALTYPE"`
	Value       money.Cents `xml:"VALUE"`
	At          string      `xml:"DTASOF"`
}

// OFX writes a statement for accounting programs. FITID is the movement's id, so a movement that a program has imported already is
// the same one for it. OFX has an element for the closing balance only; the opening balance is in the list of other balances.
func OFX(w io.Writer, s Statement) error {
	buffer := bufio.NewWriterSize(w, bufferSize)
	if _, err := buffer.WriteString(ofxHeader); err != nil {
		return err
	}
	out := ofxElements{Encoder: xml.NewEncoder(buffer)}
	out.open("OFX")
	out.element("SIGNONMSGSRSV1", ofxSignOn{
		Status: ofxOK, At: ofxTime(s.Made, s.Zone), Language: "POR", Organization: organization, Bank: s.BankCode,
	})
	out.open("BANKMSGSRSV1", "STMTTRNRS")
	out.element("TRNUID", "0") // nobody asked through OFX (section 2.4.6)
	out.element("STATUS", ofxOK)
	out.open("STMTRS")
	out.element("CURDEF", currency)
	out.element("BANKACCTFROM", ofxAccount{Bank: s.BankCode, Number: s.Account, Type: "CHECKING"})
	out.open("BANKTRANLIST")
	out.element("DTSTART", ofxTime(s.From, s.Zone))
	out.element("DTEND", ofxTime(s.next(), s.Zone)) // what programs send as the next DTSTART (section 11.4.2.2)
	if out.err == nil {
		out.err = s.Walk(func(m ledger.Movement) error { return out.Encode(transaction(m, s)) })
	}
	out.end() // of BANKTRANLIST
	out.element("LEDGERBAL", ofxBalance{Amount: s.Closing, At: ofxTime(s.lastMoment(), s.Zone)})
	out.open("BALLIST")
	out.element("BAL", ofxNamedBalance{
		Name: "Saldo inicial", Description: "Saldo no início do período", Type: "DOLLAR", Value: s.Opening, At: ofxTime(s.From, s.Zone),
	})
	for out.err == nil && len(out.begun) > 0 {
		out.end()
	}
	if out.err != nil {
		return out.err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return buffer.Flush()
}

func transaction(m ledger.Movement, s Statement) ofxTransaction {
	name, memo := cmp.Or(m.CounterpartyName, m.Description), m.Description
	if m.Counterparty != "" {
		memo += ", conta " + m.Counterparty
	}
	t := ofxTransaction{
		Type: transactionTypes[m.Kind], At: ofxTime(m.CreatedAt, s.Zone), Amount: signed(m), ID: m.ID,
		Name: shown(name, maxName), Memo: shown(memo, maxMemo),
	}
	if cut(name, maxName) != name {
		t.ExtendedName = new(shown(name, maxExtendedName))
	}
	if m.Kind == ledger.Transfer && m.Type == ledger.Debit {
		t.To = &ofxAccount{Bank: s.BankCode, Number: m.Counterparty, Type: "CHECKING"}
	}
	return t
}

// cut returns the first characters of a text, at most limit.
func cut(text string, limit int) string {
	for i := range text {
		if limit == 0 {
			return text[:i]
		}
		limit--
	}
	return text
}

// ofxTime writes a time to the millisecond, with the difference of its zone from UTC in hours and a name of the zone (OFX 2.2,
// section 3.2.8.2). Programs do not agree on how to write a difference that is no whole number of hours. Where there is one, the
// time is in UTC.
func ofxTime(t time.Time, zone *time.Location) string {
	local := t.In(zone)
	name, offset := local.Zone()
	if offset%3600 != 0 {
		local, name, offset = t.UTC(), "GMT", 0
	}
	if strings.ContainsAny(name, "+-0123456789") { // the time zone database has a name for few zones
		name = "LOCAL"
		if offset == -3*3600 {
			name = "BRT" // as the files of banks in Brazil have it
		}
	}
	return fmt.Sprintf("%s[%+d:%s]", local.Format("20060102150405.000"), offset/3600, name)
}

// ofxElements writes elements until the first error.
type ofxElements struct {
	*xml.Encoder
	begun []string // the elements that have no end yet
	err   error
}

func (e *ofxElements) open(names ...string) {
	for _, name := range names {
		if e.err == nil {
			e.err = e.EncodeToken(xml.StartElement{Name: xml.Name{Local: name}})
			e.begun = append(e.begun, name)
		}
	}
}

func (e *ofxElements) element(name string, value any) {
	if e.err == nil {
		e.err = e.EncodeElement(value, xml.StartElement{Name: xml.Name{Local: name}})
	}
}

// end ends the element that was begun last.
func (e *ofxElements) end() {
	if e.err != nil {
		return
	}
	last := len(e.begun) - 1
	e.err = e.EncodeToken(xml.EndElement{Name: xml.Name{Local: e.begun[last]}})
	e.begun = e.begun[:last]
}
