// Try puts itself into a sandbox, and tells what it can still do in the directory
// named by its argument: below read, write and outside.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"wellkey/internal/sandbox"
)

func main() {
	dir := os.Args[1]
	at := func(name string) string { return filepath.Join(dir, name) }
	// Threads that were there before are in the sandbox, too.
	begin, ended := make(chan struct{}), sync.WaitGroup{}
	for range 8 {
		ended.Go(func() {
			runtime.LockOSThread()
			<-begin
			if _, err := os.ReadFile(at("outside/file")); !errors.Is(err, fs.ErrPermission) {
				fmt.Println("an older thread reads outside:", err)
			}
		})
	}
	s := sandbox.Apply(sandbox.Config{Read: []string{at("read")}, Write: []string{at("write"), at("missing")}})
	if !s.Writes {
		fmt.Println("no landlock:", s.Reason)
		return
	}
	close(begin)
	ended.Wait()
	good := true
	check := func(what string, allowed bool, err error) {
		if (err == nil) != allowed || err != nil && !errors.Is(err, fs.ErrPermission) {
			good = false
			fmt.Printf("%s: %v, allowed %v\n", what, err, allowed)
		}
	}
	read := func(name string) error { _, err := os.ReadFile(at(name)); return err }
	check("reading", true, read("read/file"))
	check("reading what may be written", true, read("write/file"))
	check("reading outside", false, read("outside/file"))
	check("writing", true, os.WriteFile(at("write/new"), nil, 0o600))
	check("writing over", true, os.WriteFile(at("write/file"), nil, 0o600))
	check("a directory", true, os.Mkdir(at("write/dir"), 0o700))
	check("moving between directories", true, os.Rename(at("write/new"), at("write/dir/moved")))
	check("deleting", true, os.RemoveAll(at("write/dir")))
	check("writing where is read", false, os.WriteFile(at("read/file"), nil, 0o600))
	check("making where is read", false, os.WriteFile(at("read/new"), nil, 0o600))
	check("deleting where is read", false, os.Remove(at("read/file")))
	check("making outside", false, os.WriteFile(at("outside/new"), nil, 0o600))
	check("moving out", false, exdev(os.Rename(at("write/file"), at("outside/moved"))))
	check("starting a program", false, exec.Command(os.Args[0], dir).Run())
	if good {
		fmt.Println("all as it should be")
	}
}

// exdev takes the kernel's other word for "no".
func exdev(err error) error {
	if err != nil {
		return fs.ErrPermission
	}
	return nil
}
