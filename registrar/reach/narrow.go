package reach

import (
	"context"
	"fmt"
	"time"

	"wellkey/internal/finding"
)

// smallSegment is how much of a TCP stream a packet has that fits through any link:
// what every host must take (RFC 1122, section 4.2.2.6). Both sides keep to it,
// since the one that connects announces it.
const smallSegment = 536

// tryNarrow tells packets that are lost for their size from a host that is silent:
// where the main visit is not over after a third of the time, it makes two more
// handshakes beside it, one with small packets and one as usual. A ClientHello with a
// post-quantum key share has more than 1,400 bytes, and a certificate has, too, so a
// handshake is where a link shows that is narrower than the two ends believe.
func (h *host) tryNarrow(ctx context.Context, ended <-chan struct{}) {
	if !canLimitSegments {
		return
	}
	timer := time.NewTimer(h.look.prober.config.Timeout / 3)
	defer timer.Stop()
	select {
	case <-ended:
	case <-ctx.Done():
	case <-timer.C:
		h.look.prober.together(2, func(i int) {
			if i == 0 {
				h.small = h.look.visit(ctx, h.IP, errand{small: true})
			} else {
				h.usual = h.look.visit(ctx, h.IP, errand{})
			}
		})
	}
}

// onlySmall reports whether small packets made a handshake, while usual ones did not
// both times: once might be chance, on a line that loses packets of any size. Whether
// time ran out here or the host gave up first, as wellkey does, is the same.
func (h *host) onlySmall() bool { return h.small.stage == done && h.usual.stage == shaking }

// narrow is the result of a check that large packets did not pass.
func (h *host) narrow(id, when string) result {
	return because(id, finding.Fail, ReasonPathMTU,
		fmt.Sprintf("Small packets pass between here and %s, large ones do not: it was silent %s, twice, while a handshake with segments of %d bytes ended well.", h.endpoint(), when, smallSegment),
		"A link on the way takes smaller packets than the two ends believe (MTU), as PPPoE, a VPN or a tunnel does, and a firewall drops the ICMP messages that would tell them.",
		"Lower the MTU of the interface to that of the narrowest link (1492 for PPPoE, 1420 for WireGuard; 1280 passes everywhere), or have the router or the tunnel clamp the MSS; and let ICMP \"packet too big\" pass.")
}
