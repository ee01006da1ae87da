package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// names are the listeners that a socket may be for.
var names = []string{"http", "https", "admin"}

// Sockets returns the TCP sockets that the manager passed to this process, by the
// listener that each is for: "http", "https" or "admin". key is the listener that
// serves the key, for sockets that do not say. It can be called once.
//
// A socket says it with FileDescriptorName=, or with the name of its unit:
// wellkey-https.socket. Of sockets that do not, a single one is for the key; of
// two, the first is for http and the second for https.
func Sockets(key string) (map[string]net.Listener, error) {
	return assign(activation.Files(true), key)
}

func assign(files []*os.File, key string) (sockets map[string]net.Listener, err error) {
	sockets = map[string]net.Listener{}
	defer func() {
		for _, f := range files {
			_ = f.Close() // net has its own copy
		}
		if err != nil {
			for _, l := range sockets {
				_ = l.Close()
			}
		}
	}()
	var nameless []*os.File
	for _, f := range files {
		name := listenerOf(f.Name())
		if name == "" {
			nameless = append(nameless, f)
		} else if err := take(sockets, name, f); err != nil {
			return nil, err
		}
	}
	order := []string{"http", "https"}
	switch {
	case len(nameless) == 1 && len(files) == 1:
		order = []string{key}
	case len(nameless) > 0 && (len(nameless) != 2 || len(files) != 2):
		return nil, fmt.Errorf("the service manager passed %d sockets, and %q does not say for which listener it is: set FileDescriptorName= of its unit to http, https or admin",
			len(files), nameless[0].Name())
	}
	for i, f := range nameless {
		if err := take(sockets, order[i], f); err != nil {
			return nil, err
		}
	}
	return sockets, nil
}

// listenerOf returns the listener that a descriptor's name is about, or "".
func listenerOf(name string) string {
	name = strings.TrimSuffix(path.Base(name), ".socket")
	name = name[strings.LastIndex(name, "-")+1:]
	if slices.Contains(names, name) {
		return name
	}
	return ""
}

func take(sockets map[string]net.Listener, name string, f *os.File) error {
	if sockets[name] != nil {
		return fmt.Errorf("the service manager passed two sockets for %s: write one ListenStream=, such as 443, which takes IPv4 and IPv6", name)
	}
	l, err := net.FileListener(f)
	if err == nil {
		if _, ok := l.(*net.TCPListener); !ok {
			_ = l.Close()
			err = errors.New("it is of another kind")
		}
	}
	if err != nil {
		return fmt.Errorf("the socket that the service manager passed for %s is no TCP socket that listens: %w; write ListenStream= with a port or an address and a port", name, err)
	}
	sockets[name] = l
	return nil
}
