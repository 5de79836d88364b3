package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/client/account"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// customer is who sends requests.
type customer struct {
	id, number, token string
}

// deposit is what each customer has in the beginning: enough for any number of transfers of a cent and their fees.
const deposit = "100000000.00"

// register opens count accounts through the front door.
func register(ctx context.Context, s *stack.Stack, count int) error {
	api := client.New(client.Ingress(s.URL()), nil)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(8)
	for i := range count {
		all.Go(func() error {
			_, err := api.Register(ctx, bank.NewCPF(), fmt.Sprintf("Cliente %d", i+1), "senha-"+strconv.Itoa(i))
			return err
		})
	}
	return all.Wait()
}

// seed fills the databases with that many customers who have paid each other. It takes PostgreSQL, and minutes for a million.
func seed(ctx context.Context, s *stack.Stack, count int) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./e2e/bench/seed", "-accounts", strconv.Itoa(count))
	cmd.Env = os.Environ()
	for service, variable := range map[string]string{"account-svc": "ACCOUNT_DATABASE_URL", "transfer-svc": "TRANSFER_DATABASE_URL", "fee-svc": "FEE_DATABASE_URL"} {
		cmd.Env = append(cmd.Env, variable+"="+s.DatabaseURL(service))
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// customers returns up to limit customers with a token each, as a login would give it, and a deposit.
func customers(ctx context.Context, s *stack.Stack, limit int) ([]customer, error) {
	driver, source, statements := s.Books()
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // which the statements are about
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	rows, err := db.QueryContext(ctx, "SELECT id, number FROM account.accounts WHERE deactivated_at IS NULL ORDER BY id LIMIT $1", limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []customer
	for rows.Next() {
		var c customer
		if err := rows.Scan(&c.id, &c.number); err != nil {
			return nil, err
		}
		if c.token, err = token(s.JWTSecret, c, time.Now()); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return all, endow(ctx, s, all)
}

// token returns what account-svc gives a customer who logs in, valid for as long as the longest run takes.
func token(secret string, c customer, now time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "bankmore", "aud": []string{"bankmore-api"}, "sub": c.id, "account_number": c.number,
		"iat": jwt.NewNumericDate(now), "exp": jwt.NewNumericDate(now.Add(24 * time.Hour)),
	})
	t.Header["kid"] = "default"
	return t.SignedString([]byte(secret))
}

func endow(ctx context.Context, s *stack.Stack, all []customer) error {
	api := client.New(client.Ingress(s.URL()), nil)
	deposits, ctx := errgroup.WithContext(ctx)
	deposits.SetLimit(64)
	for _, c := range all {
		deposits.Go(func() error {
			session := client.Session{Client: api, Token: c.token, Number: c.number}
			_, err := session.Move(ctx, "bench-deposit", account.MovementTypeC, deposit)
			return err
		})
	}
	return deposits.Wait()
}
