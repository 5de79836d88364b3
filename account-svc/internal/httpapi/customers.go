package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/account"
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
	number, err := h.Accounts.Register(r.Context(), in.CPF, in.Name, in.Password)
	again := errors.Is(err, account.ErrCPFTaken)
	if again { // perhaps by this very customer, whom the answer did not reach
		number, err = h.registered(r, in)
	}
	if err != nil {
		return web.Answer{}, err
	}
	answer, err := web.JSON(http.StatusCreated, registerAnswer{AccountNumber: number, Message: "Conta criada com sucesso."})
	answer.Replayed = again
	return answer, err
}

// registered finds the account that the same registration has opened before. It tries a password, so it counts as a login
// does: otherwise registrations would be a way to guess passwords without limit.
func (h handlers) registered(r *http.Request, in registerRequest) (number string, err error) {
	cpf, err := account.ParseCPF(in.CPF)
	if err != nil {
		return "", err
	}
	if err := h.Logins.Allow(r.Context(), "cpf "+string(cpf)); err != nil {
		return "", err
	}
	return h.Accounts.Registered(r.Context(), in.CPF, in.Name, in.Password)
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
	if cpf, err := account.ParseCPF(in.CPF); err == nil { // no login has another one, so there is nothing to guess
		if err := h.Logins.Allow(r.Context(), "cpf "+string(cpf)); err != nil {
			return web.Answer{}, err
		}
	}
	customer, err := h.Accounts.Login(r.Context(), in.CPF, in.Password)
	if err != nil {
		return web.Answer{}, err
	}
	token, err := h.Tokens.Sign(accountapi.Claims{
		RegisteredClaims: h.Tokens.Registered(customer.AccountID, time.Now()), AccountNumber: customer.Number,
	})
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, loginAnswer{Token: token, AccountNumber: customer.Number, Name: customer.Name})
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
	if err := h.Logins.Allow(r.Context(), "account "+caller(r).AccountID()); err != nil {
		return web.Answer{}, err
	}
	if err := h.Accounts.Deactivate(r.Context(), caller(r).AccountID(), in.Password); err != nil {
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

func (h handlers) exists(r *http.Request) (web.Answer, error) {
	exists, err := h.Accounts.Exists(r.Context(), chi.URLParam(r, "number"))
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
