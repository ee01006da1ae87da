package testnetns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// mtu is that of an Ethernet, so of both devices.
const mtu = 1500

// A Packet is what a Rule knows of a packet on the line.
type Packet struct {
	There    bool // it goes to the other host
	Size     int  // bytes, with the IP header
	Protocol int  // unix.IPPROTO_TCP, ...; of IPv6, that of the first header
	From, To netip.AddrPort
}

// A Fate is what becomes of a packet.
type Fate struct {
	Lost  bool
	Delay time.Duration
}

// A Rule decides about packets. Of several rules one that loses a packet wins, and
// delays add up. It is called by two goroutines at a time.
type Rule func(Packet) Fate

// Set replaces the rules of the line; none is a good line.
func (n *Net) Set(rules ...Rule) { n.rules.Store(&rules) }

// Loss loses a share of the packets at random, from or to the other host.
func Loss(share float64, there bool) Rule {
	return func(p Packet) Fate { return Fate{Lost: p.There == there && rand.Float64() < share} }
}

// Delay holds every packet back, in both directions: half of a round trip.
func Delay(by time.Duration) Rule { return func(Packet) Fate { return Fate{Delay: by} } }

// Narrow loses packets of more bytes than fit, without a word to their sender: a
// path MTU that nobody can discover.
func Narrow(fit int) Rule { return func(p Packet) Fate { return Fate{Lost: p.Size > fit} } }

// Without loses what matches.
func Without(match func(Packet) bool) Rule {
	return func(p Packet) Fate { return Fate{Lost: match(p)} }
}

func (n *Net) fate(p Packet) (all Fate) {
	for _, rule := range *n.rules.Load() {
		one := rule(p)
		all.Lost, all.Delay = all.Lost || one.Lost, all.Delay+one.Delay
	}
	return all
}

// end makes one end of the line: a TUN device with the addresses of its host.
func (n *Net) end(name string, number uint32, own, peer Host, there bool) *os.File {
	n.t.Helper()
	name = fmt.Sprintf("%s%d", name, number)
	run := n.RunHere
	var device *os.File
	open := func() (err error) { device, err = tun(name); return err }
	err := error(nil)
	if there {
		run, err = n.Run, n.inThere(open)
	} else {
		err = open()
	}
	if err != nil {
		n.t.Fatalf("making a TUN device, for which /dev/net/tun must be there: %v", err)
	}
	run("ip", "link", "set", name, "mtu", fmt.Sprint(mtu), "up")
	run("ip", "address", "add", own.IPv4.String(), "peer", peer.IPv4.String(), "dev", name)
	run("ip", "-6", "address", "add", own.IPv6.String()+"/64", "dev", name, "nodad")
	if there { // all of the internet is on our side
		run("ip", "route", "add", "default", "dev", name)
		run("ip", "-6", "route", "add", "default", "dev", name)
	}
	return device
}

// tun opens a new TUN device, which is in the namespace of the calling thread. It
// ends when it is closed.
func tun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "tun "+name), nil
}

// carry takes packets from one end to the other until one of them is closed, in
// the order in which they came.
func (n *Net) carry(from, to *os.File, there bool) {
	type held struct {
		at    time.Time
		bytes []byte
	}
	queue := make(chan held, 4096)
	var writer sync.WaitGroup
	writer.Go(func() {
		for one := range queue {
			if wait := time.Until(one.at); wait > 0 {
				time.Sleep(wait)
			}
			_, _ = to.Write(one.bytes) // a line that ends loses what is on it
		}
	})
	buffer := make([]byte, mtu+100)
	for {
		size, err := from.Read(buffer)
		if err != nil {
			break
		}
		p, ok := parse(buffer[:size])
		if !ok {
			continue // no unicast packet of TCP, UDP or ICMP
		}
		p.There = there
		fate := n.fate(p)
		if fate.Lost {
			continue
		}
		select {
		case queue <- held{time.Now().Add(fate.Delay), append([]byte(nil), buffer[:size]...)}:
		default: // as a router does whose queue is full
		}
	}
	close(queue)
	writer.Wait()
}

// parse reads the headers of an IP packet.
func parse(data []byte) (p Packet, ok bool) {
	if len(data) < 20 {
		return p, false
	}
	var from, to netip.Addr
	var rest []byte
	switch data[0] >> 4 {
	case 4:
		from, _ = netip.AddrFromSlice(data[12:16])
		to, _ = netip.AddrFromSlice(data[16:20])
		header := int(data[0]&15) * 4
		if header > len(data) {
			return p, false
		}
		p.Protocol, rest = int(data[9]), data[header:]
	case 6:
		if len(data) < 40 {
			return p, false
		}
		from, _ = netip.AddrFromSlice(data[8:24])
		to, _ = netip.AddrFromSlice(data[24:40])
		p.Protocol, rest = int(data[6]), data[40:]
	default:
		return p, false
	}
	if to.IsMulticast() {
		return p, false
	}
	var source, target uint16
	if (p.Protocol == unix.IPPROTO_TCP || p.Protocol == unix.IPPROTO_UDP) && len(rest) >= 4 {
		source, target = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	}
	p.Size, p.From, p.To = len(data), netip.AddrPortFrom(from, source), netip.AddrPortFrom(to, target)
	return p, true
}
