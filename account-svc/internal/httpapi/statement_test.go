package httpapi_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/web"
)

// pay moves money from one account to another, as transfer-svc does.
func (a *api) pay(transfer, from, to, amount string) {
	a.t.Helper()
	rec := a.do(request{method: "POST", path: accountapi.MovementsPath, header: http.Header{"Dapr-Api-Token": {appToken}}, body: fmt.Sprintf(
		`{"commands":[{"request_id":"%[1]s:debit","account_number":"%[2]s","type":"D","kind":"transfer","amount":"%[4]s","counterparty_account_number":"%[3]s","transfer_id":"%[1]s",
		"then":{"request_id":"%[1]s:credit","account_number":"%[3]s","type":"C","kind":"transfer","amount":"%[4]s","counterparty_account_number":"%[2]s","transfer_id":"%[1]s"}}]}`,
		transfer, from, to, amount)})
	if rec.Code != 200 || strings.Count(rec.Body.String(), `"applied"`) != 2 {
		a.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// statement asks for a statement.
func (a *api) statement(token, query string, header http.Header) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.do(request{method: "GET", path: "/api/account/statement/?" + query, token: token, header: header})
}

func TestStatement(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana")
	for i := range 5 {
		a.want(a.move(token, number, fmt.Sprint("d", i), "1.00", "C"), 204, "")
	}
	type listing struct {
		Items []struct {
			ID           string    `json:"id"`
			Type         string    `json:"type"`
			Amount       string    `json:"amount"`
			BalanceAfter string    `json:"balance_after"`
			Kind         string    `json:"kind"`
			Counterparty *string   `json:"counterparty_account_number"`
			Name         *string   `json:"counterparty_name"`
			Description  string    `json:"description"`
			TransferID   *string   `json:"transfer_id"`
			CreatedAt    time.Time `json:"created_at"`
		} `json:"items"`
		NextCursor *string `json:"next_cursor"`
	}
	path, cursor := "/api/account/statement/?limit=2", ""
	var balances []string
	for {
		var page listing
		rec := a.do(request{method: "GET", path: path + cursor, token: token})
		if err := json.Unmarshal(rec.Body.Bytes(), &page, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
		}
		for _, m := range page.Items {
			balances = append(balances, m.BalanceAfter)
			if m.Kind != "deposit" || m.Type != "C" || m.Description != "Depósito" || m.Counterparty != nil || m.Name != nil || m.TransferID != nil {
				t.Errorf("item %+v", m)
			}
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if got := strings.Join(balances, " "); got != "5.00 4.00 3.00 2.00 1.00" {
		t.Errorf("balances %s", got)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	if rec := a.do(request{method: "GET", path: "/api/account/statement?limit=1&from=" + today + "&to=" + today, token: token}); !strings.Contains(rec.Body.String(), `"balance_after":"5.00"`) {
		t.Errorf("today's statement: %s", rec.Body)
	}
	for nothing, period := range map[string]string{
		"from=2100-01-01T00:00:00Z&to=0001-01-01": `{"from":"2100-01-01T00:00:00Z","to":"0001-01-02T00:00:00Z","complete_until":"0001-01-02T00:00:00Z","opening_balance":"5.00","closing_balance":"5.00"}`,
		"to=0001-01-01T00:00:00Z":                 `{"from":null,"to":"0001-01-01T00:00:00Z","complete_until":"0001-01-01T00:00:00Z","opening_balance":"0.00","closing_balance":"0.00"}`,
	} {
		a.want(a.do(request{method: "GET", path: "/api/account/statement?" + nothing, token: token}), 200, `{"items":[],"next_cursor":null,"period":`+period+`}`)
	}
}

// A statement names the other customer of a transfer by number and name, and of a period it tells the balances before and
// after.
func TestStatementOfAPeriod(t *testing.T) {
	a := newAPI(t)
	ana, anaToken := a.register(anaCPF, "Ana Souza")
	bia, biaToken := a.register(biaCPF, "Bia Lima")
	a.move(anaToken, ana, "k1", "100.00", "C")
	a.pay("t1", ana, bia, "30.00")
	a.move(anaToken, ana, "k2", "5.00", "D")
	type page struct {
		Items []struct {
			BalanceAfter string    `json:"balance_after"`
			Number       *string   `json:"counterparty_account_number"`
			Name         *string   `json:"counterparty_name"`
			CreatedAt    time.Time `json:"created_at"`
		} `json:"items"`
		NextCursor *string `json:"next_cursor"`
		Period     *struct {
			Opening string `json:"opening_balance"`
			Closing string `json:"closing_balance"`
		} `json:"period"`
	}
	get := func(token, query string) (p page) {
		t.Helper()
		rec := a.statement(token, query, nil)
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != 200 {
			t.Fatalf("%s: %d %s, %v", query, rec.Code, rec.Body, err)
		}
		return p
	}
	all := get(anaToken, "")
	if all.Period != nil || len(all.Items) != 3 || *all.Items[1].Number != bia || *all.Items[1].Name != "Bia Lima" || all.Items[0].Name != nil {
		t.Fatalf("%+v", all)
	}
	if p := get(biaToken, "").Items; len(p) != 1 || *p[0].Number != ana || *p[0].Name != "Ana Souza" {
		t.Errorf("the other side has %+v", p)
	}
	instant := func(i int) string { return url.QueryEscape(all.Items[i].CreatedAt.Format(time.RFC3339Nano)) }
	for query, want := range map[string]string{
		"from=" + instant(2):                          "0.00 65.00 | 65.00 70.00 100.00",
		"from=" + instant(1):                          "100.00 65.00 | 65.00 70.00",
		"from=" + instant(1) + "&to=" + instant(0):    "100.00 70.00 | 70.00",
		"to=" + instant(1):                            "0.00 100.00 | 100.00",
		"to=" + instant(2):                            "0.00 0.00 |",
		"from=2100-01-01":                             "65.00 65.00 |",
		"from=" + instant(0) + "&to=" + instant(1):    "70.00 70.00 |",
		"from=" + instant(2) + "&limit=1":             "0.00 65.00 | 65.00",
		"from=" + instant(2) + "&cursor=Mw&limit=100": "0.00 65.00 | 70.00 100.00",
		"from=" + instant(1) + "&cursor=Mw":           "100.00 65.00 | 70.00",
		"to=" + instant(0) + "&cursor=Mw":             "0.00 70.00 | 70.00 100.00",
	} {
		p := get(anaToken, query)
		got := p.Period.Opening + " " + p.Period.Closing + " |"
		for _, item := range p.Items {
			got += " " + item.BalanceAfter
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// The form of a statement is what the parameter format says, or else what Accept prefers.
func TestStatementForms(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana Souza")
	const json, csvType, ofx = "application/json", "text/csv; charset=utf-8; header=present", "application/x-ofx"
	for _, test := range []struct{ format, accept, want string }{
		{"", "", json},
		{"", "*/*", json},
		{"", "text/csv", csvType},
		{"", "application/x-ofx", ofx},
		{"", "application/x-ofx;q=0.5, text/csv", csvType},
		{"", "text/csv;q=0.5, application/x-ofx, */*;q=0.1", ofx},
		{"", "text/csv;q=0, */*", json},
		{"", "text/html, application/xhtml+xml, */*;q=0.8", json},
		{"", "image/png", json},
		{"", ";;;", json},
		{"json", "text/csv", json},
		{"csv", "application/json", csvType},
		{"ofx", "", ofx},
	} {
		query, header := "from=2026-01-01T00:00:00Z&to=2026-01-02", http.Header{}
		if test.format != "" {
			query += "&format=" + test.format
		}
		if test.accept != "" {
			header.Set("Accept", test.accept)
		}
		rec := a.statement(token, query, header)
		if got := rec.Header().Get("Content-Type"); rec.Code != 200 || got != test.want || rec.Header().Get("Vary") != "Accept, Accept-Language" {
			t.Errorf("format %q, Accept %q: %d %s %v", test.format, test.accept, rec.Code, got, rec.Header())
		}
		extension := map[string]string{csvType: "csv", ofx: "ofx"}[test.want]
		name := rec.Header().Get("Content-Disposition")
		if want := `attachment; filename=extrato-` + number + `-2026-01-01-a-2026-01-02.` + extension; extension != "" && name != want {
			t.Errorf("%s, want %s", name, want)
		}
	}
}

// Amounts in CSV have a comma or a point as the parameter decimal says, or else as in the client's language.
func TestDecimalSign(t *testing.T) {
	a := newAPI(t)
	_, token := a.register(anaCPF, "Ana Souza")
	const comma, point = "0,00", "0.00"
	for _, test := range []struct{ decimal, language, want string }{
		{"", "", comma},
		{"", "*", comma},
		{"", "pt-BR, en;q=0.5", comma},
		{"", "pt", comma},
		{"", "de", comma},
		{"", "en;q=0.5, es-AR", comma},
		{"", "es-MX", point},
		{"", "en-US, pt;q=0.9", point},
		{"", "!!!", comma},
		{"point", "pt-BR", point},
		{"comma", "en", comma},
	} {
		query, header := "format=csv&from=2026-01-01&to=2026-01-02", http.Header{}
		if test.decimal != "" {
			query += "&decimal=" + test.decimal
		}
		if test.language != "" {
			header.Set("Accept-Language", test.language)
		}
		rec := a.statement(token, query, header)
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), test.want) {
			t.Errorf("decimal %q, language %q: %d %s", test.decimal, test.language, rec.Code, rec.Body)
		}
	}
}

// A file has the movements of its period, oldest first, between the balances before and after.
func TestStatementFile(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana Souza")
	bia, _ := a.register(biaCPF, "Bia Lima")
	a.move(token, ana, "k1", "100.00", "C")
	begin := time.Now()
	a.pay("t1", ana, bia, "30.00")
	a.move(token, ana, "k2", "5.00", "D")
	from := "from=" + url.QueryEscape(begin.UTC().Format(time.RFC3339Nano))
	rec := a.statement(token, "format=csv&decimal=point&"+from, nil)
	lines, err := csv.NewReader(strings.NewReader(rec.Body.String())).ReadAll()
	if err != nil || len(lines) != 5 {
		t.Fatalf("%d %s, %v", rec.Code, rec.Body, err)
	}
	var got []string
	for _, line := range lines[1:] {
		got = append(got, strings.Join(line[2:8], "|"))
	}
	want := []string{
		"saldo inicial|||100.00||",
		"transferência|Transferência enviada|-30.00|70.00|" + bia + "|Bia Lima",
		"saque|Saque|-5.00|65.00||",
		"saldo final|||65.00||",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ofx := a.statement(token, "format=ofx&"+from, nil).Body.String()
	for _, want := range []string{"<ACCTID>" + ana + "</ACCTID>", "<BALAMT>65.00</BALAMT>", "<VALUE>100.00</VALUE>", "<TRNAMT>-30.00</TRNAMT>", "<NAME>Bia Lima</NAME>"} {
		if strings.Count(ofx, want) != 1 {
			t.Errorf("no %s in %s", want, ofx)
		}
	}
	for what, text := range map[string]string{"CSV": rec.Body.String(), "OFX": ofx} {
		if strings.Contains(text, anaCPF) || strings.Contains(text, biaCPF) {
			t.Errorf("the %s has a CPF", what)
		}
	}
}

// A statement says up to which instant nothing can be added to it any more: in JSON, and beside a file.
func TestStatementSaysHowFarItIsComplete(t *testing.T) {
	a := newAPI(t)
	_, token := a.register(anaCPF, "Ana Souza")
	said := func(form, period string) time.Time {
		t.Helper()
		rec := a.statement(token, "format="+form+"&"+period, nil)
		text := rec.Header().Get("Statement-Complete-Until")
		if form == "json" {
			var page struct {
				Period struct {
					Until string `json:"complete_until"`
				} `json:"period"`
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			text = page.Period.Until
		}
		until, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatalf("%s, %s: %d %v: %v", form, period, rec.Code, rec.Header(), err)
		}
		return until
	}
	for _, form := range []string{"json", "csv", "ofx"} {
		now := time.Now()
		text := func(at time.Time) string { return url.QueryEscape(at.UTC().Format(time.RFC3339Nano)) }
		from := "from=" + text(now.Add(-time.Hour))
		for what, to := range map[string]string{"no end": "", "an end in the future": "&to=" + text(now.Add(time.Hour)), "an end just now": "&to=" + text(now)} {
			if until := said(form, from+to); until.Before(now.Add(-2*time.Minute)) || until.After(now.Add(-time.Minute/2)) {
				t.Errorf("%s, %s: complete until %s, and now it is %s", form, what, until, now)
			}
		}
		end := now.Add(-time.Minute * 2)
		if until := said(form, from+"&to="+text(end)); !until.Equal(end) {
			t.Errorf("%s: a period until %s is complete until %s", form, end, until)
		}
	}
}

// A request of which no file can be made is refused before the first byte.
func TestStatementFileRefuses(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana Souza")
	for query, message := range map[string]string{
		"format=pdf&from=2026-01-01":                                   "format deve ser",
		"format=&from=2026-01-01":                                      "format deve ser",
		"format=csv":                                                   "Campo obrigatório: from.",
		"format=ofx&to=2026-01-01":                                     "Campo obrigatório: from.",
		"format=csv&from=ontem":                                        "from deve ser uma data",
		"format=csv&from=2026-01-01&to=amanha":                         "to deve ser uma data",
		"format=csv&from=2026-01-03&to=2026-01-02":                     "deve começar antes",
		"format=csv&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z": "deve começar antes",
		"format=csv&from=2100-01-01":                                   "deve começar antes",
		"format=csv&from=2024-01-01&to=2025-01-01":                     "no máximo 366 dias",
		"format=ofx&from=2024-01-01":                                   "no máximo 366 dias",
		"format=csv&from=2026-01-01&decimal=dot":                       "decimal deve ser",
		"format=csv&from=2026-01-01&limit=10":                          "Parâmetro desconhecido: limit.",
		"format=csv&format=csv&from=2026-01-01":                        "Parâmetro repetido: format.",
		"format=csv&from=2026-01-01&cursor=Mw":                         "Parâmetro desconhecido: cursor.",
		"format=json&from=2026-01-01&from=2026-01-01":                  "Parâmetro repetido: from.",
	} {
		rec := a.statement(token, query, nil)
		if body := rec.Body.String(); rec.Code != 400 || !strings.Contains(body, message) || !strings.Contains(body, `"type":"INVALID_ARGUMENT"`) {
			t.Errorf("%s: %d %s", query, rec.Code, body)
		}
	}
	for _, fits := range []string{"from=2024-01-01&to=2024-12-31", "from=2025-01-01&to=2026-01-01"} { // 366 days each
		if rec := a.statement(token, "format=csv&"+fits, nil); rec.Code != 200 {
			t.Errorf("%s: %d %s", fits, rec.Code, rec.Body)
		}
	}
	a.move(token, ana, "k", "1.00", "C")
	a.move(token, ana, "l", "1.00", "D")
	a.deactivate(token, password)
	rec := a.statement(token, "format=csv&from="+time.Now().UTC().Format(time.DateOnly), nil)
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "INACTIVE_ACCOUNT") {
		t.Errorf("a closed account: %d %s", rec.Code, rec.Body)
	}
}

// heapWatcher is a client that takes a file without keeping it. Each mebibyte it measures the memory that is in use.
type heapWatcher struct {
	header     http.Header
	status     int
	size, next int
	most       uint64
}

func (w *heapWatcher) Header() http.Header    { return w.header }
func (w *heapWatcher) WriteHeader(status int) { w.status = status }

func (w *heapWatcher) Write(p []byte) (int, error) {
	if w.size += len(p); w.size >= w.next {
		w.next += 1 << 20
		w.most = max(w.most, heap())
	}
	return len(p), nil
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// The file of 100,000 movements takes hardly more memory than that of 1,000: from the database to the client, the service has
// never more than a page of them.
func TestMemoryStaysFlat(t *testing.T) {
	a := newAPI(t)
	const few, many = 1_000, 100_000
	number, token := a.register(anaCPF, "Ana Souza")
	for i, n := range []int{few, many} {
		before := 0
		if i > 0 {
			before = few
		}
		a.exec(`WITH RECURSIVE i (i) AS (SELECT $1 + 1 UNION ALL SELECT i + 1 FROM i WHERE i < $2)
			INSERT INTO movements SELECT '00000000-0000-0000-0000-' || (100000000000 + i), 'bulk ' || i, 'f', (SELECT id FROM accounts WHERE number = $3), i, 'C', 1, 'cash',
				'deposit', '', '', 'Depósito', i, 1767225600000000 + i, NULL, NULL FROM i`, before, n, number)
		a.exec("UPDATE accounts SET balance = $1, version = $1 WHERE number = $2", n, number)
		for _, form := range []string{"csv", "ofx"} {
			w := &heapWatcher{header: http.Header{}}
			req := httptest.NewRequestWithContext(t.Context(), "GET", "/api/account/statement?from=2026-01-01&to=2026-01-31&format="+form, nil)
			req.Header.Set("Authorization", "Bearer "+token)
			begin, base := time.Now(), heap()
			a.router.ServeHTTP(w, req)
			if w.status != 200 || strconv.Itoa(w.size) != w.header.Get("Content-Length") || w.size < n*80 || w.size > web.MaxFileBytes {
				t.Fatalf("%s: status %d, %d bytes of %s", form, w.status, w.size, w.header.Get("Content-Length"))
			}
			grown := int64(w.most) - int64(base)
			t.Logf("%s of %d movements: %d bytes in %v, %d KiB more in use", form, n, w.size, time.Since(begin).Round(time.Millisecond), grown>>10)
			if grown > 4<<20 {
				t.Errorf("%s of %d movements: %d bytes more are in use meanwhile", form, n, grown)
			}
		}
	}
}
