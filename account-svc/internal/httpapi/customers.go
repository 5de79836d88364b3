package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
)

type registerRequest struct {
	CPF      string `json:"cpf"`
	Name     string `json:"name"`
	Password string `json:"password"`
}

type registerAnswer struct {
	AccountNumber string `json:"account_number"`
	Message       string `json:"message"`
}

func (h handlers) register(r *http.Request) (web.Answer, error) {
	var in registerRequest
	if err := web.Decode(r, &in); err != nil {
		return web.Answer{}, err
	}
	if err := required("cpf", in.CPF, "name", in.Name, "password", in.Password); err != nil {
		return web.Answer{}, err
	}
	var number string
	var again bool
	err := h.Limits.Registration(r.Context(), h.source(r), func(ctx context.Context) (err error) {
		number, err = h.Customers.Register(ctx, in.CPF, in.Name, in.Password)
		if again = errors.Is(err, customer.ErrCPFTaken); again { // perhaps by this customer, who never got the first answer
			number, err = h.registered(ctx, h.source(r), in)
		}
		return err
	})
	if err != nil {
		return web.Answer{}, err
	}
	answer, err := web.JSON(http.StatusCreated, registerAnswer{AccountNumber: number, Message: "Conta criada com sucesso."})
	answer.Replayed = again
	return answer, err
}

// registered finds the account that the same registration has opened before. It tries a password, so it counts as a login:
// otherwise a stranger could guess passwords by registrations, without limit.
func (h handlers) registered(ctx context.Context, source string, in registerRequest) (number string, err error) {
	cpf, err := customer.ParseCPF(in.CPF)
	if err != nil {
		return "", err
	}
	err = h.Limits.Attempt(ctx, source, "cpf "+string(cpf), func(ctx context.Context) (err error) {
		number, err = h.Customers.Registered(ctx, in.CPF, in.Name, in.Password)
		return err
	})
	return number, err
}

type loginRequest struct {
	CPF      string `json:"cpf"`
	Password string `json:"password"`
}

type loginAnswer struct {
	Token         string `json:"token"`
	AccountNumber string `json:"account_number"`
	Name          string `json:"name"`
}

func (h handlers) login(r *http.Request) (web.Answer, error) {
	var in loginRequest
	if err := web.Decode(r, &in); err != nil {
		return web.Answer{}, err
	}
	if err := required("cpf", in.CPF, "password", in.Password); err != nil {
		return web.Answer{}, err
	}
	name := "" // stays "" if the CPF is malformed: then there is no password to guess
	if cpf, err := customer.ParseCPF(in.CPF); err == nil {
		name = "cpf " + string(cpf)
	}
	var owner customer.Customer
	err := h.Limits.Attempt(r.Context(), h.source(r), name, func(ctx context.Context) (err error) {
		owner, err = h.Customers.Login(ctx, in.CPF, in.Password)
		return err
	})
	if err != nil {
		return web.Answer{}, err
	}
	token, err := h.Tokens.Sign(accountapi.Claims{
		RegisteredClaims: h.Tokens.Registered(owner.AccountID, time.Now()), AccountNumber: owner.Number,
	})
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, loginAnswer{Token: token, AccountNumber: owner.Number, Name: owner.Name})
}

type deactivateRequest struct {
	Password string `json:"password"`
}

func (h handlers) deactivate(r *http.Request) (web.Answer, error) {
	var in deactivateRequest
	if err := web.Decode(r, &in); err != nil {
		return web.Answer{}, err
	}
	if err := required("password", in.Password); err != nil {
		return web.Answer{}, err
	}
	id := caller(r).AccountID()
	err := h.Limits.Attempt(r.Context(), h.source(r), "account "+id, func(ctx context.Context) error {
		return h.Customers.Deactivate(ctx, id, in.Password)
	})
	if err != nil {
		return web.Answer{}, err
	}
	return web.NoContent(), nil
}

type balanceAnswer struct {
	AccountNumber string      `json:"account_number"`
	AccountName   string      `json:"account_name"`
	Balance       money.Cents `json:"balance"`
}

func (h handlers) balance(r *http.Request) (web.Answer, error) {
	account, err := h.Ledger.Balance(r.Context(), caller(r).AccountID())
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, balanceAnswer{AccountNumber: account.Number, AccountName: account.Owner, Balance: account.Balance})
}

// exists answers every caller whose own account is open.
func (h handlers) exists(r *http.Request) (web.Answer, error) {
	if _, err := h.Ledger.Balance(r.Context(), caller(r).AccountID()); err != nil {
		return web.Answer{}, err
	}
	exists, err := h.Customers.Exists(r.Context(), chi.URLParam(r, "number"))
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, exists)
}

// required takes pairs of field name and value and fails for the first that is empty.
func required(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return web.Missing(pairs[i])
		}
	}
	return nil
}
