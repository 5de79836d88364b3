package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/bankmore/bankmore/cli/internal/lang"
	"github.com/bankmore/bankmore/client"
)

// The codes that the program exits with. Scripts rely on them: `bankmore help exit-codes` says what they mean.
const (
	codeDone        = 0
	codeOther       = 1
	codeUsage       = 2
	codeRefused     = 3
	codeNotLoggedIn = 4
	codeUnavailable = 5
	codeUnknown     = 6
	codeUndecided   = 7
	codeInterrupted = 130
)

// problem is why a command has not done what it was asked for.
type problem struct {
	code      int
	kind      string // of a refusal: the API's type, such as INSUFFICIENT_BALANCE
	message   string // for people
	requestID string // to quote, if the bank has one
	payment   string // the ID of the payment whose outcome is not known
}

func (p *problem) Error() string { return p.message }

// report writes a problem to the standard error.
func (a *app) report(p *problem) {
	if !a.json {
		text := p.message
		if p.requestID != "" {
			text += a.l.Say(" (protocolo %s)", " (request id %s)", p.requestID)
		}
		fmt.Fprintln(a.Err, "bankmore: "+lines(text))
		return
	}
	_ = json.NewEncoder(a.Err).Encode(map[string]any{"error": struct {
		Code      int    `json:"code"`
		Type      string `json:"type,omitempty"`
		Message   string `json:"message"`
		RequestID string `json:"request_id,omitempty"`
		Payment   string `json:"payment,omitempty"`
	}{p.code, p.kind, p.message, p.requestID, p.payment}})
}

func (a *app) usage(portuguese, english string, args ...any) *problem {
	return &problem{code: codeUsage, message: a.l.Say(portuguese, english, args...)}
}

// other is a problem with this machine, such as a full disk.
func (a *app) other(err error) *problem {
	if errors.Is(err, context.Canceled) {
		return a.interrupted()
	}
	return &problem{code: codeOther, message: err.Error()}
}

func (a *app) interrupted() *problem {
	return &problem{code: codeInterrupted, message: a.l.Say("Interrompido.", "Interrupted.")}
}

// explain says what an error of the client means for a request that changes nothing.
func (a *app) explain(ctx context.Context, err error) *problem {
	if ctx.Err() != nil {
		return a.interrupted()
	}
	var failure *client.Failure
	if !errors.As(err, &failure) {
		return &problem{code: codeUnavailable, message: a.l.Say("O banco não responde em %s: %v.", "The bank does not answer at %s: %v.", a.url, cause(err))}
	}
	p := &problem{kind: failure.Type, requestID: failure.Header.Get("X-Request-ID")}
	switch {
	case failure.Type == "":
		p.code = codeUnavailable
		p.message = a.l.Say("Em %s não responde o BankMore (HTTP %d): BANKMORE_URL está certo?", "What answers at %s is not BankMore (HTTP %d): is BANKMORE_URL right?", a.url, failure.Status)
	case failure.Status >= 500 || failure.Status == http.StatusRequestTimeout || failure.Status == http.StatusConflict:
		p.code = codeUnavailable
		p.message = a.l.Say("O banco não pode responder agora (HTTP %d).", "The bank cannot answer now (HTTP %d).", failure.Status)
	case failure.Status == http.StatusTooManyRequests:
		p.code = codeUnavailable
		wait := failure.Header.Get("Retry-After")
		if wait == "" {
			wait = "?"
		}
		p.message = a.l.Say("Pedidos demais: tente de novo em %s s (HTTP 429).", "Too many requests: try again in %s s (HTTP 429).", wait)
	case failure.Type == "INVALID_TOKEN" || failure.Type == "USER_UNAUTHORIZED":
		p.code, p.requestID = codeNotLoggedIn, ""
		p.message = a.l.Say("A sessão terminou: use `bankmore login`.", "The session has ended: use `bankmore login`.")
	default:
		p.code, p.requestID = codeRefused, ""
		p.message = a.reason(failure.Type, failure.Message)
	}
	return p
}

// cause is the error without the method and the URL that http.Client puts before it.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// reasons are the bank's refusals in both languages.
var reasons = map[string][2]string{
	"INVALID_DOCUMENT":     {"CPF inválido ou já cadastrado.", "The CPF is not valid, or has an account already."},
	"INVALID_ARGUMENT":     {"Um dado está faltando ou é inválido.", "Something is missing or not valid."},
	"INVALID_VALUE":        {"Valor inválido.", "The amount is not valid."},
	"INVALID_ACCOUNT":      {"Conta não encontrada.", "There is no such account."},
	"INACTIVE_ACCOUNT":     {"Conta inativa.", "The account is closed."},
	"INSUFFICIENT_BALANCE": {"Saldo insuficiente.", "The balance is not enough."},
	"INVALID_TRANSFER":     {"Transferência inválida.", "The transfer is not possible."},
	"INVALID_TYPE":         {"Tipo de movimento inválido.", "The type of movement is not valid."},
	"NOT_FOUND":            {"Recurso não encontrado.", "There is no such thing."},
	"INVALID_OPERATION":    {"Operação não permitida.", "This is not allowed."},
	"IDEMPOTENCY_CONFLICT": {"Esta chave já foi usada para outro pagamento.", "This key was used for another payment."},
	"USER_UNAUTHORIZED":    {"CPF ou senha incorretos.", "The CPF or the password is wrong."},
}

// reason returns why the bank has refused. In Portuguese this is the bank's own message, if there is one. In English the bank's
// message follows the translation of its type, since it may say more: which field, which limit.
func (a *app) reason(kind, message string) string {
	known, ok := reasons[kind]
	message = visible(message)
	switch {
	case message == "" && !ok:
		return kind
	case message == "":
		return a.l.Say(known[0], known[1])
	case a.l == lang.Portuguese:
		return message
	case !ok:
		return kind + ": " + message
	case message == known[0]:
		return known[1]
	}
	return known[1] + " (The bank says: " + message + ")"
}
