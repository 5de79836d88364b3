package accountapi_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// closings is an account-svc with some closed accounts, two to a page.
type closings struct {
	closed []string
	away   bool
	broken bool // announces another page, and then returns an empty one
}

func (c *closings) Invoke(ctx context.Context, appID, path string, in, out any) error {
	if appID != accountapi.AppID || path != accountapi.ClosedPath {
		return fmt.Errorf("called %s of %s", path, appID)
	}
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 2*time.Second {
		return errors.New("no deadline of 2 s")
	}
	if c.away {
		return errors.New("connection refused")
	}
	rest, page := c.closed, out.(*accountapi.ClosedAccounts)
	for after := in.(accountapi.ClosedQuery).After; after != nil && len(rest) > 0; rest = rest[1:] {
		if rest[0] == after.AccountID {
			rest = rest[1:]
			break
		}
	}
	for _, id := range rest[:min(2, len(rest))] {
		page.Accounts = append(page.Accounts, accountapi.ClosedAccount{AccountID: id})
	}
	page.More = len(rest) > 2 || c.broken
	return nil
}

func TestClosed(t *testing.T) {
	synctest.Test(t, testClosed)
}

func testClosed(t *testing.T) {
	service := &closings{away: true}
	list := accountapi.NewClosed(service)
	refresh := func(ok bool) {
		t.Helper()
		if more, err := list.Refresh(t.Context()); more || (err == nil) != ok {
			t.Errorf("refresh: %t, %v", more, err)
		}
	}
	want := func(when string, closed ...string) {
		t.Helper()
		is := map[string]bool{}
		for _, id := range closed {
			is[id] = true
		}
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			claims := &accountapi.Claims{}
			claims.Subject = id
			if err := list.Check(claims); errors.Is(err, accountapi.ErrClosed) != is[id] || !is[id] && err != nil {
				t.Errorf("%s: %s: %v", when, id, err)
			}
		}
	}
	refresh(true) // account-svc does not answer yet, which is no failure within closedGrace
	time.Sleep(15 * time.Second)
	refresh(false)
	want("before the first list")
	service.away, service.closed = false, []string{"a"}
	refresh(true)
	want("one closed", "a")
	service.closed = []string{"a", "b", "c", "d", "e"}
	refresh(true)
	want("three pages", "a", "b", "c", "d", "e")
	service.closed = []string{"b", "c"}
	refresh(true)
	want("some reopened", "b", "c")
	service.away, service.closed = true, nil
	refresh(false)
	want("account-svc is away", "b", "c")
	service.away, service.broken = false, true
	refresh(false)
	want("account-svc does not come to an end", "b", "c")
	service.broken = false
	refresh(true)
	want("none left")
}
