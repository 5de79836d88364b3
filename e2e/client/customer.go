package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Register opens an account and returns its number.
func (c *Client) Register(ctx context.Context, cpf, name, password string) (number string, err error) {
	in := map[string]string{"cpf": cpf, "name": name, "password": password}
	var out struct {
		AccountNumber string `json:"account_number"`
		Message       string `json:"message"`
	}
	_, err = c.call(ctx, http.MethodPost, c.doors.Account+"/api/account/register/", "", in, &out)
	return out.AccountNumber, err
}

// Login returns a session of the customer with that CPF.
func (c *Client) Login(ctx context.Context, cpf, password string) (*Session, error) {
	in := map[string]string{"cpf": cpf, "password": password}
	var out struct {
		Token         string `json:"token"`
		AccountNumber string `json:"account_number"`
		Name          string `json:"name"`
	}
	if _, err := c.call(ctx, http.MethodPost, c.doors.Account+"/api/account/login/", "", in, &out); err != nil {
		return nil, err
	}
	return &Session{Client: c, Token: out.Token, Number: out.AccountNumber, Name: out.Name}, nil
}

// Session is a customer who has logged in.
type Session struct {
	*Client

	Token  string
	Number string // of the account
	Name   string
}

// Through is the same session through other doors.
func (s *Session) Through(doors Doors) *Session {
	other := *s
	other.Client = &Client{doors: doors, http: s.http}
	return &other
}

// Deactivate closes the account.
func (s *Session) Deactivate(ctx context.Context, password string) error {
	_, err := s.call(ctx, http.MethodPut, s.doors.Account+"/api/account/deactivate/", s.Token, map[string]string{"password": password}, nil)
	return err
}

// Movement types.
const (
	Credit = "C"
	Debit  = "D"
)

// Move deposits (Credit) or withdraws (Debit) an amount like "10.00".
func (s *Session) Move(ctx context.Context, requestID, movementType, amount string) (Answer, error) {
	in := map[string]string{"request_id": requestID, "account_number": s.Number, "type": movementType, "amount": amount}
	return s.call(ctx, http.MethodPost, s.doors.Account+"/api/account/movement/", s.Token, in, nil)
}

// Balance is the account's, like "848.00".
func (s *Session) Balance(ctx context.Context) (string, error) {
	var out struct {
		AccountNumber string `json:"account_number"`
		AccountName   string `json:"account_name"`
		Balance       string `json:"balance"`
	}
	_, err := s.call(ctx, http.MethodGet, s.doors.Account+"/api/account/balance/", s.Token, nil, &out)
	return out.Balance, err
}

// Exists reports whether an account has that number.
func (s *Session) Exists(ctx context.Context, number string) (exists bool, err error) {
	_, err = s.call(ctx, http.MethodGet, s.doors.Account+"/api/account/exists/"+url.PathEscape(number)+"/", s.Token, nil, &exists)
	return exists, err
}

// Page is a part of a list, with the cursor of the next ("" on the last).
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor"`
}

// Query chooses a part of a list. Zero values leave the choice to the server; From and To count in statements only.
type Query struct {
	Cursor   string
	Limit    int
	From, To string
}

func (q Query) String() string {
	values := url.Values{}
	for name, value := range map[string]string{"cursor": q.Cursor, "from": q.From, "to": q.To} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Limit != 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// Movement is a line of a statement.
type Movement struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Amount       string    `json:"amount"`
	BalanceAfter string    `json:"balance_after"`
	Kind         string    `json:"kind"`
	Counterparty string    `json:"counterparty_account_number"`
	Description  string    `json:"description"`
	TransferID   string    `json:"transfer_id"`
	CreatedAt    time.Time `json:"created_at"`
}

// Statement is one page of the account's movements, newest first.
func (s *Session) Statement(ctx context.Context, q Query) (Page[Movement], error) {
	var page Page[Movement]
	_, err := s.call(ctx, http.MethodGet, s.doors.Account+"/api/account/statement/"+q.String(), s.Token, nil, &page)
	return page, err
}

// All reads a list to its end, limit items at a time.
func All[T any](ctx context.Context, limit int, list func(context.Context, Query) (Page[T], error)) ([]T, error) {
	var all []T
	for query := (Query{Limit: limit}); ; {
		page, err := list(ctx, query)
		if err != nil {
			return all, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Cursor = page.Next
	}
}
