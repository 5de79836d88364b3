package httpapi

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/bankmore/bankmore/platform/auth"
)

const (
	// sourceHeader holds the address from which the ingress was called. The ingress removes it from what clients send.
	sourceHeader = "X-Real-IP"
	// callerHeader holds the app ids of those who called through a sidecar. A caller's sidecar adds its own to what the
	// caller claims.
	callerHeader = "Dapr-Caller-App-Id"
	ingressAppID = "ingress"
)

// source is where a request came from, for the limits: the address that the ingress saw, of requests that the service's
// own sidecar delivers for the ingress. Of all others it is the address of whoever calls, whatever the request says. An
// IPv6 address stands for its /64, which one customer has to itself.
func (h handlers) source(r *http.Request) string {
	if named := r.Header.Values(sourceHeader); len(named) == 1 && h.fromIngress(r) {
		if address, err := netip.ParseAddr(named[0]); err == nil {
			return network(address)
		}
	}
	if caller, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return network(caller.Addr())
	}
	return "unknown" // one for all
}

func (h handlers) fromIngress(r *http.Request) bool {
	return auth.HasAppToken(r, h.AppToken) && slices.Equal(r.Header.Values(callerHeader), []string{ingressAppID})
}

func network(address netip.Addr) string {
	address = address.Unmap()
	if address.Is4() {
		return address.String()
	}
	return netip.PrefixFrom(address, 64).Masked().String()
}

// wider is the network around a source, all of which one customer may have: of an IPv6 network its /48, the largest that
// a site usually gets (RFC 6177). Of others it is the source alone.
func wider(source string) string {
	prefix, err := netip.ParsePrefix(source)
	if err != nil {
		return source
	}
	return netip.PrefixFrom(prefix.Addr(), 48).Masked().String()
}
