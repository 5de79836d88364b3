package fee

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// Ledger applies movements and knows the balances of accounts. *accountapi.Client implements it.
type Ledger interface {
	// Balances returns one standing per question, in the same order. After an error no balance is known.
	Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error)
	// Move has three outcomes: the movement is done; the ledger refuses it for ever; or an error, which means that the
	// outcome is unknown and the caller must send the same movement again.
	Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error)
}

// Queue keeps the debtors: accounts with pending fees. One collector at a time has a debtor. Only the queue's own clock decides
// which debtors are due and which claims have ended, so the clocks of replicas do not matter.
type Queue interface {
	// Claim claims up to limit debtors that are due, preferably those that have been due for longest. No other collector can
	// claim them for the time of the lease, unless they are released earlier.
	Claim(ctx context.Context, lease time.Duration, limit int) ([]Debtor, error)
	// Owed returns the pending fees of these accounts, in the order of their ids: of every account the oldest ones, at most
	// as many as each says.
	Owed(ctx context.Context, accountNumbers []string, each int) ([]Claim, error)
	// Settle writes settlements, adds an event for each fee that becomes charged, and releases debtors, all in one
	// transaction. A settlement takes effect only if its fee is still pending at the settlement's attempt. A release sets
	// due_at only if no other collector has claimed the debtor since. Settle deletes the debtors among releases that owe
	// nothing. It returns the settlements that took effect, also if it fails for some debtors only.
	Settle(ctx context.Context, settlements []Settlement, releases []Release) (effective []Settlement, err error)
	// Backlog returns what is pending.
	Backlog(ctx context.Context) (Backlog, error)
}

// Debtor is an account with pending fees that one collector has claimed.
type Debtor struct {
	AccountNumber string
	Until         time.Time // the end of the claim by the queue's clock, which identifies the claim
	Waits         bool      // for balance, as the last collector found
}

// Backlog counts the pending fees. A fee may wait for its account's balance for months, which is no fault. Any other
// pending fee is collected at once, unless something is wrong.
type Backlog struct {
	ForCollection int // fees whose account is not known to have too little
	ForBalance    int // fees whose account has too little
	// Age is of the oldest fee that waits for collection, or of the one that is furthest in the future if the database's clock
	// has gone back. It is 0 if there is none.
	Age time.Duration
}

// Claim is a fee of a debtor, which its collector may charge.
type Claim struct {
	Fee
	Attempt  int // 1, 2, 3, …: the ledger's refusals so far, plus one
	Unknowns int // how often the outcome of this attempt stayed unknown
}

// requestID returns the idempotency key of the claim's attempt. A refusal holds for ever under its key, so a new attempt
// needs a new key. No fee is debited twice, because Attempt grows only when the refusal of the last attempt is in the
// database: at any time at most one key of a fee is undecided, and no key follows one whose debit was applied.
func (c Claim) requestID() string {
	if c.Attempt == 1 {
		return c.TransferID + ":fee"
	}
	return fmt.Sprintf("%s:fee:%d", c.TransferID, c.Attempt)
}

// How a collector paces itself.
const (
	portion  = 256              // debtors per round, and at most as many fees: accountapi.MaxMovements, one call
	atOnce   = 32               // fees of one debtor per round; bounds the refusals if the balance goes after the question
	lease    = 15 * time.Second // of a claim; so long the debtors of a killed collector wait for another one
	patience = lease / 2        // for the ledger's answers; the rest of the lease is for writing them to the database
	writing  = 5 * time.Second  // timeout of that write
)

// share returns how many fees of each debtor a round reads.
func share(debtors int) int { return max(1, min(atOnce, portion/debtors)) }

// Collector charges pending fees; no other code does. Any number of replicas may run a collector. Claims keep two
// collectors from one debtor. If two should charge one fee nevertheless, they use the same key, so it is debited once.
//
// A collector asks the ledger for the balances of its debtors before it sends debits, since the ledger stores each refused
// debit for ever. So an account without balance costs one question per interval, however many fees it owes.
type Collector struct {
	queue    Queue
	ledger   Ledger
	interval time.Duration
	events   Bell
}

// NewCollector returns a collector. It rings the bell events when it has charged fees, since their events then wait in the
// outbox.
func NewCollector(queue Queue, ledger Ledger, config Config, events Bell) *Collector {
	return &Collector{queue: queue, ledger: ledger, interval: config.BalanceInterval, events: events}
}

