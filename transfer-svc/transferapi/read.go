package transferapi

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// ReadCompleted reads a message of TopicCompleted: a CloudEvent whose data is a Completed. It ignores members that it does
// not know, since later versions may add some. It returns the id of the CloudEvent also beside an error, if it could read
// the id.
func ReadCompleted(message []byte) (id string, c Completed, err error) {
	var event struct {
		ID          string         `json:"id"`
		Source      string         `json:"source"`
		SpecVersion string         `json:"specversion"`
		Type        string         `json:"type"`
		Data        jsontext.Value `json:"data"`
		TraceParent any            `json:"traceparent"` // of any type: it must not make a good event a bad one
	}
	if err := json.Unmarshal(message, &event); err != nil {
		return event.ID, c, fmt.Errorf("not a CloudEvent: %w", err)
	}
	// The attributes that CloudEvents 1.0 section "Required attributes" demands.
	if event.SpecVersion != "1.0" || event.ID == "" || event.Source == "" || event.Type == "" {
		return event.ID, c, errors.New("not a CloudEvent 1.0: specversion, id, source or type is missing")
	}
	if event.Data == nil {
		return event.ID, c, errors.New("no JSON data")
	}
	if err := json.Unmarshal(event.Data, &c); err != nil {
		return event.ID, c, fmt.Errorf("data: %w", err)
	}
	c.TraceParent, _ = event.TraceParent.(string)
	if err := c.Validate(); err != nil {
		return event.ID, c, fmt.Errorf("data: %w", err)
	}
	return event.ID, c, nil
}

// Validate returns an error that says why no transfer can look like c.
func (c Completed) Validate() error {
	switch {
	case !canonicalID(c.ID): // another spelling of the same id would count as another transfer
		return errors.New("id is not a UUID in canonical form")
	case !accountapi.IsAccountNumber(c.OriginAccountNumber):
		return errors.New("origin_account_number is not an account number")
	default:
		return c.Amount.Positive()
	}
}

func canonicalID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
