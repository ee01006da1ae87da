package cli_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdTerminal runs a program on a terminal of 80 columns and wants a certain exit
// code; what it shows becomes standard output. With -type, the lines of a file
// are typed.
//
// It stands for the ttyin and ttyout of testscript, which lose what was not read
// yet when the program ends.
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "terminal CODE [-type FILE] PROGRAM ARGUMENTS..."
	wants(ts, neg, len(args) > 1, usage)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	args = args[1:]
	typed := ""
	if args[0] == "-type" {
		wants(ts, neg, len(args) > 2, usage)
		typed = ts.ReadFile(args[1])
		args = args[2:]
	}
	path := args[0]
	if !strings.Contains(path, "/") {
		path = ts.Getenv("WORK") + "/bin/" + path
	}
	ts.Check(ts.Exec("env", "-0")) // testscript tells its environment to programs only
	environ := strings.Split(strings.Trim(ts.ReadFile("stdout"), "\x00"), "\x00")
	var shown []byte
	var code int
	unhurried(args[1:], func() string {
		var err error
		shown, code, err = onTerminal(ts.Getenv("WORK"), environ, typed, path, args[1:])
		ts.Check(err)
		return string(shown)
	})
	_, err = ts.Stdout().Write(shown)
	ts.Check(err)
	if code != want {
		ts.Fatalf("exit code is %d, want %d; the terminal shows:\n%s", code, want, shown)
	}
}

// onTerminal runs a program in a directory to its end, and returns all that it showed.
func onTerminal(dir string, environ []string, typed, path string, args []string) (shown []byte, code int, err error) {
	ours, program, err := openTerminal()
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = ours.Close() }() // all was read
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	if err := errors.Join(cmd.Start(), program.Close()); err != nil { // closed, so that reading ends when the program does
		return nil, 0, err
	}
	_, err = io.WriteString(ours, typed)
	var out bytes.Buffer
	_, _ = io.Copy(&out, ours) // ends with EIO: nobody holds the other end
	_ = cmd.Wait()             // an exit code other than 0 is asked for
	return out.Bytes(), cmd.ProcessState.ExitCode(), err
}
