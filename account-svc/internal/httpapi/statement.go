package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/elnormous/contenttype"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"github.com/bankmore/bankmore/account-svc/internal/httpapi/statementfile"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
)

// completeUntilHeader of a file is the instant before which nothing can be added to the statement (RFC 3339).
const completeUntilHeader = "Statement-Complete-Until"

// maxFileDays is the longest period of a file, in days: a leap year.
const maxFileDays = 366

var (
	errFormat       = fault.BadArgument("format deve ser json, csv ou ofx.")
	errDecimal      = fault.BadArgument("decimal deve ser comma (vírgula) ou point (ponto).")
	errPeriodOrder  = fault.BadArgument("O período do extrato deve começar antes do seu fim: from antes de to, e antes de agora.")
	errPeriodLength = fault.BadArgument(fmt.Sprintf("O período de um arquivo tem no máximo %d dias.", maxFileDays))
)

// The forms of a statement: the value of the parameter format, and the media type in Accept. JSON comes first, so it is what
// clients get who take anything.
var (
	formats    = []string{"json", "csv", "ofx"}
	mediaTypes = []contenttype.MediaType{
		contenttype.NewMediaType("application/json"), contenttype.NewMediaType("text/csv"), contenttype.NewMediaType(statementfile.OFXMediaType),
	}
)

// statement answers in the form that the request asks for: pages in JSON, or a file. The parameter decimal may stand in any
// request, so that a client need not know which forms it changes.
func (h handlers) statement() http.Handler {
	files := &filesUnderWay{accounts: map[string]bool{}}
	forms := map[string]http.Handler{
		"json": web.Handler(h.statementPage).Accepting("format", "decimal", "from", "to", "cursor", "limit"),
		"csv":  files.limit(web.FileHandler(h.statementCSV).Accepting("format", "decimal", "from", "to")),
		"ofx":  files.limit(web.FileHandler(h.statementOFX).Accepting("format", "decimal", "from", "to")),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept, Accept-Language")
		form := forms[format(r)]
		if form == nil {
			web.WriteError(w, r, errFormat)
			return
		}
		form.ServeHTTP(w, r)
	})
}

// format returns the form that a request asks for, by the parameter format or else by the header Accept. Whoever accepts none
// of the forms gets JSON, as everybody did before there were others.
func format(r *http.Request) string {
	if query := r.URL.Query(); query.Has("format") {
		return query.Get("format")
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return "json"
	}
	chosen, _, err := contenttype.GetAcceptableMediaTypeFromHeader(accept, mediaTypes)
	if err != nil {
		return "json"
	}
	for i, media := range mediaTypes {
		if media.EqualsMIME(chosen) {
			return formats[i]
		}
	}
	return "json"
}

type movementItem struct {
	ID               string      `json:"id"`
	Type             ledger.Type `json:"type"`
	Amount           money.Cents `json:"amount"`
	BalanceAfter     money.Cents `json:"balance_after"`
	Kind             ledger.Kind `json:"kind"`
	Counterparty     *string     `json:"counterparty_account_number"`
	CounterpartyName *string     `json:"counterparty_name"`
	Description      string      `json:"description"`
	TransferID       *string     `json:"transfer_id"`
	CreatedAt        time.Time   `json:"created_at"`
}

// periodItem is about the period that the query names with from, to, or both.
type periodItem struct {
	From          *time.Time  `json:"from"`
	To            *time.Time  `json:"to"`
	CompleteUntil time.Time   `json:"complete_until"`
	Opening       money.Cents `json:"opening_balance"`
	Closing       money.Cents `json:"closing_balance"`
}

type statementPage struct {
	web.Listing[movementItem]

	Period *periodItem `json:"period,omitzero"`
}

func (h handlers) statementPage(r *http.Request) (web.Answer, error) {
	page, err := web.PageFrom(r)
	if err != nil {
		return web.Answer{}, err
	}
	var filter ledger.Filter
	if page.After != "" {
		if filter.Before, err = position(page.After); err != nil {
			return web.Answer{}, err
		}
	}
	from, to, err := h.periodFrom(r.URL.Query())
	if err != nil {
		return web.Answer{}, err
	}
	var answer statementPage
	if from != nil || to != nil {
		period, err := h.Ledger.Period(r.Context(), caller(r).AccountID(), from, to)
		if err != nil {
			return web.Answer{}, err
		}
		filter.After = period.Opening.Seq
		if end := period.Closing.Seq + 1; filter.Before == 0 || filter.Before > end {
			filter.Before = end
		}
		answer.Period = &periodItem{
			From: utc(from), To: utc(to), CompleteUntil: period.CompleteUntil.UTC(),
			Opening: period.Opening.Balance, Closing: period.Closing.Balance,
		}
	}
	movements, err := h.Ledger.Statement(r.Context(), caller(r).AccountID(), filter, page.Limit+1)
	if err != nil {
		return web.Answer{}, err
	}
	rows := web.List(movements, page.Limit, func(m ledger.Movement) string { return strconv.FormatInt(m.Seq, 10) })
	answer.Listing = web.Listing[movementItem]{Items: make([]movementItem, len(rows.Items)), NextCursor: rows.NextCursor}
	for i := range rows.Items {
		m := &rows.Items[i]
		answer.Items[i] = movementItem{
			ID: m.ID, Type: m.Type, Amount: m.Amount, BalanceAfter: m.BalanceAfter, Kind: m.Kind,
			Counterparty: optional(&m.Counterparty), CounterpartyName: optional(&m.CounterpartyName), Description: m.Description,
			TransferID: optional(&m.TransferID), CreatedAt: m.CreatedAt,
		}
	}
	return web.JSON(http.StatusOK, answer)
}

