package suite_test

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
)

// A statement comes as a file as well, through the ingress and through a sidecar, whole and with its length. (e2e/statement has
// programs of others read such files.)
func TestStatementFiles(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Arquivo", "100.00"), system.NewCustomer(t, "Bia Arquivo", "")
	paid := ana.Pay(t, bia, "30.00")
	system.Settle(t)
	base := system.URL() + "/api/account/statement/?from=" + time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04:05Z")
	header := ana.Header()
	header.Set("Accept", "text/csv")
	header.Set("Accept-Language", "en")
	answer, err := system.API.Send(t.Context(), http.MethodGet, base, nil, header)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("%d %s, %v", answer.Status, answer.Body, err)
	}
	lines, err := csv.NewReader(bytes.NewReader(answer.Body)).ReadAll()
	if err != nil || len(lines) != 6 {
		t.Fatalf("%s, %v", answer.Body, err)
	}
	if transfer := lines[3]; transfer[4] != "-30.00" || transfer[6] != bia.Number || transfer[7] != "Bia Arquivo" || transfer[9] != paid.TransferID {
		t.Errorf("the transfer is %q", transfer)
	}
	ofx, err := system.API.Send(t.Context(), http.MethodGet, base+"&format=ofx", nil, ana.Header())
	if err != nil || ofx.Status != http.StatusOK || !bytes.HasSuffix(ofx.Body, []byte("</OFX>")) || ofx.Header.Get("Content-Type") != "application/x-ofx" {
		t.Errorf("%d %v %s, %v", ofx.Status, ofx.Header, ofx.Body, err)
	}
	for what, got := range map[string]client.Answer{"CSV": answer, "OFX": ofx} {
		if length := strconv.Itoa(len(got.Body)); got.Header.Get("Content-Length") != length || got.Header.Get("X-Content-Length") != length {
			t.Errorf("%s of %s bytes: %v", what, length, got.Header)
		}
	}
	refused, err := system.API.Send(t.Context(), http.MethodGet, system.URL()+"/api/account/statement/?format=csv", nil, ana.Header())
	if failure := client.FailureFrom(refused); err != nil || refused.Status != http.StatusBadRequest || failure.Type != "INVALID_ARGUMENT" {
		t.Errorf("without a period: %d %s, %v", refused.Status, refused.Body, err)
	}
}
