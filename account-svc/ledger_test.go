package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// The ledger passes the suite that the fake of accounttest passes: on a real database, behind the real routes and the client
// of the other services. Only the sidecars between client and routes are left out.
func TestLedgerKeepsItsContract(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		accounttest.TestLedger(t, func(t *testing.T) accounttest.Bank {
			store := sqlstore.New(engine.Open(t, sqlstore.Migrations()))
			book := groupcommit.New(ledger.New(store))
			t.Cleanup(book.Close)
			router := httpapi.New(httpapi.Deps{Ledger: book, Tokens: auth.New(auth.Config{})})
			client := accountapi.NewClient(routes{router})
			t.Cleanup(client.Close)
			return bank{routes{router}, client, store, book}
		})
	})
}

// routes calls a router as the sidecars do.
type routes struct{ http.Handler }

func (r routes) Invoke(ctx context.Context, appID, path string, in, out any) error {
	if appID != accountapi.AppID {
		return fmt.Errorf("no app %s", appID)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return json.UnmarshalRead(rec.Body, out)
}

// bank is the ledger with its customers.
type bank struct {
	routes
	*accountapi.Client
	store sqlstore.Store
	book  ledger.Ledger
}

func (b bank) Open(t *testing.T, number string) {
	t.Helper()
	err := b.store.Register(t.Context(), customer.Registration{
		Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana"}, CPFHash: number, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b bank) Deposit(t *testing.T, number string, amount money.Cents) {
	t.Helper()
	results, err := b.book.Apply(t.Context(), []ledger.Command{{
		RequestKey: uuid.NewString(), Fingerprint: "f", AccountNumber: number, Type: ledger.Credit, Kind: ledger.Deposit, Amount: amount,
	}})
	if err != nil || results[0] != (ledger.Result{}) {
		t.Fatalf("deposit: %+v, %v", results, err)
	}
}

func (b bank) Close(t *testing.T, number string) {
	t.Helper()
	if err := b.store.Deactivate(t.Context(), "id-"+number, time.Now()); err != nil {
		t.Fatal(err)
	}
}
