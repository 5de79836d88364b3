package command

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/bankmore/bankmore/cli/internal/amount"
	"github.com/bankmore/bankmore/cli/internal/journal"
	"github.com/bankmore/bankmore/client"
)

// Kinds of payments.
const (
	kindTransfer   = "transfer"
	kindDeposit    = "deposit"
	kindWithdrawal = "withdrawal"
)

// retries are the pauses before a payment is sent again with the same key, because its outcome is not known.
var retries = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// A transfer that has not ended is asked about this often, and for this long if it is not said otherwise.
const (
	watchInterval = time.Second
	watchTime     = 5 * time.Minute
)

// outcome is what the bank says about a payment; its form in JSON is promised to scripts.
type outcome struct {
	Kind        string `json:"kind"`
	Status      string `json:"status"` // COMPLETED, or PENDING for a transfer that has not ended
	Account     string `json:"account_number"`
	Destination string `json:"destination_account_number,omitempty"`
	Amount      string `json:"amount"`
	TransferID  string `json:"transfer_id,omitempty"`
	Key         string `json:"request_id"`
	Repeated    bool   `json:"repeated"` // a repetition of a payment begun earlier, and not another payment
}

// payFlags are what the commands that move money have in common.
type payFlags struct {
	key     string
	watch   bool
	timeout time.Duration
}

func (a *app) addKeyFlag(cmd *cobra.Command, f *payFlags) {
	cmd.Flags().StringVar(&f.key, "key", "", a.l.Say("`CHAVE` sua para o pagamento: a mesma chave paga uma só vez", "`KEY` of your own for the payment: the same key pays once"))
}

func (a *app) addWatchFlags(cmd *cobra.Command, f *payFlags) {
	cmd.Flags().BoolVar(&f.watch, "watch", false, a.l.Say("espera até a transferência terminar", "waits until the transfer has ended"))
	cmd.Flags().DurationVar(&f.timeout, "timeout", watchTime, a.l.Say("com --watch: espera no máximo este `TEMPO` (5m se não for dito)", "with --watch: waits for at most this `TIME` (5m if not said)"))
	cmd.Flag("timeout").DefValue = "0" // the text says it
}

func (a *app) deposit() *cobra.Command    { return a.move(kindDeposit) }
func (a *app) withdrawal() *cobra.Command { return a.move(kindWithdrawal) }

func (a *app) move(kind string) *cobra.Command {
	var f payFlags
	cmd := &cobra.Command{Args: a.takes(1, a.l.Say("VALOR", "AMOUNT")), RunE: func(cmd *cobra.Command, args []string) error {
		return a.order(cmd.Context(), kind, "", args[0], f)
	}}
	a.addKeyFlag(cmd, &f)
	return cmd
}

func (a *app) transfer() *cobra.Command {
	var f payFlags
	cmd := &cobra.Command{Args: a.takes(2, a.l.Say("CONTA", "ACCOUNT"), a.l.Say("VALOR", "AMOUNT")), RunE: func(cmd *cobra.Command, args []string) error {
		return a.order(cmd.Context(), kindTransfer, args[0], args[1], f)
	}}
	a.addKeyFlag(cmd, &f)
	a.addWatchFlags(cmd, &f)
	return cmd
}

var accountForm = regexp.MustCompile(`^[0-9]{1,10}$`)

