package testca

import (
	"reflect"
	"time"

	"github.com/letsencrypt/pebble/v2/va"
	"github.com/miekg/dns"
)

// validation is how long Pebble gives each step of a validation.
const validation = 15 * time.Second

// patient has the validator wait for answers to its DNS queries for as long as for
// everything else. Its client gives up after 2 s, which an answer in the same process may
// take where many tests share few processors; then an order fails that should
// not, and the next comes after a minute. Pebble has no setting for it.
func patient(validator *va.VAImpl) {
	client := (*dns.Client)(reflect.ValueOf(validator).Elem().FieldByName("dnsClient").UnsafePointer())
	client.Timeout = validation
}