// position reads what a cursor holds: the Seq of the last movement of the page before.
func position(text string) (int64, error) {
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 1 || strconv.FormatInt(seq, 10) != text {
		return 0, web.ErrBadCursor
	}
	return seq, nil
}

// periodFrom reads from and to. A bound that the query leaves out is nil.
func (h handlers) periodFrom(values url.Values) (from, to *time.Time, err error) {
	if from, err = bound(values, "from", h.Zone, false); err != nil {
		return nil, nil, err
	}
	to, err = bound(values, "to", h.Zone, true)
	return from, to, err
}

// statementCSV returns the statement of a period for spreadsheets.
func (h handlers) statementCSV(r *http.Request) (web.File, error) {
	comma, err := decimalComma(r)
	if err != nil {
		return web.File{}, err
	}
	return h.statementFile(r, statementfile.CSVMediaType, "csv", func(w io.Writer, s statementfile.Statement) error {
		return statementfile.CSV(w, s, comma)
	})
}

// statementOFX returns the statement of a period for accounting programs.
func (h handlers) statementOFX(r *http.Request) (web.File, error) {
	return h.statementFile(r, statementfile.OFXMediaType, "ofx", statementfile.OFX)
}

// statementFile returns a file with the statement of the period that the query names. A period that has not ended yet ends with
// the request, and so does one without the parameter to.
func (h handlers) statementFile(
	r *http.Request, mediaType, extension string, write func(io.Writer, statementfile.Statement) error,
) (web.File, error) {
	from, to, err := h.periodFrom(r.URL.Query())
	if err != nil {
		return web.File{}, err
	}
	if from == nil {
		return web.File{}, web.Missing("from")
	}
	now := time.Now()
	end := now
	if to != nil && to.Before(now) {
		end = *to
	}
	if !from.Before(end) {
		return web.File{}, errPeriodOrder
	}
	if end.After(from.In(h.Zone.Location).AddDate(0, 0, maxFileDays)) {
		return web.File{}, errPeriodLength
	}
	id := caller(r).AccountID()
	account, err := h.Ledger.Balance(r.Context(), id)
	if err != nil {
		return web.File{}, err
	}
	period, err := h.Ledger.Period(r.Context(), id, from, &end)
	if err != nil {
		return web.File{}, err
	}
	statement := statementfile.Statement{
		BankCode: h.BankCode, Account: account.Number, From: *from, To: end, CompleteUntil: period.CompleteUntil,
		Opening: period.Opening.Balance, Closing: period.Closing.Balance, Made: now, Zone: h.Zone.Location,
	}
	day := func(t time.Time) string { return t.In(h.Zone.Location).Format(time.DateOnly) }
	return web.File{
		MediaType: mediaType,
		Header:    map[string]string{completeUntilHeader: period.CompleteUntil.UTC().Format(time.RFC3339Nano)},
		Name:      fmt.Sprintf("extrato-%s-%s-a-%s.%s", account.Number, day(*from), day(end.Add(-1)), extension),
		Write: func(ctx context.Context, w io.Writer) error {
			s := statement
			s.Walk = func(visit func(ledger.Movement) error) error { return ledger.Walk(ctx, h.Ledger, id, period, visit) }
			return write(w, s)
		},
	}, nil
}

// decimalComma reports whether amounts have a comma before the cents. The parameter decimal says so, or else the language that the
// client prefers. Without either, amounts have a comma, as in Brazil.
func decimalComma(r *http.Request) (bool, error) {
	if query := r.URL.Query(); query.Has("decimal") {
		chosen := query.Get("decimal")
		if chosen != "comma" && chosen != "point" {
			return false, errDecimal
		}
		return chosen == "comma", nil
	}
	languages, _, err := language.ParseAcceptLanguage(strings.Join(r.Header.Values("Accept-Language"), ","))
	if err != nil || len(languages) == 0 {
		return true, nil //nolint:nilerr // a header that cannot be read says nothing
	}
	if base, _ := languages[0].Base(); base.String() == "und" || base.String() == "mul" { // "any language"
		return true, nil
	}
	return !strings.Contains(message.NewPrinter(languages[0]).Sprint(number.Decimal(0.5)), "."), nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// optional returns nil for an empty text, which is null in JSON.
func optional(text *string) *string {
	if *text == "" {
		return nil
	}
	return text
}
