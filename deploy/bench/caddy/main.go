// Caddy is the newest Caddy with its standard modules, as its own builds are, for
// the comparison that deploy/bench makes.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
