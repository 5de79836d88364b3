package httpapi

import (
	"net/url"
	"testing"
	"time"
)

func zone(t *testing.T, name string) (z Zone) {
	t.Helper()
	if err := z.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return z
}

func TestBound(t *testing.T) {
	for _, test := range []struct {
		zone, text string
		wholeDay   bool
		want       string
	}{
		{"America/Sao_Paulo", "2026-11-28", false, "2026-11-28T03:00:00Z"},
		{"America/Sao_Paulo", "2026-11-28", true, "2026-11-29T03:00:00Z"},
		{"America/Sao_Paulo", "2026-12-31", true, "2027-01-01T03:00:00Z"},
		{"America/Sao_Paulo", "2028-02-28", true, "2028-02-29T03:00:00Z"},
		{"UTC", "2026-11-28", true, "2026-11-29T00:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04", false, "2018-11-04T03:00:00Z"}, // no midnight: 00:00 is 01:00
		{"America/Santiago", "2026-09-06", false, "2026-09-06T04:00:00Z"},  // no midnight either
		{"America/Havana", "2026-11-01", false, "2026-11-01T04:00:00Z"},    // two: 01:00 is 00:00 again
		{"America/Havana", "2026-11-01", true, "2026-11-02T05:00:00Z"},     // a day of 25 hours
		{"America/Sao_Paulo", "2026-11-28T10:00:00Z", false, "2026-11-28T10:00:00Z"},
		{"America/Sao_Paulo", "2026-11-28T10:00:00.5-03:00", true, "2026-11-28T13:00:00.5Z"},
		{"America/Sao_Paulo", "0001-01-01T00:00:00Z", true, "0001-01-01T00:00:00Z"},
	} {
		got, err := bound(url.Values{"to": {test.text}}, "to", zone(t, test.zone), test.wholeDay)
		if err != nil || got == nil || got.UTC().Format(time.RFC3339Nano) != test.want {
			t.Errorf("%s in %s: %v, %v, want %s", test.text, test.zone, got, err, test.want)
		}
	}
	if got, err := bound(url.Values{}, "to", zone(t, "UTC"), false); got != nil || err != nil {
		t.Errorf("no parameter: %v, %v", got, err)
	}
	for _, text := range []string{
		"", "x", "2026", "2026-02-30", "2026-2-3", "28/11/2026", "2026-11-28 10:00:00Z", "2026-11-28T1:00:00Z",
		"2026-11-28T10:00:00", "2026-11-28T10:00:00,5Z", "2026-11-28T25:00:00Z",
		"0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", // years that RFC 3339 cannot write in UTC
	} {
		if got, err := bound(url.Values{"from": {text}}, "from", zone(t, "UTC"), false); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
	if got, err := bound(url.Values{"to": {"9999-12-31"}}, "to", zone(t, "UTC"), true); err == nil {
		t.Errorf("the end of the last day: %v, want an error", got)
	}
}

func TestZoneRefuses(t *testing.T) {
	for _, name := range []string{"Local", "Brasilia", "-03:00", "../UTC"} {
		var z Zone
		if err := z.UnmarshalText([]byte(name)); err == nil {
			t.Errorf("%q is %v", name, z)
		}
	}
}
