package transferapi

import (
	"fmt"
	"strings"
	"testing"
)

func TestCompletedValidate(t *testing.T) {
	valid := Completed{ID: "0190f3a1-7b00-7000-8000-000000000001", OriginAccountNumber: "7907027952", Amount: 15000}
	for name, test := range map[string]struct {
		change func(*Completed)
		valid  bool
	}{
		"as it should be":         {func(*Completed) {}, true},
		"one cent":                {func(c *Completed) { c.Amount = 1 }, true},
		"short number":            {func(c *Completed) { c.OriginAccountNumber = "18" }, true},
		"no id":                   {func(c *Completed) { c.ID = "" }, false},
		"id is no UUID":           {func(c *Completed) { c.ID = "transfer-1" }, false},
		"id in capitals":          {func(c *Completed) { c.ID = strings.ToUpper(c.ID) }, false},
		"id in braces":            {func(c *Completed) { c.ID = "{" + c.ID + "}" }, false},
		"id as URN":               {func(c *Completed) { c.ID = "urn:uuid:" + c.ID }, false},
		"id without hyphens":      {func(c *Completed) { c.ID = strings.ReplaceAll(c.ID, "-", "") }, false},
		"no account":              {func(c *Completed) { c.OriginAccountNumber = "" }, false},
		"account with a letter":   {func(c *Completed) { c.OriginAccountNumber = "790702795X" }, false},
		"account with 11 digits":  {func(c *Completed) { c.OriginAccountNumber = "79070279521" }, false},
		"account with a newline":  {func(c *Completed) { c.OriginAccountNumber = "7907027952\n" }, false},
		"account in other digits": {func(c *Completed) { c.OriginAccountNumber = "١٢٣" }, false},
		"no amount":               {func(c *Completed) { c.Amount = 0 }, false},
		"negative amount":         {func(c *Completed) { c.Amount = -1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			completed := valid
			test.change(&completed)
			if err := completed.Validate(); (err == nil) != test.valid {
				t.Errorf("%+v: %v", completed, err)
			}
		})
	}
}

// ReadCompleted returns the id also of an event that it refuses, and reads an event with members that it does not know.
func TestReadCompleted(t *testing.T) {
	const event = `{"id":"e","source":"s","specversion":"1.0","type":"t","more":1,"data":{"id":"0190f3a1-7b00-7000-8000-000000000001",` +
		`"origin_account_number":"18","amount":"150.00","completed_at":"2026-01-02T03:04:05Z","more":2}}`
	for name, test := range map[string]struct {
		message, id, err string
	}{
		"as it should be":    {event, "e", ""},
		"no JSON":            {"\xff", "", "not a CloudEvent"},
		"no version":         {strings.Replace(event, "1.0", "2.0", 1), "e", "not a CloudEvent 1.0"},
		"no data":            {`{"id":"e","source":"s","specversion":"1.0","type":"t"}`, "e", "no JSON data"},
		"no account":         {strings.Replace(event, `"18"`, `""`, 1), "e", "origin_account_number"},
		"amount is no money": {strings.Replace(event, "150.00", "a lot", 1), "e", "data"},
		"cut off":            {event[:60], "e", "not a CloudEvent"},
	} {
		id, c, err := ReadCompleted([]byte(test.message))
		if id != test.id || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		if err == nil && (c.OriginAccountNumber != "18" || c.Amount != 15000) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// The trace that an event goes on with does not decide whether the event is good.
func TestTraceParent(t *testing.T) {
	const event = `{"id":"e","source":"s","specversion":"1.0","type":"t","data":{"id":"0190f3a1-7b00-7000-8000-000000000001",` +
		`"origin_account_number":"18","amount":"150.00"}%s}`
	for more, want := range map[string]string{
		"":                           "",
		`,"traceparent":"00-1-2-01"`: "00-1-2-01",
		`,"traceparent":7`:           "",
		`,"traceparent":null`:        "",
		`,"traceparent":{"a":[]}`:    "",
	} {
		_, c, err := ReadCompleted(fmt.Appendf(nil, event, more))
		if err != nil || c.TraceParent != want {
			t.Errorf("%s: %q, %v", more, c.TraceParent, err)
		}
	}
}
