// Package deadletter shows the events that fee-svc could not understand and puts them back.
//
// When Replay has put a letter back, it adds a note to the dead-letter topic: a record without a value that names the letter.
// Offsets of a consumer group would not be enough. An operator may put letters back in any order, and brokers delete the
// offsets of a group without members after some days, but keep the letters for a year.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/ops/internal/broker"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// The topics: Topic holds the letters, and Target is the topic they came from and go back to.
const (
	Topic  = feeapi.TopicDeadLetter
	Target = transferapi.TopicCompleted
)

// noteHeader is the header by which a note names its letter. Letters have no headers: fee-svc sends values only.
const noteHeader = "bankmore-put-back"

// Position says where in Topic a letter is.
type Position struct {
	Partition int32
	Offset    int64
}

// ParsePosition reads the form of String: partition:offset.
func ParsePosition(s string) (Position, error) {
	partition, offset, ok := strings.Cut(s, ":")
	p, err := strconv.ParseUint(partition, 10, 31)
	o, err2 := strconv.ParseUint(offset, 10, 63)
	if !ok || err != nil || err2 != nil {
		return Position{}, fmt.Errorf("%q is no partition:offset", s)
	}
	return Position{int32(p), int64(o)}, nil
}

// String returns partition:offset.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Partition, p.Offset) }

// Letter is an event that fee-svc did not understand.
type Letter struct {
	Position
	At      time.Time // when fee-svc kept it
	ID      string    // of the CloudEvent; "" if it cannot be read
	Size    int       // in bytes
	Why     error     // why this version cannot understand it; nil if it can
	PutBack time.Time // when it was put back; zero if it was not
}

// List returns the letters in the order of their positions.
func List(ctx context.Context, client *kgo.Client) ([]Letter, error) {
	var letters []Letter
	at := map[Position]int{}
	err := broker.Scan(ctx, client, Topic, func(r *kgo.Record) error {
		if about, ok := noted(r); ok {
			if i, known := at[about]; known { // else the letter was so old that the broker has deleted it
				letters[i].PutBack = r.Timestamp
			}
			return nil
		}
		l := Letter{Position: Position{r.Partition, r.Offset}, At: r.Timestamp, Size: len(r.Value)}
		l.ID, _, l.Why = transferapi.ReadCompleted(r.Value)
		at[l.Position] = len(letters)
		letters = append(letters, l)
		return nil
	})
	return letters, err
}

// Replay puts the letters at these positions back unchanged. Once the broker has confirmed a letter, Replay writes its note.
// If Replay ends between the two, the next run puts the letter back again, and fee-svc treats it as a duplicate. Replay
// returns the positions that it has put back, also beside an error, such as that a letter is gone.
func Replay(ctx context.Context, client *kgo.Client, chosen map[Position]bool) (done []Position, err error) {
	left := maps.Clone(chosen)
	err = broker.Scan(ctx, client, Topic, func(r *kgo.Record) error {
		position := Position{r.Partition, r.Offset}
		if !chosen[position] {
			return nil
		}
		letter := &kgo.Record{Topic: Target, Key: keyOf(r.Value), Value: r.Value}
		if err := client.ProduceSync(ctx, letter).FirstErr(); err != nil {
			return fmt.Errorf("putting back %s: %w", position, err)
		}
		done = append(done, position)
		delete(left, position)
		note := &kgo.Record{
			Topic: Topic, Partition: r.Partition,
			Headers: []kgo.RecordHeader{{Key: noteHeader, Value: []byte(position.String())}},
		}
		if err := client.ProduceSync(ctx, note).FirstErr(); err != nil {
			return fmt.Errorf("%s is put back, but noting it: %w", position, err)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	for position := range left {
		err = errors.Join(err, fmt.Errorf("%s is gone: the broker has deleted it since it was listed", position))
	}
	return done, err
}

// noted returns the position of the letter that a note is about. ok is false if r is no note.
func noted(r *kgo.Record) (about Position, ok bool) {
	for _, h := range r.Headers {
		if h.Key == noteHeader {
			about, err := ParsePosition(string(h.Value))
			return about, err == nil
		}
	}
	return Position{}, false
}

// keyOf returns the key that a good event of the same account has: the origin's account number. It returns nil if it cannot
// read the number.
func keyOf(message []byte) []byte {
	var event struct {
		Data struct {
			Origin string `json:"origin_account_number"`
		} `json:"data"`
	}
	// Read leniently: all events of one account belong into one partition, even if something else in this one is wrong.
	err := json.Unmarshal(message, &event, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil || !accountapi.IsAccountNumber(event.Data.Origin) {
		return nil
	}
	return []byte(event.Data.Origin)
}
