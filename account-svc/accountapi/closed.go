package accountapi

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// ClosedPath is the operation that tells which accounts are closed: POST ClosedQuery, answered 200 with ClosedAccounts.
const ClosedPath = "/internal/closed-accounts"

// MaxClosed bounds the accounts of one answer.
const MaxClosed = 10_000

// ClosedQuery asks for closed accounts, in the order of their closing.
type ClosedQuery struct {
	After *ClosedAccount `json:"after,omitzero"` // the last one of the page before; nil: the first page
}

// ClosedAccounts is one page of the accounts that are closed now, and that were closed so recently that their tokens may not
// have expired.
type ClosedAccounts struct {
	Accounts []ClosedAccount `json:"accounts"`
	More     bool            `json:"more"` // another page follows
}

// ClosedAccount is an account that was closed. Its time is exact to the microsecond.
type ClosedAccount struct {
	AccountID string    `json:"account_id"`
	ClosedAt  time.Time `json:"closed_at"`
}

// ErrClosed refuses the token of a closed account, as account-svc does.
var ErrClosed = InactiveAccount.Fault()

const (
	// ClosedInterval is how often a service reads the list of closed accounts.
	ClosedInterval = 2 * time.Second
	// closedTimeout bounds one reading. Both together make a token useless within 5 s after the closing.
	closedTimeout = 2 * time.Second
	// closedGrace is how long after a service's start Refresh reports no failure: the sidecar or account-svc may be starting.
	closedGrace = 15 * time.Second
)

// Closed is a service's list of closed accounts, read from account-svc every ClosedInterval. While account-svc does not
// answer, the last list counts. Before the first answer the list is empty: until then the owner of a closed account can
// read, but cannot move money, since account-svc decides that. See docs/adr/0018.
type Closed struct {
	invoker  Invoker
	graceEnd time.Time
	accounts atomic.Pointer[map[string]struct{}] // by id
}

// NewClosed returns an empty list.
func NewClosed(invoker Invoker) *Closed {
	c := &Closed{invoker: invoker, graceEnd: time.Now().Add(closedGrace)}
	c.accounts.Store(&map[string]struct{}{})
	return c
}

// Refresh reads the whole list. Accounts that were reopened are no longer on it. It is a round of a worker. It reports no
// failure in the first seconds (closedGrace).
func (c *Closed) Refresh(ctx context.Context) (more bool, err error) {
	err = c.refresh(ctx)
	if time.Now().Before(c.graceEnd) {
		err = nil
	}
	return false, err
}

func (c *Closed) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closedTimeout)
	defer cancel()
	accounts := map[string]struct{}{}
	for query := (ClosedQuery{}); ; {
		var page ClosedAccounts
		if err := c.invoker.Invoke(ctx, AppID, ClosedPath, query, &page); err != nil {
			return err
		}
		for _, a := range page.Accounts {
			accounts[a.AccountID] = struct{}{}
		}
		if !page.More {
			break
		}
		if len(page.Accounts) == 0 {
			return fmt.Errorf("%s: an empty page, and more to come", ClosedPath)
		}
		query.After = &page.Accounts[len(page.Accounts)-1]
	}
	c.accounts.Store(&accounts)
	return nil
}

// Check returns ErrClosed if the claims are those of a closed account.
func (c *Closed) Check(claims *Claims) error {
	if _, closed := (*c.accounts.Load())[claims.AccountID()]; closed {
		return ErrClosed
	}
	return nil
}
