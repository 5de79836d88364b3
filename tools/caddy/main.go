// Command caddy is Caddy for the ingress, with only the modules that ingress/Caddyfile uses. Caddy's own build has three times
// as many modules and takes longer to compile.
package main

import (
	"os"
	"runtime/debug"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"          // reads the Caddyfile
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"              // http, matchers, error, respond, vars
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"      // header, request_header
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"    // intercept
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/logging"      // log_append
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"  // request_body
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // reverse_proxy
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"      // uri
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/tracing"      // tracing
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"            // where Caddy keeps its state
	_ "github.com/caddyserver/caddy/v2/modules/logging"                // the filter encoder of logs
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // as in the services: docs/adr/0045
	}
	caddycmd.Main()
}