// order checks what was typed, and pays.
func (a *app) order(ctx context.Context, kind, destination, typed string, f payFlags) error {
	value, err := amount.Parse(typed)
	if err != nil {
		return a.badAmount(typed, err)
	}
	if kind == kindTransfer && !accountForm.MatchString(destination) {
		return a.usage("o número da conta %q não tem de 1 a 10 algarismos", "the account number %q has not 1 to 10 digits", destination)
	}
	if f.key != "" && !keyForm(f.key) {
		return a.usage("a chave tem de 1 a 255 caracteres visíveis", "a key has 1 to 255 visible characters")
	}
	if f.timeout < 0 {
		return a.usage("--timeout é negativo", "--timeout is negative")
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	p := journal.Payment{URL: a.url, Account: s.Number, Kind: kind, Destination: destination, Amount: value}
	if f.key != "" {
		return a.pay(ctx, s, keyed{entry: journal.Entry{Payment: p, Key: f.key}}, f)
	}
	attempt, err := a.journal().Begin(ctx, p, a.Now)
	var undecided *journal.UndecidedError
	switch {
	case errors.As(err, &undecided):
		return a.undecided(undecided.Entry)
	case ctx.Err() != nil:
		return a.interrupted()
	case err != nil:
		return &problem{code: codeOther, message: a.l.Say("Nada foi enviado: %v", "Nothing was sent: %v", err)}
	}
	defer attempt.End()
	if attempt.Repeated {
		a.note("O desfecho deste pagamento, iniciado em %s, não é conhecido. Ele é enviado de novo com a mesma chave: paga uma só vez.",
			"The outcome of this payment, begun at %s, is not known. It is sent again with the same key: it pays once.", a.when(attempt.Begun))
	}
	return a.pay(ctx, s, keyed{entry: attempt.Entry, attempt: attempt, maybeSent: attempt.Repeated}, f)
}

func keyForm(key string) bool {
	if !utf8.ValidString(key) || utf8.RuneCountInString(key) > 255 {
		return false
	}
	return visible(key) == key && strings.TrimSpace(key) == key
}

func (a *app) badAmount(typed string, err error) error {
	switch {
	case errors.Is(err, amount.ErrAmbiguous):
		return a.usage("%s pode ser lido de duas maneiras: escreva os centavos, como 1234,56 ou 1.234,56", "%s can be read in two ways: write the cents, as in 1234.56 or 1,234.56", typed)
	case errors.Is(err, amount.ErrZero):
		return a.usage("o valor é zero", "the amount is zero")
	case errors.Is(err, amount.ErrTooLarge):
		return a.usage("o valor tem mais de 15 algarismos", "the amount has more than 15 digits")
	}
	return a.usage("%q não é um valor: escreva 1234, 1234,56 ou 1.234,56", "%q is no amount: write 1234, 1234.56 or 1,234.56", typed)
}

func (a *app) undecided(e journal.Entry) error {
	return &problem{code: codeUndecided, payment: e.ID(), message: a.l.Say(
		"Nada foi enviado. O mesmo pagamento, iniciado em %s, ainda não tem desfecho conhecido: este é a repetição dele, ou outro?\n"+
			"  bankmore pending repeat %[2]s   # a repetição: paga uma só vez\n"+
			"  bankmore pending forget %[2]s   # outro: esquece aquele; depois repita este comando",
		"Nothing was sent. The outcome of the same payment, begun at %s, is still not known: is this its repetition, or another?\n"+
			"  bankmore pending repeat %[2]s   # its repetition: pays once\n"+
			"  bankmore pending forget %[2]s   # another: forgets that one; then repeat this command", a.when(e.Begun), e.ID())}
}

// keyed is a payment with its key. The attempt is nil if the key is the caller's own.
type keyed struct {
	entry     journal.Entry
	attempt   *journal.Attempt
	maybeSent bool // by an earlier command
}

// pay sends the payment until its outcome is known, or it is given up. It shows the outcome, and only then forgets the key: if
// nobody could read the outcome, the same command will tell it again.
func (a *app) pay(ctx context.Context, s *client.Session, k keyed, f payFlags) error {
	repeated := k.maybeSent
	result, err := a.send(ctx, s, &k)
	if err == nil && result.Status == client.Pending && f.watch {
		a.note("A transferência %s está em processamento.", "The transfer %s is being processed.", result.TransferID)
		result.Status, err = a.watch(ctx, s, k, result.TransferID, f.timeout)
	}
	if err != nil {
		var p *problem
		if errors.As(err, &p) && (p.code == codeRefused || !k.maybeSent) {
			return errors.Join(err, a.settle(k)) // it is decided, or it was never sent
		}
		return err
	}
	if k.attempt != nil {
		result.Repeated = repeated
	}
	if err := a.print(result, a.receipt(result, k)); err != nil {
		p := a.unknown(k, a.l.Say("A resposta do banco não pôde ser mostrada.", "The bank's answer could not be shown."))
		return p
	}
	if result.Status == client.Pending {
		return a.unknown(k, a.l.Say("A transferência ainda não terminou.", "The transfer has not ended yet."))
	}
	if err := a.settle(k); err != nil { // the payment is made and shown all the same
		a.note("O pagamento foi feito, mas a sua chave ficou: o mesmo comando o mostrará de novo, sem pagar outra vez. (%v)",
			"The payment is made, but its key has stayed: the same command will show it again, and not pay again. (%v)", err)
	}
	return nil
}

func (a *app) settle(k keyed) error {
	if k.attempt == nil {
		return nil
	}
	return k.attempt.Settle()
}

// decisive are the refusals that the bank gives once it has looked at the key. Any other refusal of a repetition, such as 404 while the
// bank is being moved, says nothing about the first command.
var decisive = map[string]bool{
	"INVALID_VALUE": true, "INVALID_ACCOUNT": true, "INACTIVE_ACCOUNT": true, "INSUFFICIENT_BALANCE": true, "INVALID_TRANSFER": true,
	"INVALID_OPERATION": true, "IDEMPOTENCY_CONFLICT": true,
}

// send sends the payment, and sends it again while the outcome is not known. The error is a problem.
func (a *app) send(ctx context.Context, s *client.Session, k *keyed) (outcome, error) {
	for try := 0; ; try++ {
		connected, sent := false, a.Now()
		traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
		result, err := once(traced, s, k.entry)
		if err == nil {
			k.maybeSent = true
			result.Repeated = result.Repeated && try == 0 // a later try may repeat the one before
			return result, nil
		}
		p := a.explain(ctx, err)
		var failure *client.Failure
		// The bank refuses an excess of requests before it looks at the key. A sidecar may have delivered this very request before, and
		// lost the answer: the payment may have been made.
		slower := errors.As(err, &failure) && failure.Status == http.StatusTooManyRequests
		// So it is with a token that the bank does not take, unless the token had ended before any delivery.
		if connected && p.code != codeRefused && (p.code != codeNotLoggedIn || !ended(s.Token, sent)) {
			k.maybeSent = true
		}
		switch {
		case p.code == codeRefused && (!k.maybeSent || decisive[p.kind]):
			return outcome{}, p
		case p.code == codeNotLoggedIn && k.maybeSent:
			p.message += a.repeatLater()
			return outcome{}, p
		case !k.maybeSent:
			if p.code == codeUnavailable {
				p.message += a.l.Say(" Nada foi pago.", " Nothing was paid.")
			}
			return outcome{}, p
		case ctx.Err() != nil || try == len(retries) || !connected && try == 0 || slower || p.code == codeRefused:
			q := a.unknown(*k, p.message)
			q.requestID = p.requestID
			return outcome{}, q
		}
		a.note("%s Enviando de novo, com a mesma chave…", "%s Sending it again, with the same key…", p.message)
		a.Pause(ctx, retries[try])
	}
}

// clockSkew is how far this machine's clock may be ahead of the bank's.
const clockSkew = time.Minute

// ended reports whether a token says of itself that it had ended by a time. A token that cannot be read says nothing.
func ended(token string, by time.Time) bool {
	var claims struct {
		Expiry float64 `json:"exp"` // RFC 7519 section 4.1.4
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Expiry <= 0 {
		return false
	}
	return float64(by.Add(-clockSkew).Unix()) >= claims.Expiry
}

func (a *app) repeatLater() string {
	return a.l.Say(" Depois repita o comando: paga uma só vez.", " Then repeat the command: it pays once.")
}

// once sends the payment once.
func once(ctx context.Context, s *client.Session, e journal.Entry) (outcome, error) {
	result := outcome{Kind: e.Kind, Status: client.Completed, Account: e.Account, Destination: e.Destination, Amount: e.Amount, Key: e.Key}
	switch e.Kind {
	case kindDeposit:
		answer, err := s.Move(ctx, e.Key, client.Credit, e.Amount)
		result.Repeated = answer.Replayed()
		return result, err
	case kindWithdrawal:
		answer, err := s.Move(ctx, e.Key, client.Debit, e.Amount)
		result.Repeated = answer.Replayed()
		return result, err
	}
	receipt, err := s.Transfer(ctx, e.Key, e.Destination, e.Amount)
	if err == nil && (receipt.TransferID == "" || receipt.Status != client.Completed && receipt.Status != client.Pending) {
		err = fmt.Errorf("a receipt with status %q", receipt.Status)
	}
	result.TransferID, result.Status, result.Repeated = receipt.TransferID, string(receipt.Status), receipt.Replayed
	return result, err
}

// watch asks until the transfer has ended, and returns its last status. The error is a problem.
func (a *app) watch(ctx context.Context, s *client.Session, k keyed, id string, limit time.Duration) (string, error) {
	for deadline := a.Now().Add(limit); ; {
		a.Pause(ctx, watchInterval)
		if ctx.Err() != nil {
			return "", a.unknown(k, a.l.Say("Interrompido: a transferência %s ainda não terminou.", "Interrupted: the transfer %s has not ended yet.", id))
		}
		t, err := s.TransferByID(ctx, id)
		if err != nil {
			switch p := a.explain(ctx, err); p.code {
			case codeNotLoggedIn:
				p.message += a.repeatLater()
				return "", p
			case codeRefused: // to tell the status, which says nothing of the payment
				return "", a.unknown(k, p.message)
			case codeUnavailable:
				a.note("%s", "%s", p.message)
			}
		}
		switch {
		case err == nil && string(t.Status) == client.Completed:
			return client.Completed, nil
		case err == nil && string(t.Status) == client.Failed:
			return "", &problem{code: codeRefused, kind: t.FailureType, message: a.l.Say("A transferência falhou, e o dinheiro está na conta: %s", "The transfer has failed, and the money is in the account: %s", a.reason(t.FailureType, ""))}
		case !a.Now().Before(deadline):
			return client.Pending, nil
		}
	}
}

// unknown is the problem of a payment whose outcome the payer cannot know yet.
func (a *app) unknown(k keyed, why string) *problem {
	p := &problem{code: codeUnknown, message: why + a.l.Say(
		" Repita o mesmo comando para saber o desfecho: ele paga uma só vez.",
		" Repeat the same command to learn the outcome: it pays once.")}
	if k.attempt != nil {
		p.payment = k.entry.ID()
		if err := k.attempt.Unknown(a.Now()); err != nil { // the time of the try before stays
			p.message += fmt.Sprintf(" (%v)", err)
		}
	}
	return p
}

// receipt shows an outcome to people.
func (a *app) receipt(o outcome, k keyed) string {
	value := amount.Format(a.l, o.Amount)
	var text string
	switch {
	case o.Kind == kindDeposit:
		text = a.l.Say("Depósito de %s feito na conta %s.\n", "%s deposited into account %s.\n", value, o.Account)
	case o.Kind == kindWithdrawal:
		text = a.l.Say("Saque de %s feito da conta %s.\n", "%s withdrawn from account %s.\n", value, o.Account)
	case o.Status == client.Pending:
		text = a.l.Say("Transferência de %s para a conta %s em processamento (%s).\n", "The transfer of %s to account %s is being processed (%s).\n", value, o.Destination, o.TransferID)
	default:
		text = a.l.Say("Transferência de %s para a conta %s concluída (%s).\n", "%s transferred to account %s (%s).\n", value, o.Destination, o.TransferID)
	}
	switch {
	case !o.Repeated || o.Status == client.Pending:
	case k.attempt == nil:
		text += a.l.Say("O banco já tinha recebido esta chave: houve um só pagamento. Para pagar outra vez, dê outra chave.\n",
			"The bank had received this key before: there was one payment. To pay once more, give another key.\n")
	default:
		text += a.l.Say("Foi a repetição do pagamento já iniciado: houve um só pagamento. Para pagar outra vez, dê o comando de novo.\n",
			"This was the repetition of the payment begun before: there was one payment. To pay once more, give the command again.\n")
	}
	return text
}

func (a *app) pending() *cobra.Command {
	cmd := &cobra.Command{Args: a.takes(0), RunE: func(*cobra.Command, []string) error { return a.listPending() }}
	var f payFlags
	repeat := a.describe(&cobra.Command{Args: a.takes(1, "ID"), RunE: func(cmd *cobra.Command, args []string) error {
		return a.repeatPending(cmd.Context(), args[0], f)
	}}, "pending repeat")
	a.addWatchFlags(repeat, &f)
	forget := a.describe(&cobra.Command{Args: a.takes(1, "ID"), RunE: func(cmd *cobra.Command, args []string) error {
		return a.forgetPending(cmd.Context(), args[0])
	}}, "pending forget")
	cmd.AddCommand(repeat, forget)
	return cmd
}

func (a *app) listPending() error {
	if err := a.open(); err != nil {
		return err
	}
	entries, err := a.journal().Entries()
	if err != nil {
		return err
	}
	type item struct {
		ID string `json:"id"`
		journal.Entry
	}
	items := []item{}
	t := table{columns: []column{{title: "ID"}, {title: a.l.Say("Iniciado em", "Begun at")}, {title: a.l.Say("O quê", "What")}, {title: a.l.Say("Da conta", "Account")},
		{title: a.l.Say("Para", "To")}, {title: a.l.Say("Valor", "Amount"), right: true}}}
	for _, e := range entries {
		if e.URL != a.url {
			continue
		}
		items = append(items, item{e.ID(), e})
		t.add(e.ID(), a.when(e.Begun), a.kind(e.Kind), e.Account, e.Destination, amount.Format(a.l, e.Amount))
	}
	return a.print(map[string]any{"items": items}, t.text(a.l.Say("Nenhum pagamento sem desfecho conhecido.\n", "There is no payment whose outcome is not known.\n")))
}

// resume takes the payment of an ID up, which must be of this bank.
func (a *app) resume(ctx context.Context, id string) (*journal.Attempt, error) {
	attempt, err := a.journal().Resume(ctx, id)
	if ctx.Err() != nil {
		return nil, a.interrupted()
	}
	if err == nil && attempt.URL != a.url {
		attempt.End()
		err = journal.ErrUnknown
	}
	if errors.Is(err, journal.ErrUnknown) {
		return nil, a.usage("não há pagamento %q sem desfecho: veja `bankmore pending`", "there is no payment %q without outcome: see `bankmore pending`", id)
	}
	return attempt, err
}

func (a *app) repeatPending(ctx context.Context, id string, f payFlags) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	attempt, err := a.resume(ctx, id)
	if err != nil {
		return err
	}
	defer attempt.End()
	if attempt.Account != s.Number {
		return a.usage("o pagamento %s é da conta %s, e quem entrou é a conta %s", "payment %s is of account %s, and account %s has logged in", id, attempt.Account, s.Number)
	}
	return a.pay(ctx, s, keyed{entry: attempt.Entry, attempt: attempt, maybeSent: true}, f)
}

func (a *app) forgetPending(ctx context.Context, id string) error {
	if err := a.open(); err != nil {
		return err
	}
	attempt, err := a.resume(ctx, id)
	if err != nil {
		return err
	}
	defer attempt.End()
	if err := attempt.Settle(); err != nil {
		return err
	}
	return a.print(attempt.Entry, a.l.Say("O pagamento %s foi esquecido aqui. Se o banco o recebeu, ele está no extrato.\n", "Payment %s is forgotten here. If the bank has received it, it is in the statement.\n", attempt.ID()))
}
