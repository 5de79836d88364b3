package transfer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// broken returns the first rule that was broken, or "".
func (w *world) broken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

// breaks records a broken rule. Only the first one is kept.
func (w *world) breaks(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

// check is the model: after a move it checks that the clients' answers, the database and the ledger agree.
func (w *world) check() {
	w.checkMoney()
	w.checkLeases()
	w.hear()
	for _, t := range w.db.rows {
		if told, ok := w.told[key{t.Origin.AccountID, t.RequestID}]; ok && told != w.said(w.db.read(t)) {
			w.breaks("%s is %s in the database, but a client was told of %s", w.NameOf(t.ID), t.State, told.State)
		}
		events := 0
		for _, e := range w.db.events {
			if e.ID == t.ID {
				events++
			}
		}
		if (events == 1) != (t.State == transfer.Completed) || events > 1 {
			w.breaks("%s is %s and has %d events", w.NameOf(t.ID), t.State, events)
		}
	}
}

// ahead lists, for each state, which legs the ledger may have applied. The ledger is ahead of the state only by the legs that
// the state sends: one leg, but two in Pending.
var ahead = map[transfer.State][]string{
	transfer.Pending:   {"", "debit", "debit credit"},
	transfer.Debited:   {"debit", "debit credit"},
	transfer.Refunding: {"debit", "debit refund"},
	transfer.Completed: {"debit credit"},
	transfer.Failed:    {"", "debit refund"},
}

func (w *world) checkMoney() {
	for id := range w.moved {
		if w.db.byID[id] == nil {
			w.breaks("money moved for a transfer that is in no database")
		}
	}
	var between money.Cents
	for _, t := range w.db.rows {
		var done []string
		for _, m := range w.moved[t.ID] {
			leg := legOf(t.Transfer, m)
			switch leg {
			case transfer.Debit:
				between += m.Amount
			case transfer.Credit, transfer.Refund:
				between -= m.Amount
			default:
				w.breaks("%s has moved money as no leg of it does: %+v", w.NameOf(t.ID), m)
			}
			done = append(done, string(leg))
		}
		if legs := strings.Join(done, " "); !slices.Contains(ahead[t.State], legs) {
			w.breaks("%s is %s, and the ledger has done: %s", w.NameOf(t.ID), t.State, legs)
		}
	}
	for _, number := range []string{"11", "22", "33", "55"} {
		if w.ledger.Balance(number) < 0 {
			w.breaks("account %s is overdrawn", number)
		}
		between += w.ledger.Balance(number)
	}
	if between != w.cash {
		w.breaks("there is %s in accounts and between them, there should be %s", between, w.cash)
	}
}

// legOf returns which leg of t a movement is, or "" if it is none. It ignores the movement's key, which is the service's own
// choice.
func legOf(t transfer.Transfer, m accountapi.Movement) transfer.Leg {
	origin, destination := t.Origin.AccountNumber, t.Destination
	switch (accountapi.Movement{Type: m.Type, Kind: m.Kind, AccountNumber: m.AccountNumber, Counterparty: m.Counterparty, Amount: m.Amount}) {
	case accountapi.Movement{Type: "D", Kind: "transfer", AccountNumber: origin, Counterparty: destination, Amount: t.Amount}:
		return transfer.Debit
	case accountapi.Movement{Type: "C", Kind: "transfer", AccountNumber: destination, Counterparty: origin, Amount: t.Amount}:
		return transfer.Credit
	case accountapi.Movement{Type: "C", Kind: "refund", AccountNumber: origin, Counterparty: destination, Amount: t.Amount}:
		return transfer.Refund
	default:
		return ""
	}
}

// leased records that r has been given a lease of t.
func (r *replica) leased(t transfer.Transfer) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	end := time.Now().Add(t.Lease)
	r.leases[lease{t.ID, t.Claims}], r.world.ends[t.ID] = end, end
}

// had reports whether r was ever given that lease.
func (r *replica) had(l lease) bool {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	_, ok := r.leases[l]
	return ok
}

// mayDrive reports whether r was given a lease of the transfer that has not ended at that time. A later lease of another
// replica does not matter.
func (r *replica) mayDrive(id string, at time.Time) bool {
	for l, until := range r.leases {
		if l.transferID == id && until.After(at) {
			return true
		}
	}
	return false
}

// checkReleases checks that r releases only leases that it was given. Any other lease is another driver's.
func (r *replica) checkReleases(releases []transfer.Release) {
	for _, release := range releases {
		if !r.had(lease{release.ID, release.Claims}) {
			r.world.breaks("%s releases a lease of %s that another has", r.Name, r.world.NameOf(release.ID))
		}
	}
}

// claims checks that a replica claims a transfer before its lease has ended only if a failover has set the clock ahead.
func (r *replica) claims(t transfer.Transfer) {
	w := r.world
	if !w.ends[t.ID].After(time.Now()) {
		return
	}
	w.sees("a lease taken early", true)
	if !w.early[t.ID] {
		w.breaks("%s takes the lease of %s before it has ended", r.Name, w.NameOf(t.ID))
	}
}

