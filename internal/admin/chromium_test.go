package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A browser is a headless Chromium that is told what to do over two pipes, in
// the DevTools protocol: one JSON text a message, with a zero byte behind it.
type browser struct {
	commands io.Writer
	session  string // of the one tab

	mu       sync.Mutex
	last     int                      // guarded by mu; the id of the last command
	replies  map[int]chan<- message   // guarded by mu
	awaited  map[string]chan struct{} // guarded by mu; events that somebody waits for
	troubles []string                 // guarded by mu; what the page complained of
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startBrowser starts Chromium with one empty tab; the end of the test ends it.
// That it is missing is a failure: a page that nobody opened is not tested.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("finding Chromium: %v; install Debian's package chromium (.ci/need chromium)", err)
	}
	theirCommands, ours := pipe(t)
	events, theirEvents := pipe(t)
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-extensions", "--disable-component-update", "--disable-background-networking", "--disable-sync", "--hide-scrollbars",
		"--force-prefers-reduced-motion", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--lang=en",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	cmd.ExtraFiles = []*os.File{theirCommands, theirEvents} // descriptors 3 and 4, by the protocol
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &browser{commands: ours, replies: map[int]chan<- message{}, awaited: map[string]chan struct{}{}}
	_, _ = theirCommands.Close(), theirEvents.Close() // Chromium has its own
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.listen(events)
	}()
	t.Cleanup(func() {
		_, _ = b.tell("", "Browser.close", nil) // so that no child of it stays behind
		stop := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stop.Stop()
		_ = ours.Close()
		_ = events.Close()
		<-ended
		if t.Failed() {
			t.Logf("Chromium said: %.2000s", complaints.String())
		}
	})
	b.openTab(t)
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// listen hands out what Chromium sends until it ends.
func (b *browser) listen(from io.Reader) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			break
		}
		var m message
		if err := json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m); err != nil {
			b.note("unreadable message: " + err.Error())
			continue
		}
		b.mu.Lock()
		if reply, ok := b.replies[m.ID]; ok && m.ID != 0 {
			delete(b.replies, m.ID)
			reply <- m
		}
		if wait, ok := b.awaited[m.Method]; ok {
			delete(b.awaited, m.Method)
			close(wait)
		}
		b.mu.Unlock()
		switch m.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded":
			b.note(m.Method + ": " + string(m.Params))
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, reply := range b.replies {
		delete(b.replies, id)
		close(reply)
	}
}

func (b *browser) note(trouble string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubles = append(b.troubles, trouble)
}

// complaints returns what the page complained of since the last call.
func (b *browser) complaints() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.troubles, "\n")
	b.troubles = nil
	return all
}

// tell sends one command and returns its result.
func (b *browser) tell(session, method string, params any) (json.RawMessage, error) {
	if params == nil {
		params = struct{}{}
	}
	reply := make(chan message, 1)
	b.mu.Lock()
	b.last++
	command := map[string]any{"id": b.last, "method": method, "params": params}
	if session != "" {
		command["sessionId"] = session
	}
	text, err := json.Marshal(command)
	if err == nil {
		b.replies[b.last] = reply
		_, err = b.commands.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("telling Chromium %s: %w", method, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), chromiumPatience)
	defer cancel()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("telling Chromium %s: %w", method, ctx.Err())
	case m, ok := <-reply:
		if !ok {
			return nil, fmt.Errorf("telling Chromium %s: %w", method, errors.New("it has ended"))
		}
		if m.Error != nil {
			return nil, fmt.Errorf("telling Chromium %s: %s", method, m.Error.Message)
		}
		return m.Result, nil
	}
}

// do tells the tab something, and puts the result into result unless it is nil.
func (b *browser) do(t *testing.T, method string, params, result any) {
	t.Helper()
	raw, err := b.tell(b.session, method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type dict = map[string]any

func (b *browser) openTab(t *testing.T) {
	t.Helper()
	var target struct{ TargetID string }
	b.do(t, "Target.createTarget", dict{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.do(t, "Target.attachToTarget", dict{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Audits", "Accessibility", "DOM"} {
		b.do(t, domain+".enable", nil, nil)
	}
}

// look says how wide the window is, and whether it is dark.
func (b *browser) look(t *testing.T, width int, dark bool) {
	t.Helper()
	b.do(t, "Emulation.setDeviceMetricsOverride", dict{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600, "screenWidth": width, "screenHeight": 900}, nil)
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(t, "Emulation.setEmulatedMedia", dict{"features": []dict{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// open opens a page and waits until all of it is there.
func (b *browser) open(t *testing.T, url string) {
	t.Helper()
	b.loads(t, func() {
		var went struct{ ErrorText string }
		b.do(t, "Page.navigate", dict{"url": url}, &went)
		if went.ErrorText != "" {
			t.Fatalf("opening %s: %s", url, went.ErrorText)
		}
	})
}

// then does something in the page that leads to another.
func (b *browser) then(t *testing.T, expression string) {
	t.Helper()
	b.loads(t, func() {
		var done bool
		b.eval(t, expression, &done)
	})
}

// chromiumPatience is how long one thing may take in a browser that shares a busy
// machine with other tests.
const chromiumPatience = 2 * time.Minute

// loads waits until a page is there that act leads to.
func (b *browser) loads(t *testing.T, act func()) {
	t.Helper()
	loaded := make(chan struct{})
	b.mu.Lock()
	b.awaited["Page.loadEventFired"] = loaded
	b.mu.Unlock()
	act()
	select {
	case <-loaded:
	case <-time.After(chromiumPatience):
		t.Fatal("the page does not get ready")
	}
}

// eval evaluates an expression in the page, from outside its policy.
func (b *browser) eval(t *testing.T, expression string, result any) {
	t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Text string }
	}
	b.do(t, "Runtime.evaluate", dict{"expression": expression, "returnByValue": true, "userGesture": true}, &answer)
	if answer.ExceptionDetails != nil {
		t.Fatalf("evaluating %.60s: %s", expression, answer.ExceptionDetails.Text)
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		t.Fatalf("evaluating %.60s: %v", expression, err)
	}
}

// screenshot returns a part of the page as PNG, also of what is not in sight.
func (b *browser) screenshot(t *testing.T, clip dict) []byte {
	t.Helper()
	var shot struct{ Data []byte }
	b.do(t, "Page.captureScreenshot", dict{"format": "png", "captureBeyondViewport": true, "clip": clip}, &shot)
	return shot.Data
}

// An axNode is a node of the accessibility tree: what a screen reader is told.
type axNode struct {
	NodeID   string   `json:"nodeId"`
	ChildIDs []string `json:"childIds"`
	Ignored  bool     `json:"ignored"`
	Role     axValue  `json:"role"`
	Name     axValue  `json:"name"`
}

type axValue struct {
	Value any `json:"value"`
}

func (v axValue) String() string {
	s, _ := v.Value.(string)
	return s
}

// tree returns the accessibility tree of the page, parents before children.
func (b *browser) tree(t *testing.T) []axNode {
	t.Helper()
	var all struct{ Nodes []axNode }
	b.do(t, "Accessibility.getFullAXTree", nil, &all)
	return all.Nodes
}
