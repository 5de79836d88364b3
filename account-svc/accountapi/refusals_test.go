package accountapi

import (
	"os"
	"regexp"
	"testing"
)

// transfer-svc hands every refusal of the ledger on to its clients, so the document of its API lists their types.
func TestTransfersDocumentListsTheRefusals(t *testing.T) {
	document, err := os.ReadFile("../../transfer-svc/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for typ := range refusals {
		if !regexp.MustCompile(`(?m)^ +- ` + typ + `$`).Match(document) {
			t.Errorf("it does not list %s", typ)
		}
	}
}