// Round collects the fees of one portion of debtors; it is a service.Round. It finishes a portion that it has claimed even if
// ctx ends meanwhile.
func (c *Collector) Round(ctx context.Context) (more bool, err error) {
	finishing := context.WithoutCancel(ctx)
	charging, cancel := context.WithTimeout(finishing, patience) // begins before the lease, which the claim begins
	defer cancel()
	debtors, err := c.queue.Claim(ctx, lease, portion)
	if err != nil || len(debtors) == 0 {
		return false, err
	}
	cases, err := c.ask(charging, debtors)
	if cases == nil {
		return false, err // the lease ends by itself
	}
	c.charge(charging, cases)

	var settlements []Settlement
	releases := make([]Release, len(cases))
	for i := range cases {
		own := cases[i].settle()
		settlements, releases[i] = append(settlements, own...), cases[i].release(own, c.interval)
		more = more || cases[i].owesMore && releases[i].Pause == 0
	}
	settling, cancel := context.WithTimeout(finishing, writing)
	defer cancel()
	effective, settleErr := c.queue.Settle(settling, settlements, releases)
	if slices.ContainsFunc(effective, func(s Settlement) bool { return s.Status == Charged }) {
		c.events.Ring()
	}
	if settleErr != nil {
		return false, errors.Join(err, fmt.Errorf("settling: %w", settleErr))
	}
	if err == nil {
		err = firstUnknown(cases)
	}
	if err != nil {
		return false, err // no round at once: the worker pauses after an error
	}
	return more || len(debtors) == portion, nil
}

// ask finds out what each debtor owes and what balance it has. If the ledger does not answer, ask returns cases without
// tries and the error. If the database fails, it returns no cases and the error.
func (c *Collector) ask(ctx context.Context, debtors []Debtor) ([]collection, error) {
	numbers := make([]string, len(debtors))
	for i, d := range debtors {
		numbers[i] = d.AccountNumber
	}
	each := share(len(debtors))
	claims, err := c.queue.Owed(ctx, numbers, each)
	if err != nil {
		return nil, err
	}
	owed := map[string][]Claim{}
	for _, claim := range claims {
		owed[claim.AccountNumber] = append(owed[claim.AccountNumber], claim)
	}
	cases := make([]collection, len(debtors))
	questions := make([]accountapi.BalanceQuestion, len(debtors))
	for i, d := range debtors {
		cases[i] = collection{debtor: d, owesMore: len(owed[d.AccountNumber]) == each}
		questions[i].AccountNumber = d.AccountNumber
		for _, claim := range owed[d.AccountNumber] {
			questions[i].RequestIDs = append(questions[i].RequestIDs, claim.requestID())
		}
	}
	standings, err := c.ledger.Balances(ctx, questions)
	if err != nil {
		for i := range cases {
			cases[i].found = Unanswered
		}
		return cases, fmt.Errorf("asking for the balances of %d accounts: %w", len(cases), err)
	}
	for i, standing := range standings {
		cases[i].plan(owed[standing.AccountNumber], standing)
	}
	return cases, nil
}

// answer is what the ledger said to one claim.
type answer struct {
	outcome accountapi.Outcome
	err     error // the outcome is unknown
}

// charge sends the debits of all cases concurrently. The ledger's client joins them into a few calls.
func (c *Collector) charge(ctx context.Context, cases []collection) {
	var waiting sync.WaitGroup
	for i := range cases {
		tries, answers := cases[i].tries, cases[i].answers
		for j, claim := range tries {
			waiting.Go(func() {
				answers[j].outcome, answers[j].err = c.ledger.Move(ctx, accountapi.Movement{
					RequestID:     claim.requestID(),
					AccountNumber: claim.AccountNumber,
					Type:          accountapi.Debit,
					Kind:          accountapi.KindFee,
					Amount:        claim.Amount,
					TransferID:    claim.TransferID,
					Description:   Description,
				})
			})
		}
	}
	waiting.Wait()
}

func firstUnknown(cases []collection) error {
	var first error
	unknown, all := 0, 0
	for _, each := range cases {
		for _, a := range each.answers {
			all++
			if a.err != nil {
				unknown++
				if first == nil {
					first = a.err
				}
			}
		}
	}
	if unknown == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d fees have an unknown outcome and will be tried again, the first: %w", unknown, all, first)
}