// said returns t as the answer to a client shows it. If another replica has claimed t early, its first driver does not know
// the number of claims, so said returns 0 claims.
func (w *world) said(t transfer.Transfer) transfer.Transfer {
	if w.early[t.ID] {
		t.Claims = 0
	}
	return t
}

// checkLeases checks that no driver sends a leg without a lease, or for a transfer that is not in the database. If a replica
// has claimed a transfer early, there are two drivers: each of them must keep to the lease that it was given.
func (w *world) checkLeases() {
	w.mu.Lock()
	legs := w.legs
	w.legs = nil
	w.mu.Unlock()
	for _, s := range legs {
		t := w.db.byID[s.movement.TransferID]
		switch {
		case t == nil:
			w.breaks("a leg is sent of a transfer that is in no database")
		case !t.State.Final() && !w.early[t.ID] && !t.leaseUntil.After(s.stored):
			w.breaks("a leg of %s is sent without a lease", w.NameOf(t.ID))
		case !s.driver.mayDrive(t.ID, s.at):
			w.breaks("%s sends a leg of %s, which it was given no lease for", s.driver.Name, w.NameOf(t.ID))
		}
	}
}

// hear checks the answers that clients have got since the last move.
func (w *world) hear() {
	for _, c := range w.running {
		if c.answered.Load() {
			w.hearOne(c)
		}
	}
	w.running = slices.DeleteFunc(w.running, func(c *client) bool { return c.answered.Load() })
}

func (w *world) hearOne(c *client) {
	k := key{c.command.Origin.AccountID, c.command.RequestID}
	t := w.db.withKey(k.accountID, k.requestID)
	if c.err != nil {
		w.Tell("%s is answered: %v", c.name, c.err)
		w.sees(fault.From(c.err).Type, true)
		switch {
		case errors.Is(c.err, fault.ErrKeyReused):
			if t == nil || t.Fingerprint == c.command.Fingerprint {
				w.breaks("%s is refused for another with its key, but there is none", c.name)
			}
		case errors.Is(c.err, fault.ErrInProgress):
			if t == nil || t.Fingerprint != c.command.Fingerprint {
				w.breaks("%s is said to run already, but does not", c.name)
			}
		case fault.From(c.err).Kind != fault.Unavailable:
			w.breaks("%s fails as nothing may: %v", c.name, c.err)
		}
		return
	}
	w.Tell("%s is answered: %s is %s", c.name, w.NameOf(c.receipt.ID), c.receipt.State)
	switch {
	case t == nil || t.ID != c.receipt.ID:
		w.breaks("%s is answered with a transfer that is not the one of its key", c.name)
	case t.Fingerprint != c.command.Fingerprint:
		w.breaks("%s is answered with the transfer of another command", c.name)
	case c.receipt.State.Final() && w.said(c.receipt.Transfer) != w.said(w.db.read(t)):
		w.breaks("%s is answered otherwise than the database says (-database +answer):\n%s", c.name, cmp.Diff(w.db.read(t), c.receipt.Transfer))
	case !c.receipt.Replayed && w.first[k]:
		w.breaks("%s is the second that is said to be the first", c.name)
	}
	w.sees("an unfinished answer", !c.receipt.State.Final())
	w.sees("a final answer", !c.receipt.Replayed && c.receipt.State.Final())
	w.sees("a final answer repeated", c.receipt.Replayed && c.receipt.State.Final())
	if !c.receipt.Replayed {
		w.first[k] = true
	}
	if c.receipt.State.Final() {
		w.told[k] = w.said(c.receipt.Transfer)
	}
}

// stepped checks each change of a transfer's state in the database.
func (w *world) stepped(before, after transfer.Transfer) {
	if before.State == "" {
		w.Name(after.ID, fmt.Sprintf("T%d", len(w.db.rows)))
	}
	name := w.NameOf(after.ID)
	w.Tell("    the database has %s %s", name, after.State)
	w.sees(fmt.Sprintf("%s to %s", before.State, after.State), true)
	allowed := map[transfer.State][]transfer.State{
		"":                 {transfer.Pending},
		transfer.Pending:   {transfer.Debited, transfer.Completed, transfer.Refunding, transfer.Failed},
		transfer.Debited:   {transfer.Completed, transfer.Refunding},
		transfer.Refunding: {transfer.Failed},
	}
	switch {
	case !slices.Contains(allowed[before.State], after.State):
		w.breaks("%s went from %q to %s", name, before.State, after.State)
	case after.UpdatedAt.Before(before.UpdatedAt):
		w.breaks("%s went back in time", name)
	case (after.Failure != accountapi.Refusal{}) != (after.State == transfer.Refunding || after.State == transfer.Failed):
		w.breaks("%s is %s with failure %q", name, after.State, after.Failure.Type)
	case after.CompletedAt.IsZero() == (after.State == transfer.Completed):
		w.breaks("%s is %s, completed at %s", name, after.State, after.CompletedAt)
	}
}
