package httpapi

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
	_ "time/tzdata" // the services' image has no time zones of its own

	"github.com/bankmore/bankmore/platform/fault"
)

// StatementConfig holds the time zone of the days in statements, and the bank's code in OFX files: its number in the Central
// Bank's clearing (COMPE), or another number of up to nine digits.
type StatementConfig struct {
	Zone     Zone   `env:"BANK_TIME_ZONE" envDefault:"America/Sao_Paulo"`
	BankCode string `env:"BANK_CODE" envDefault:"000"`
}

var bankCode = regexp.MustCompile(`^\d{1,9}$`)

// Validate returns an error for each value out of range.
func (c StatementConfig) Validate() error {
	if !bankCode.MatchString(c.BankCode) {
		return errors.New("BANK_CODE has not 1 to 9 digits")
	}
	return nil
}

// Zone is the bank's time zone.
type Zone struct{ *time.Location }

// UnmarshalText reads the name of a zone of the IANA time zone database.
func (z *Zone) UnmarshalText(text []byte) error {
	location, err := time.LoadLocation(string(text))
	if err != nil || location == time.Local {
		return fmt.Errorf("want a time zone of the IANA database, such as America/Sao_Paulo, not %q", text)
	}
	z.Location = location
	return nil
}

// instantForm is stricter than time.Parse, which takes T1:00 and a comma for the point.
var instantForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// bound reads a bound of a period from a query: an instant (RFC 3339), or a date, which is a day of the zone. The bound is
// that day's beginning, or its end if wholeDay. Without the parameter it returns nil. RFC 3339 can write the bound in UTC.
func bound(values url.Values, name string, zone Zone, wholeDay bool) (*time.Time, error) {
	if !values.Has(name) {
		return nil, nil //nolint:nilnil // no bound is no failure
	}
	text := values.Get(name)
	malformed := fault.BadArgument(name + " deve ser uma data (AAAA-MM-DD) ou um instante RFC 3339 (AAAA-MM-DDThh:mm:ssZ).")
	writable := func(t time.Time) bool { return t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		if wholeDay {
			day = day.AddDate(0, 0, 1)
		}
		begins := beginningOf(day, zone.Location)
		if !writable(begins) {
			return nil, malformed
		}
		return &begins, nil
	}
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil || !instantForm.MatchString(text) || !writable(instant) {
		return nil, malformed.Because(err)
	}
	return &instant, nil
}

// beginningOf returns the first instant of a day in a zone. Where clocks change at midnight, that day has no midnight, or
// two of them, and time.Date picks one or leaves the day.
func beginningOf(day time.Time, zone *time.Location) time.Time {
	midnight := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	offsetBegins, offsetEnds := midnight.ZoneBounds()
	switch {
	case midnight.Day() != day.Day(): // the clocks skip midnight, and time.Date fell back to the day before
		return offsetEnds
	case midnight.Hour() != 0 || midnight.Minute() != 0: // the clocks skip midnight
		return offsetBegins
	case offsetBegins.IsZero():
		return midnight
	}
	_, offset := midnight.Zone()
	_, before := offsetBegins.Add(-1).Zone()
	if earlier := midnight.Add(time.Duration(offset-before) * time.Second); earlier.Before(midnight) && earlier.Before(offsetBegins) {
		return earlier // the clocks come to midnight twice
	}
	return midnight
}
