package customer

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
)

// Visitor is the client for whom a password is hashed. It decides when the client's turn comes. The zero value is a visitor
// of no known source who has not failed. See docs/adr/0017.
type Visitor struct {
	// Source is where the visitor comes from. Network is the network around the source, all of which one customer may have.
	// Networks take turns, and so do the sources of each network, however many visitors each of them sends.
	Source, Network string
	// Later says that the visitor registers, or comes from a source that has failed. Such visitors wait in a second queue,
	// which gets one turn in laterShare while the first queue is not empty.
	Later bool
	// Admit, if it is not nil, is called when the visitor's turn has come. If it fails, the password is not hashed.
	Admit func() error
}

type visitorKey struct{}

// WithVisitor returns a context for what the service does on behalf of v.
func WithVisitor(ctx context.Context, v Visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

// VisitorOf returns the visitor of WithVisitor, or the zero value.
func VisitorOf(ctx context.Context) Visitor {
	v, _ := ctx.Value(visitorKey{}).(Visitor)
	return v
}

const (
	// maxQueue is how long a request may wait to have a password hashed. A longer wait means that there are more attempts
	// than the cores can serve.
	maxQueue = 2 * time.Second
	// laterShare is the number of turns of which one goes to the second queue, if a visitor waits in it.
	laterShare = 8
)

// hashing bounds how many passwords are hashed at once by the number of cores: a hash takes 19 MiB and a core. A visitor who
// finds no free core waits in one of two queues. In each, networks and their sources take turns.
type hashing struct {
	mu           sync.Mutex
	free         int // cores; above 0 only while nobody waits
	first, later rounds
	passedOver   int // turns that went to first while a visitor waited in later
}

func newHashing(cores int) *hashing { return &hashing{free: cores} }

// do runs work, which hashes a password, when the turn of ctx's visitor has come. It returns ErrBusy if that takes longer
// than maxQueue.
func (h *hashing) do(ctx context.Context, work func() error) error {
	visitor := VisitorOf(ctx)
	if err := h.enter(ctx, visitor); err != nil {
		return err
	}
	defer h.leave()
	if visitor.Admit != nil {
		if err := visitor.Admit(); err != nil {
			return err
		}
	}
	return work()
}

func (h *hashing) enter(ctx context.Context, visitor Visitor) error {
	w := h.wait(visitor)
	if w == nil {
		return nil
	}
	timeout := time.NewTimer(maxQueue)
	defer timeout.Stop()
	select {
	case <-w.turn:
		return nil
	case <-timeout.C:
		h.giveUp(w)
		return ErrBusy
	case <-ctx.Done():
		h.giveUp(w)
		return fault.Away(ctx.Err())
	}
}

// wait takes a free core and returns nil, or returns a place in the queue.
func (h *hashing) wait(visitor Visitor) *waiter {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.free > 0:
		h.free--
		return nil
	case visitor.Later:
		return h.later.add(visitor)
	default:
		return h.first.add(visitor)
	}
}

// giveUp leaves the queue. A turn that has come meanwhile passes to the next.
func (h *hashing) giveUp(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.source == nil {
		h.passOn()
		return
	}
	w.queue.remove(w)
}

func (h *hashing) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passOn()
}

// passOn gives the core to the next waiter, or frees it if nobody waits.
func (h *hashing) passOn() {
	queue := &h.first
	switch {
	case h.later.empty():
	case h.first.empty() || h.passedOver >= laterShare-1:
		queue, h.passedOver = &h.later, 0
	default:
		h.passedOver++
	}
	if queue.empty() {
		h.free++
		return
	}
	close(queue.next().turn)
}

// rounds is a queue in which networks take turns, and within each network its sources. The zero value is empty.
type rounds struct{ all node }

// node is one level of the queue: a source holds waiters in the order of their arrival, a network holds sources, and rounds
// holds networks.
type node struct {
	parent *node
	name   string
	place  *list.Element // in the parent's order
	inside map[string]*node
	order  list.List // of *node or, in a source, of *waiter; the front is next
}

type waiter struct {
	turn   chan struct{} // closed when the turn has come
	queue  *rounds
	source *node // nil when the waiter has left it
	place  *list.Element
}

func (r *rounds) empty() bool { return r.all.order.Len() == 0 }

func (r *rounds) add(v Visitor) *waiter {
	source := r.all.child(v.Network).child(v.Source)
	w := &waiter{turn: make(chan struct{}), queue: r, source: source}
	w.place = source.order.PushBack(w)
	return w
}

// child returns the node of that name inside n, and adds it if there is none.
func (n *node) child(name string) *node {
	c := n.inside[name]
	if c == nil {
		c = &node{parent: n, name: name}
		c.place = n.order.PushBack(c)
		if n.inside == nil {
			n.inside = map[string]*node{}
		}
		n.inside[name] = c
	}
	return c
}

// next removes and returns the next waiter: in the network whose turn it is, the first waiter of the source whose turn it
// is. Both move behind the others of their level.
func (r *rounds) next() *waiter {
	for n := &r.all; ; {
		front := n.order.Front()
		if w, ok := front.Value.(*waiter); ok {
			r.remove(w)
			return w
		}
		n.order.MoveToBack(front)
		n = front.Value.(*node)
	}
}

func (r *rounds) remove(w *waiter) {
	n := w.source
	n.order.Remove(w.place)
	w.source = nil
	for n.order.Len() == 0 && n.parent != nil {
		n.parent.order.Remove(n.place)
		delete(n.parent.inside, n.name)
		n = n.parent
	}
}
