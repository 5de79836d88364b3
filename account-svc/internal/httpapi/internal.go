package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/web"
)

// maxBatchBytes bounds a batch of commands; daprd's own default is the same.
const maxBatchBytes = 4 << 20

var errBatchSize = fault.BadArgument("O lote deve ter de 1 a 256 comandos.")

// applyMovements is the ledger operation for the other services. It answers 200 with a result per command, or an error if
// the outcome of every command is unknown.
func (h handlers) applyMovements(r *http.Request) (web.Answer, error) {
	var in accountapi.Movements
	if err := web.DecodeInternal(r, &in, maxBatchBytes); err != nil {
		return web.Answer{}, err
	}
	if len(in.Commands) == 0 || len(in.Commands) > accountapi.MaxMovements {
		return web.Answer{}, errBatchSize
	}
	commands := make([]ledger.Command, len(in.Commands))
	for i, m := range in.Commands {
		commands[i] = command(m)
	}
	results, err := h.Ledger.Apply(r.Context(), commands)
	if err != nil {
		return web.Answer{}, err
	}
	out := accountapi.MovementResults{Results: make([]accountapi.MovementResult, len(results))}
	for i, result := range results {
		out.Results[i] = wire(result)
	}
	return web.JSON(http.StatusOK, out)
}

// serviceKey is the ledger's key of a request id that a service chose. No customer's request has such a key.
func serviceKey(requestID string) string { return "service:" + requestID }

// command returns the ledger's command for m and, with it, the one for its Then. For what is malformed it returns an empty
// command, which the ledger rejects.
func command(m accountapi.Movement) ledger.Command {
	c := single(m)
	switch {
	case m.Then == nil:
	case m.Then.Then != nil:
		return ledger.Command{}
	default:
		c.Then = new(single(*m.Then))
	}
	return c
}

// single returns the command for m without its Then.
func single(m accountapi.Movement) ledger.Command {
	c := ledger.Command{
		RequestKey: serviceKey(m.RequestID), AccountNumber: m.AccountNumber, Type: ledger.Type(m.Type), Kind: ledger.Kind(m.Kind),
		Amount: m.Amount, Counterparty: m.Counterparty, TransferID: m.TransferID, Description: m.Description,
		// The fingerprint leaves out the two fields of the customer's request. An older transfer-svc sends a leg without
		// them, and a newer one may repeat the leg with them: it is the same command.
		Fingerprint:       idempotency.Fingerprint(m.AccountNumber, m.Type, m.Kind, m.Amount.String(), m.Counterparty, m.TransferID),
		TransferRequestID: m.TransferRequestID, TransferFingerprint: m.TransferFingerprint,
	}
	if m.RequestID == "" || c.Kind == ledger.Deposit || c.Kind == ledger.Withdrawal || !storable(
		m.RequestID, m.AccountNumber, m.Counterparty, m.TransferID, m.Description, m.TransferRequestID, m.TransferFingerprint) {
		return ledger.Command{} // services move no cash, either
	}
	return c
}

// storable reports whether a database accepts the texts: each is at most as long as a customer's request id, which fits an
// index of PostgreSQL, and contains no NUL.
func storable(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool {
		return utf8.RuneCountInString(text) > web.MaxRequestIDRunes || strings.Contains(text, "\x00")
	})
}

func wire(r ledger.Result) accountapi.MovementResult {
	f := fault.From(r.Err)
	switch {
	case f != nil && (f.Kind == fault.Unavailable || f.Kind == fault.Internal):
		return accountapi.MovementResult{Status: accountapi.StatusUnknown, Type: f.Type, Message: f.Message}
	case f != nil:
		return accountapi.MovementResult{Status: accountapi.StatusRejected, Type: f.Type, Message: f.Message}
	case r.Refusal != nil:
		return accountapi.MovementResult{
			Status: accountapi.StatusRefused, Replayed: r.Replayed, Type: r.Refusal.Type, Message: r.Refusal.Message,
		}
	default:
		applied := accountapi.MovementResult{Status: accountapi.StatusApplied, Replayed: r.Replayed}
		if r.Then != nil {
			applied.Then = new(wire(*r.Then))
		}
		return applied
	}
}
