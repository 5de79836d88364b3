package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/bankmore/bankmore/client/account"
	"github.com/bankmore/bankmore/client/fee"
	"github.com/bankmore/bankmore/client/transfer"
)

type (
	// Movement is a line of a statement.
	Movement = account.Movement
	// Transfer is a transfer as its parties see it.
	Transfer = transfer.Transfer
	// Fee is the fee of a transfer.
	Fee = fee.Fee
)

// Types of movements that a customer makes.
const (
	Credit = account.MovementTypeC
	Debit  = account.MovementTypeD
)

// Statuses of transfers and fees. They have no type, since a transfer and a fee may both be Pending.
const (
	Pending   = "PENDING"
	Completed = "COMPLETED" // of a transfer
	Failed    = "FAILED"    // of a transfer
	Charged   = "CHARGED"   // of a fee
	Waived    = "WAIVED"    // of a fee
)

// Session is a customer who has logged in. It is safe for concurrent use.
type Session struct {
	*Client

	Token  string
	Number string // of the account
	Name   string
}

// Through returns the same session with other URLs.
func (s *Session) Through(urls URLs) *Session {
	other := *s
	other.Client = newClient(urls, s.http)
	return &other
}

func (s *Session) authorize(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", "Bearer "+s.Token)
	return nil
}

// Deactivate closes the account.
func (s *Session) Deactivate(ctx context.Context, password string) error {
	r, err := s.account.DeactivateWithResponse(ctx, account.DeactivateJSONRequestBody{Password: password}, s.authorize)
	if err != nil {
		return err
	}
	if answer := answerOf(r.HTTPResponse, r.Body); answer.Status != http.StatusNoContent {
		return FailureFrom(answer)
	}
	return nil
}

// Move deposits (Credit) or withdraws (Debit) an amount like "10.00". Repeat it with the same requestID if its outcome is
// unknown.
func (s *Session) Move(ctx context.Context, requestID string, movementType account.MovementType, amount string) (Answer, error) {
	r, err := s.account.MoveWithResponse(ctx, nil, account.MoveJSONRequestBody{
		RequestID: &requestID, AccountNumber: s.Number, Type: movementType, Amount: amount,
	}, s.authorize)
	if err != nil {
		return Answer{}, err
	}
	answer := answerOf(r.HTTPResponse, r.Body)
	if answer.Status != http.StatusNoContent {
		return answer, FailureFrom(answer)
	}
	return answer, nil
}

// Balance returns the account's balance, like "848.00".
func (s *Session) Balance(ctx context.Context) (string, error) {
	r, err := s.account.BalanceWithResponse(ctx, s.authorize)
	if err != nil {
		return "", err
	}
	out, err := success(r.JSON200, r.HTTPResponse, r.Body)
	return out.Balance, err
}

// Exists reports whether an account has that number.
func (s *Session) Exists(ctx context.Context, number string) (bool, error) {
	r, err := s.account.ExistsWithResponse(ctx, number, s.authorize)
	if err != nil {
		return false, err
	}
	return success(r.JSON200, r.HTTPResponse, r.Body)
}

// Statement returns one page of the account's movements, newest first.
func (s *Session) Statement(ctx context.Context, q Query) (Page[Movement], error) {
	r, err := s.account.StatementWithResponse(ctx, &account.StatementParams{
		Cursor: given(q.Cursor), Limit: given(q.Limit), From: given(q.From), To: given(q.To),
	}, s.authorize)
	if err != nil {
		return Page[Movement]{}, err
	}
	out, err := success(r.JSON200, r.HTTPResponse, r.Body)
	return Page[Movement]{Items: out.Items, Next: out.NextCursor}, err
}

// Formats of a statement's file.
const (
	CSV = account.StatementParamsFormatCsv // for spreadsheets
	OFX = account.StatementParamsFormatOfx // for accounting programs
)

// ErrBrokenOff is the failure of a file of which only a part came.
var ErrBrokenOff = errors.New("the file broke off")

