package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/platform/web/webtest"
)

func TestRoutesMatchTheOpenAPIDocument(t *testing.T) {
	a := newAPI(t)
	_, token := a.register("52998224725", "Ana Souza")
	webtest.MatchesDocument(t, "../../openapi.yaml", a.router.(chi.Routes), func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
	})
}
