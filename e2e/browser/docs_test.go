package browser_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// block is the selector of an operation.
func block(operation string) string { return `.opblock[id$="-` + operation + `"]` }

// try opens an operation and makes its form appear.
func (b *browser) try(operation string) {
	b.Helper()
	b.click(block(operation) + " .opblock-summary-control")
	b.click(block(operation) + " .try-out__btn")
}

// execute sends what the form of an operation holds, and returns the answer as the page shows it.
func (b *browser) execute(operation, wantStatus string) (answer map[string]any) {
	b.Helper()
	b.click(block(operation) + " .execute")
	row := block(operation) + " .live-responses-table .response"
	if status := strings.TrimSpace(b.text(row + " .response-col_status")); !strings.HasPrefix(status, wantStatus) {
		b.Fatalf("%s: status %s, want %s: %s", operation, status, wantStatus, b.text(row))
	}
	if wantStatus == "204" {
		return nil
	}
	shown := b.text(row + " .response-col_description .highlight-code code")
	if err := json.Unmarshal([]byte(shown), &answer); err != nil {
		b.Fatalf("%s shows %s: %v", operation, shown, err)
	}
	return answer
}

// english is what Swagger UI says where the page should say it in Portuguese.
var english = regexp.MustCompile(`(?i)\b(try it out|execute|cancel|clear|authorize|parameters?|request|responses?|code|details|description|example|schema|value|header|servers?|links|loading|no|name|type|download|available|close)\b`)

// wantPortuguese checks the words on buttons and in headings, which are Swagger UI's own, and not from a document.
func (b *browser) wantPortuguese() {
	b.Helper()
	const own = `[...document.querySelectorAll("button, h4, h5, th, td.col_header, .tab, label, .response-control-media-type, .response-col_links")]
		.filter((at) => !at.closest(".opblock-summary, .microlight, .markdown")).map((at) => at.innerText).join("\n")`
	words, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](own))
	if err != nil {
		b.fail(err)
	}
	if found := english.FindAllString(words, -1); found != nil || !strings.Contains(words, "Executar") {
		b.Errorf("the page says %q in\n%s", found, words)
	}
}

// A reader goes from registering to the fee by clicks alone: the only thing to write is the token. The token is there in the
// other documents and after a reload, the page complains of nothing, and its files are loaded once.
func TestSwaggerUI(t *testing.T) {
	b := open(t, system.URL())
	b.do(chromedp.Navigate(system.URL() + "/swagger/"))

	b.try("move") // its form is there before anybody knows the account's number, which it needs
	b.try("register")
	ana := b.execute("register", "201")
	b.click(block("register") + " .btn-clear")
	b.choose(block("register")+" .examples-select-element", "bia")
	bia := b.execute("register", "201")
	b.try("login")
	login := b.execute("login", "200")
	token, number := login["token"].(string), login["account_number"].(string)
	if number != ana["account_number"] || number == bia["account_number"] {
		t.Fatalf("Ana registers as %v, Bia as %v, and Ana logs in as %v", ana, bia, login)
	}
	system.KeepSecret(token)
	b.click(".auth-wrapper .authorize")
	b.do(chromedp.SendKeys(chromedp.CSS(".auth-container input"), token))
	b.click(".auth-container .auth-btn-wrapper .authorize")
	b.wantPortuguese()
	b.click(".auth-container .btn-done")

	b.execute("move", "204")
	b.try("balance")
	if balance := b.execute("balance", "200"); balance["balance"] != "1000.00" || balance["account_number"] != number {
		t.Errorf("balance %v", balance)
	}
	b.wantPortuguese()

	b.choose("#document", "transfer")
	b.try("transfer")
	if *screenshot != "" {
		b.picture(*screenshot)
	}
	receipt := b.execute("transfer", "200")
	if receipt["destination_account_number"] != bia["account_number"] || receipt["amount"] != "150.00" {
		t.Errorf("receipt %v", receipt)
	}
	b.try("detail")
	if detail := b.execute("detail", "200"); detail["id"] != receipt["transfer_id"] {
		t.Errorf("the transfer %v is shown as %v", receipt, detail)
	}
	b.wantPortuguese()

	b.choose("#document", "fee")
	b.wantFiles(false)
	system.Settle(t) // the fee follows a moment after the transfer
	b.do(chromedp.Reload())
	b.try("mine")
	if fees, _ := b.execute("mine", "200")["items"].([]any); len(fees) != 1 {
		t.Errorf("fees %v", fees)
	}
	b.wantFiles(true)
	b.try("detail")
	if fee := b.execute("detail", "200"); fee["transfer_id"] != receipt["transfer_id"] || fee["amount"] != "2.00" {
		t.Errorf("the fee of %v is %v", receipt, fee)
	}
	b.wantPortuguese()
	b.wantNoProblem()
	system.CheckBooks(t)
}
