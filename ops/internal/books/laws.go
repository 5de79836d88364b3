package books

import (
	"fmt"
	"strings"
	"time"

	"github.com/bankmore/bankmore/ops/internal/repair"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// The laws. Each is named by what must hold, like the services' invariants.
const (
	completedLaw  = "a completed transfer is one debit of its origin and one credit of its destination"
	failedLaw     = "a failed transfer has moved nothing, or has been refunded"
	unfinishedLaw = "an unfinished transfer has moved what its state says"
	stuckLaw      = "no transfer stays unfinished"
	orphanLaw     = "a movement of a transfer, its refund or its fee has its transfer"
	requestLaw    = "the debit of a transfer carries its transfer's request, by which it can be restored"
	feeLaw        = "a completed transfer, and no other, has one fee, of its origin"
	chargeLaw     = "a charged fee, and no other, is one movement of its amount"
	pendingLaw    = "no fee stays pending but for its account's balance"
	eventLaw      = "no event stays in an outbox"
	sumLaw        = "customers and internal accounts add up to zero"
	transitLaw    = "what is in transit belongs to unfinished transfers"
	restLaw       = "nothing is in flight"
)

// laws are checked in every run. restLaw is checked with Options.AtRest only.
var laws = []string{
	completedLaw, failedLaw, unfinishedLaw, stuckLaw, orphanLaw, requestLaw, feeLaw, chargeLaw, pendingLaw, eventLaw, sumLaw, transitLaw,
}

// evidence is what the three databases say about one transfer. Its size does not depend on the number of rows.
type evidence struct {
	id                            string
	transfers, fees               int // numbers of rows
	transfer                      transfer
	fee                           fee
	debit, credit, refund, charge movement
	strange                       int   // number of movements of any other kind
	began                         int64 // time of the earliest movement, in microseconds since 1970
}

// movement is the first movement of one kind, and the number of all of that kind.
type movement struct {
	leg
	n int
}

func (e *evidence) add(l leg) {
	if e.began == 0 || l.created < e.began {
		e.began = l.created
	}
	var other movement
	m := &other
	switch l.kind + " " + l.direction {
	case "transfer D":
		m = &e.debit
	case "transfer C":
		m = &e.credit
	case "refund C":
		m = &e.refund
	case "fee D":
		m = &e.charge
	default:
		e.strange++
	}
	if m.n++; m.n == 1 {
		m.leg = l
	}
}

// is reports whether there is exactly one movement, and it has this amount, account and other party.
func (m movement) is(amount money.Cents, account, other string) bool {
	return m.n == 1 && m.amount == amount && m.account == account && m.other == other
}

func (e evidence) debited() bool {
	return e.debit.is(e.transfer.amount, e.transfer.origin, e.transfer.destination)
}

func (e evidence) credited() bool {
	return e.credit.is(e.transfer.amount, e.transfer.destination, e.transfer.origin)
}

func (e evidence) refunded() bool {
	return e.refund.is(e.transfer.amount, e.transfer.origin, e.transfer.destination)
}

// sameRequest reports whether transfer and debit have the same request. It returns true if one of them has none.
func (e evidence) sameRequest() bool {
	return e.debit.request == request{} || e.debit.request == e.transfer.request || strings.HasPrefix(e.transfer.id, repair.NobodysRequest)
}

// held returns what the transfer has in transit. It assumes at most one movement of each kind.
func (e evidence) held() money.Cents { return e.debit.amount - e.credit.amount - e.refund.amount }

// moved returns the number of the transfer's movements, without that of its fee.
func (e evidence) moved() int { return e.debit.n + e.credit.n + e.refund.n + e.strange }

// String returns all evidence as one line of text.
func (e evidence) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "transfer %s", e.id)
	if e.transfers == 0 {
		b.WriteString(" does not exist")
	} else {
		t := e.transfer
		fmt.Fprintf(&b, " of %s from %s to %s is %s", t.amount, t.origin, t.destination, t.state)
	}
	if e.fees > 0 {
		fmt.Fprintf(&b, ", fee of %s of %s is %s", e.fee.amount, e.fee.account, e.fee.status)
		if e.fees > 1 {
			fmt.Fprintf(&b, " (of %d)", e.fees)
		}
	} else {
		b.WriteString(", no fee")
	}
	before := b.Len()
	for _, m := range []struct {
		name string
		movement
	}{{"debit", e.debit}, {"credit", e.credit}, {"refund", e.refund}, {"fee", e.charge}} {
		if m.n > 0 {
			fmt.Fprintf(&b, ", %d %s of %s of %s", m.n, m.name, m.amount, m.account)
			if m.other != "" {
				fmt.Fprintf(&b, " with %s", m.other)
			}
		}
	}
	if e.strange > 0 {
		fmt.Fprintf(&b, ", %d strange movements", e.strange)
	}
	if b.Len() == before {
		b.WriteString(", no movement")
	}
	return b.String()
}

// judge checks the evidence of one transfer against the laws.
func (a *audit) judge(e evidence) {
	if e.transfers > 0 {
		a.transfers[e.transfer.state] += e.transfers
	}
	if e.fees > 0 {
		a.fees[e.fee.status] += e.fees
	}
	a.judgeTransfer(e)
	a.judgeFee(e)
	a.judgeCharge(e)
}