// StatementFile writes the statement of a period to w, as a file. from and to are as in Query; to may be "" for now. decimal is the
// sign before the cents in CSV, "comma" or "point", or "" for the server's choice. After an error, w may have a part of the file.
func (s *Session) StatementFile(ctx context.Context, w io.Writer, format account.StatementParamsFormat, from, to, decimal string) error {
	resp, err := s.account.Statement(ctx, &account.StatementParams{
		Format: &format, From: given(from), To: given(to), Decimal: given(account.StatementParamsDecimal(decimal)),
	}, s.authorize)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return FailureFrom(answerOf(resp, body))
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return err
	}
	// A sidecar ends a file that broke off as if it were whole.
	if want := resp.Header.Get("X-Content-Length"); want != strconv.FormatInt(n, 10) {
		return fmt.Errorf("%w: %d of %s bytes came", ErrBrokenOff, n, want)
	}
	return nil
}

// Receipt is the answer to a request for a transfer.
type Receipt struct {
	transfer.Receipt

	Replayed   bool // it repeats an earlier answer
	HTTPStatus int  // 202 if the transfer has not ended yet
}

// Transfer sends an amount like "150.00" to another account. Repeat it with the same requestID if its outcome is unknown.
func (s *Session) Transfer(ctx context.Context, requestID, destination, amount string) (Receipt, error) {
	r, err := s.transfer.TransferWithResponse(ctx, nil, transfer.TransferJSONRequestBody{
		RequestID: &requestID, DestinationAccountNumber: destination, Amount: amount,
	}, s.authorize)
	if err != nil {
		return Receipt{}, err
	}
	answer := answerOf(r.HTTPResponse, r.Body)
	receipt := Receipt{Replayed: answer.Replayed(), HTTPStatus: answer.Status}
	switch {
	case r.JSON200 != nil:
		receipt.Receipt = *r.JSON200
	case r.JSON202 != nil:
		receipt.Receipt = *r.JSON202
	default:
		return receipt, FailureFrom(answer)
	}
	return receipt, nil
}

// Transfers returns one page of the transfers that the account sent and received, newest first.
func (s *Session) Transfers(ctx context.Context, q Query) (Page[Transfer], error) {
	r, err := s.transfer.ListWithResponse(ctx, &transfer.ListParams{Cursor: given(q.Cursor), Limit: given(q.Limit)}, s.authorize)
	if err != nil {
		return Page[Transfer]{}, err
	}
	out, err := success(r.JSON200, r.HTTPResponse, r.Body)
	return Page[Transfer]{Items: out.Items, Next: out.NextCursor}, err
}

// TransferByID returns one transfer.
func (s *Session) TransferByID(ctx context.Context, id string) (Transfer, error) {
	r, err := s.transfer.DetailWithResponse(ctx, id, s.authorize)
	if err != nil {
		return Transfer{}, err
	}
	return success(r.JSON200, r.HTTPResponse, r.Body)
}

// Fees returns one page of the account's fees, newest first.
func (s *Session) Fees(ctx context.Context, q Query) (Page[Fee], error) {
	r, err := s.fee.MineWithResponse(ctx, &fee.MineParams{Cursor: given(q.Cursor), Limit: given(q.Limit)}, s.authorize)
	if err != nil {
		return Page[Fee]{}, err
	}
	out, err := success(r.JSON200, r.HTTPResponse, r.Body)
	return Page[Fee]{Items: out.Items, Next: out.NextCursor}, err
}

// FeesOf returns one page of the fees of that account, newest first.
func (s *Session) FeesOf(ctx context.Context, number string, q Query) (Page[Fee], error) {
	r, err := s.fee.OfAccountWithResponse(ctx, number, &fee.OfAccountParams{Cursor: given(q.Cursor), Limit: given(q.Limit)}, s.authorize)
	if err != nil {
		return Page[Fee]{}, err
	}
	out, err := success(r.JSON200, r.HTTPResponse, r.Body)
	return Page[Fee]{Items: out.Items, Next: out.NextCursor}, err
}

// Fee returns one fee.
func (s *Session) Fee(ctx context.Context, id string) (Fee, error) {
	r, err := s.fee.DetailWithResponse(ctx, id, s.authorize)
	if err != nil {
		return Fee{}, err
	}
	return success(r.JSON200, r.HTTPResponse, r.Body)
}
