package httpapi_test

import "testing"

// Once account-svc has listed an account as closed, fee-svc refuses reads with its token.
func TestClosedAccountReadsNothing(t *testing.T) {
	s := newEdge(t, 200)
	refresh := func(closed ...string) {
		t.Helper()
		s.closings = closed
		if _, err := s.closed.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/api/fee/my", "/api/fee/" + ana, "/api/fee/detail/01900000-0000-7000-8000-000000000001"} {
		const inactive = `{"message":"Conta inativa.","type":"INACTIVE_ACCOUNT"}`
		refresh("id-of-" + ana)
		if status, body := s.get(ana, path); status != 400 || body != inactive {
			t.Errorf("%s: %d %s", path, status, body)
		}
		refresh("id-of-" + bia)
		if status, body := s.get(ana, path); body == inactive {
			t.Errorf("%s, of somebody else: %d %s", path, status, body)
		}
	}
}