func (a *audit) judgeTransfer(e evidence) {
	if e.transfers > 0 && e.debit.n > 0 && !e.sameRequest() {
		a.violation(requestLaw, e)
	}
	if e.transfers == 0 {
		if e.moved()+e.charge.n > 0 {
			if a.flyingOr(orphanLaw, "transfers that began meanwhile", e, e.began) {
				a.held = a.held.plus(totalOf(e.held()))
			}
		}
		return
	}
	switch e.transfer.state {
	case "COMPLETED":
		if !e.debited() || !e.credited() || e.moved() != 2 {
			a.violation(completedLaw, e)
		}
	case "FAILED":
		if e.moved() != 0 && (!e.debited() || !e.refunded() || e.moved() != 2) {
			a.violation(failedLaw, e)
		}
	default:
		if !e.underWay() {
			a.violation(unfinishedLaw, e)
			return
		}
		a.held = a.held.plus(totalOf(e.held()))
		a.flyingOr(stuckLaw, "unfinished transfers", e, e.transfer.created)
	}
}

// underWay reports whether the movements of an unfinished transfer fit its state. There may be more movements than the state
// says. The ledger may have answered what the state asks for, which in PENDING is both the debit and the credit, and transfer-svc
// may not have recorded it yet. And the transfer may have gone on between the two snapshots.
func (e evidence) underWay() bool {
	begun := e.debited() && (e.moved() == 1 || e.moved() == 2 && (e.credited() || e.refunded()))
	switch e.transfer.state {
	case "PENDING":
		return e.moved() == 0 || begun
	case "DEBITED":
		return begun
	case "REFUNDING":
		return begun && e.credit.n == 0
	default:
		return false
	}
}

func (a *audit) judgeFee(e evidence) {
	completed := e.transfers == 1 && e.transfer.state == "COMPLETED"
	switch {
	case !completed && e.fees == 0:
	case completed && e.fees == 0:
		a.flyingOr(feeLaw, "completed transfers without their fee", e, e.transfer.completed)
	case !completed, e.fees > 1, e.fee.account != e.transfer.origin:
		a.violation(feeLaw, e)
	}
}

func (a *audit) judgeCharge(e evidence) {
	if e.charge.n > 1 || e.charge.n == 1 && e.transfers > 0 && e.transfer.state == "FAILED" {
		a.violation(chargeLaw, e)
		return
	}
	charged := e.charge.is(e.fee.amount, e.fee.account, "")
	switch {
	case e.fees == 0 && e.charge.n == 1 && e.transfers > 0:
		a.flyingOr(chargeLaw, "fees that were recorded meanwhile", e, e.charge.created)
	case e.fees == 0: // judgeTransfer reports a charge without a transfer
	case e.fee.status == "CHARGED" && !charged,
		e.fee.status == "PENDING" && e.charge.n == 1 && !charged,
		e.fee.status == "WAIVED" && (e.charge.n > 0 || e.fee.reason == ""):
		a.violation(chargeLaw, e)
	case e.fee.status == "PENDING" && charged:
		a.flyingOr(chargeLaw, "fees charged and not yet recorded so", e, e.charge.created)
	case e.fee.status == "PENDING" && e.fee.waits:
		a.waitingFees++
	case e.fee.status == "PENDING":
		a.flyingOr(pendingLaw, "pending fees", e, e.fee.created)
	}
}

// flyingOr counts e as in flight if it happened within the grace period. Else it reports a violation of law. since is the time
// of what happened, in microseconds since 1970.
func (a *audit) flyingOr(law, kind string, e evidence, since int64) (flying bool) {
	if since < a.youngSince {
		a.violation(law, e)
		return false
	}
	a.inFlight(kind, e)
	return true
}

func (a *audit) inFlight(kind string, e evidence) {
	a.flying[kind]++
	if a.AtRest {
		a.violation(restLaw, e)
	}
}

func (a *audit) violation(law string, e evidence) { a.report.Violation(law, e.String()) }

func (a *audit) judgeTotals() {
	if internal := a.cash.plus(a.transit).plus(a.feeRevenue); !a.customers.plus(internal).is(total{}) {
		a.report.Violation(sumLaw, fmt.Sprintf("customers have %s, internal accounts %s", a.customers, internal))
	}
	if !a.transit.is(a.held) {
		a.report.Violation(transitLaw, fmt.Sprintf("transit has %s, what is in flight holds %s", a.transit, a.held))
	}
	a.judgeEvents("transfer-svc", a.transferEvents)
	a.judgeEvents("fee-svc", a.feeEvents)
}

func (a *audit) judgeEvents(service string, o outbox) {
	if o.old > 0 {
		a.report.Violation(eventLaw, fmt.Sprintf("%d of the %d events of %s have waited for longer than %s, the first since %s",
			o.old, o.events, service, a.Grace, sqldb.Time(o.oldest).Format(time.RFC3339)))
	}
	if young := o.events - o.old; young > 0 {
		a.flying["events to be published"] += young
	}
	if a.AtRest && o.events > 0 {
		a.report.Violation(restLaw, fmt.Sprintf("%d events wait in the outbox of %s", o.events, service))
	}
}
