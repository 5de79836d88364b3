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
	// callerHeader holds the app id of the caller, if a sidecar delivers the request. The caller's sidecar adds the true
	// id to whatever the caller has put there.
	callerHeader = "Dapr-Caller-App-Id"
	ingressAppID = "ingress"
)

// source returns where a request came from, for the limits. For a request that the service's own sidecar delivers from the
// ingress, it is the address that the ingress saw. For any other request it is the address of the connection, whatever the
// headers say. An IPv6 address stands for its /64, which one customer has alone.
func (h handlers) source(r *http.Request) string {
	if named := r.Header.Values(sourceHeader); len(named) == 1 && h.fromIngress(r) {
		if address, err := netip.ParseAddr(named[0]); err == nil {
			return network(address)
		}
	}
	if caller, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return network(caller.Addr())
	}
	return "unknown" // one source for all such requests
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

// wider returns the network around a source, all of which one customer may have. For IPv6 it is the /48, the largest network
// that a site usually gets (RFC 6177). For IPv4 it is the source alone.
func wider(source string) string {
	prefix, err := netip.ParsePrefix(source)
	if err != nil {
		return source
	}
	return netip.PrefixFrom(prefix.Addr(), 48).Masked().String()
}
