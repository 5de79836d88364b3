package httpapi

import (
	"context"
	"net/http"

	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

type transferRequest struct {
	RequestID   string       `json:"request_id"`
	Destination string       `json:"destination_account_number"`
	Amount      *money.Cents `json:"amount"`
}

type transferAnswer struct {
	ID          string         `json:"transfer_id"`
	Message     string         `json:"message"`
	Status      transfer.State `json:"status"`
	Origin      string         `json:"origin_account_number"`
	Destination string         `json:"destination_account_number"`
	Amount      money.Cents    `json:"amount"`
}

// transfer moves money from the caller's account. A refusal of the ledger is an answer, not an error, so the memory keeps
// it under the request's key.
func (h handlers) transfer(r *http.Request) (web.Answer, error) {
	command, err := commandFrom(r, caller(r))
	if err != nil {
		return web.Answer{}, err
	}
	key := idempotency.Key("transfer:"+command.Origin.AccountID, command.RequestID)
	return h.Memory.Once(r.Context(), key, command.Fingerprint, func(ctx context.Context) (web.Answer, error) {
		receipt, err := h.Transfers.Execute(ctx, command)
		if err != nil {
			return web.Answer{}, err
		}
		answer, err := answerTo(receipt.Transfer)
		answer.Replayed = receipt.Replayed
		return answer, err
	})
}

// commandFrom reads and validates the request.
func commandFrom(r *http.Request, origin transfer.Party) (transfer.Command, error) {
	var in transferRequest
	if err := web.Decode(r, &in); err != nil {
		return transfer.Command{}, err
	}
	requestID, err := web.RequestID(r, in.RequestID)
	if err != nil {
		return transfer.Command{}, err
	}
	switch {
	case in.Destination == "":
		return transfer.Command{}, web.Missing("destination_account_number")
	case in.Amount == nil:
		return transfer.Command{}, web.Missing("amount")
	}
	command := transfer.Command{
		RequestID: requestID, Origin: origin, Destination: in.Destination, Amount: *in.Amount,
		Fingerprint: idempotency.Fingerprint(in.Destination, in.Amount.String()),
	}
	return command, command.Validate()
}

func answerTo(t transfer.Transfer) (web.Answer, error) {
	if t.State == transfer.Failed {
		return web.Refusal(t.Failure.Fault())
	}
	status, message := http.StatusOK, "Transferência realizada com sucesso."
	if !t.State.Final() {
		status, message = http.StatusAccepted, "Transferência em processamento."
	}
	return web.JSON(status, transferAnswer{
		ID: t.ID, Message: message, Status: t.State.Status(), Origin: t.Origin.AccountNumber, Destination: t.Destination, Amount: t.Amount,
	})
}
