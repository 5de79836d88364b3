package metered

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// plain is a Hasher whose hashes are the passwords.
type plain struct{}

func (plain) Hash(password string) (string, error)        { return password, nil }
func (plain) Matches(password, hash string) (bool, error) { return password == hash, nil }

func TestEachHashCounts(t *testing.T) {
	before := testutil.ToFloat64(hashes)
	h := NewHasher(plain{})
	hash, err := h.Hash("senha123")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := h.Matches("senha123", hash); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if ok, err := h.Matches("errada", hash); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if n := testutil.ToFloat64(hashes) - before; n != 3 {
		t.Errorf("%v hashes count, want 3", n)
	}
}
