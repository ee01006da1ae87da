package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"wellkey/internal/admin"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// widths are those of the windows that every page is looked at in: a phone and a
// wide screen, each in light and in dark.
func widths() []int { return []int{360, 1600} }

// TestPageInBrowser opens the page in every state, reads it as a screen reader
// does, and looks at it as a person does.
func TestPageInBrowser(t *testing.T) {
	b := startBrowser(t)
	for _, scene := range scenes() {
		t.Run(scene.name, func(t *testing.T) {
			w := newWorld(t, domain)
			scene.change(t, w)
			a := w.admin(t)
			server := httptest.NewServer(a.Handler())
			defer server.Close()
			for _, width := range widths() {
				b.look(t, width, false)
				b.open(t, server.URL+"/")
				b.readsAloud(t, scene, a.Status().Sites[0])
				b.wellMade(t, width)
			}
			b.showsCode(t, scene.pairing, "https://tesla.com/_ak/"+domain)
		})
	}
}

// TestHostileTextInBrowser shows a page in which every text that could come from
// elsewhere is against us.
func TestHostileTextInBrowser(t *testing.T) {
	w := newWorld(t, domain)
	hostile(t, w)
	server := httptest.NewServer(w.admin(t).Handler())
	defer server.Close()
	b := startBrowser(t)
	for _, width := range widths() {
		b.look(t, width, false)
		b.open(t, server.URL+"/status")
		b.wellMade(t, width)
		var title string
		b.eval(t, "document.title", &title)
		if title != domain+": Needs you · wellkey" {
			t.Errorf("the title is %q: a text became markup", title)
		}
	}
}

func TestChinaInBrowser(t *testing.T) {
	w := newWorld(t, domain)
	w.sites[0].Regions = []registrar.RegionSnapshot{registered(fleetapi.CN, w.sites[0].Key)}
	server := httptest.NewServer(w.admin(t).Handler())
	defer server.Close()
	b := startBrowser(t)
	b.look(t, 360, false)
	b.open(t, server.URL+"/status")
	b.showsCode(t, true, "https://tesla.cn/_ak/"+domain)
	if text := b.text(t); !strings.Contains(text, "developer.tesla.cn") {
		t.Errorf("the page does not name the portal of China:\n%s", text)
	}
}

// TestManySitesInBrowser filters the list by text and state, without script.
func TestManySitesInBrowser(t *testing.T) {
	w := manySites(t)
	passedDown(t, w)
	w.bad = map[string]error{"bad.example.net": errors.New("its key file has two keys")}
	server := httptest.NewServer(w.admin(t).Handler())
	defer server.Close()
	b := startBrowser(t)
	for _, width := range widths() {
		b.look(t, width, false)
		b.open(t, server.URL+"/status")
		b.wellMade(t, width)
		b.says(t, "its key file has two keys", "Servers behind wellkey", "connection refused", "Start it, or correct passthrough.", "2 of 240 domains need you.", "site017.example.net", "1 to 100 of 240")
		if rows := b.rows(t); len(rows) != 100 || rows[0] != "site017.example.net" || rows[1] != "site230.example.net" || rows[2] != "site101.example.net" {
			t.Errorf("at width %d: %d rows that begin with %q", width, len(rows), rows[:min(3, len(rows))])
		}
	}
	b.submit(t, "q", "SITE23")
	b.says(t, "1 of 10 domains found need you.")
	if rows := b.rows(t); len(rows) != 10 || rows[0] != "site230.example.net" {
		t.Errorf("filtered by text, the rows are %q", rows)
	}
	b.open(t, server.URL+"/status")
	b.submit(t, "state", "refused")
	if rows := b.rows(t); !slices.Equal(rows, []string{"site017.example.net"}) {
		t.Errorf("filtered by state, the rows are %q", rows)
	}
	b.follow(t, ".filter ~ section .sites a")
	b.says(t, "Tesla refuses the registration", "Find the other application.", "All domains")
	b.wellMade(t, 1600)
	b.follow(t, "nav a")
	b.follow(t, ".pages [rel=next]")
	b.says(t, "101 to 200 of 240")
	b.follow(t, ".pages [rel=next]")
	b.says(t, "201 to 240 of 240")
}

// wellMade looks for what no page may have, in light and in dark.
func (b *browser) wellMade(t *testing.T, width int) {
	t.Helper()
	for _, dark := range []bool{true, false} {
		b.look(t, width, dark)
		for _, fault := range b.faults(t) {
			t.Errorf("width %d, dark %v: %s", width, dark, fault)
		}
	}
	if said := b.complaints(); said != "" {
		t.Errorf("width %d: the browser complains:\n%s", width, said)
	}
	b.do(t, "Input.dispatchKeyEvent", dict{"type": "keyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}, nil)
	var outline string
	b.eval(t, "document.activeElement.tagName + ' ' + getComputedStyle(document.activeElement).outlineStyle", &outline)
	if outline != "A solid" {
		t.Errorf("width %d: after Tab, the focus and its outline are %q", width, outline)
	}
}

func (b *browser) faults(t *testing.T) []string {
	t.Helper()
	var faults []string
	b.eval(t, examination, &faults)
	return faults
}

// TestBadPageInBrowser shows that a page that is not well made is found out.
func TestBadPageInBrowser(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, `<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
			<h1>Bad</h1><h3 id="a">Skips</h3><p id="a"><font color="#999999">pale</font></p><script>1</script>
			<svg width="900" height="9"></svg><div>`+strings.Repeat("W", 90)+`</div>`)
	}))
	defer server.Close()
	b := startBrowser(t)
	b.look(t, 360, false)
	b.open(t, server.URL)
	all := strings.Join(b.faults(t), "\n")
	for _, want := range []string{"scrolls sideways", "contrast 2.85 of pale", "sticks out", "skips a level", "an id is there twice", "not one main", "no language", "foreign elements"} {
		if !strings.Contains(all, want) {
			t.Errorf("not found: %s; only:\n%s", want, all)
		}
	}
	if said := b.complaints(); !strings.Contains(said, "Content Security Policy") {
		t.Errorf("the browser does not complain of the policy: %s", said)
	}
}

// examination gives what is wrong with a page: it scrolls sideways, its text or
// shapes are hard to see (WCAG 2.2, 1.4.3 and 1.4.11), its headings skip a level,
// an id is there twice, a landmark is missing, or there is a script.
const examination = `(() => {
	const faults = [], root = document.documentElement;
	document.querySelectorAll('details').forEach(d => d.open = true);
	if (innerWidth !== screen.width) faults.push('the window became ' + innerWidth + ' wide');
	if (root.scrollWidth > root.clientWidth) faults.push('scrolls sideways: ' + root.scrollWidth + ' > ' + root.clientWidth);
	const rgb = c => { const v = c.match(/[\d.]+/g).map(Number); return v.length === 3 ? [...v, 1] : v; };
	const light = c => { const [r, g, b] = rgb(c).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] > 0) return c; } return 'rgb(255, 255, 255)'; };
	const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
	const check = (e, color, least, what) => {
		const c = contrast(color, behind(e));
		if (c < least) faults.push('contrast ' + c.toFixed(2) + ' of ' + what.trim().slice(0, 40));
	};
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = texts.nextNode();) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility()) continue;
		check(e, getComputedStyle(e).color, 4.5, n.data);
		const range = document.createRange();
		range.selectNode(n);
		const box = range.getBoundingClientRect();
		if (box.right > Math.min(root.clientWidth, screen.width) + 1) faults.push('sticks out: ' + n.data.trim().slice(0, 40));
	}
	document.querySelectorAll('.shape').forEach(e => check(e, getComputedStyle(e).color, 3, 'shape ' + e.innerHTML));
	let level = 0;
	document.querySelectorAll('h1, h2, h3, h4').forEach(h => {
		const next = Number(h.tagName[1]);
		if (next > level + 1) faults.push('heading ' + h.textContent + ' skips a level');
		level = next;
	});
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	if (new Set(ids).size !== ids.length) faults.push('an id is there twice');
	for (const e of ['header', 'main', 'footer', 'h1']) if (document.querySelectorAll(e).length !== 1) faults.push('not one ' + e);
	if (root.lang !== 'en') faults.push('no language');
	if (document.scripts.length || document.images.length || document.querySelector('iframe, object')) faults.push('foreign elements');
	return faults;
})()`

// readsAloud reads the page through the accessibility tree.
func (b *browser) readsAloud(t *testing.T, scene scene, site admin.SiteView) {
	t.Helper()
	tree := b.tree(t)
	answer := aloud(tree, region(t, tree, domain))
	for _, want := range []string{scene.says, scene.fix} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer at the top is %q, without %q", answer, want)
		}
	}
	items := within(tree, region(t, tree, "Checklist"), "listitem", "list")
	if len(items) != len(site.Checklist) {
		t.Fatalf("the checklist has %d items, want %d", len(items), len(site.Checklist))
	}
	said := ""
	for i, check := range site.Checklist {
		text := aloud(tree, items[i])
		if strings.Contains(said, check.Fix) {
			check.Fix = "" // once is enough
		}
		said += text
		for _, want := range []string{check.Title, word(check.State), check.Text, check.Fix} {
			if !strings.Contains(text, want) {
				t.Errorf("item %d of the checklist is %q, without %q", i, text, want)
			}
		}
		if check.ID == scene.check && !strings.Contains(text, scene.seen) {
			t.Errorf("the check %s is %q, without %q", check.ID, text, scene.seen)
		}
	}
	for i, r := range site.Registrations {
		item := aloud(tree, items[4+i])
		if want := strings.ReplaceAll(string(r.State), "_", " "); !strings.Contains(item, want) {
			t.Errorf("the registration is %q, without its state %q", item, want)
		}
	}
	values := aloud(tree, region(t, tree, "For Tesla’s developer portal"))
	for _, want := range []string{"https://" + domain, "Authorization Code and Machine-to-Machine", "Redirect URI"} {
		if !strings.Contains(values, want) {
			t.Errorf("the values for the portal are %q, without %q", values, want)
		}
	}
	fetches := aloud(tree, region(t, tree, "Who fetched the key"))
	for _, want := range []string{"Tesla's app on owners' phones", "26 minutes ago", "24 Nov 2026, 11:34 UTC", "never"} {
		if !strings.Contains(fetches, want) {
			t.Errorf("the fetches are %q, without %q", fetches, want)
		}
	}
}

func word(c admin.Condition) string {
	return map[admin.Condition]string{"ok": "OK", "unsure": "Not sure", "waiting": "Waiting", "attention": "Look at this", "step": "Your turn", "action": "Needs you"}[c]
}

// region returns the landmark of that name.
func region(t *testing.T, tree []axNode, name string) axNode {
	t.Helper()
	for _, n := range tree {
		if n.Role.String() == "region" && n.Name.String() == name {
			return n
		}
	}
	t.Fatalf("there is no region %q", name)
	return axNode{}
}

func childrenOf(tree []axNode, n axNode) []axNode {
	var all []axNode
	for _, id := range n.ChildIDs {
		if i := slices.IndexFunc(tree, func(n axNode) bool { return n.NodeID == id }); i >= 0 {
			all = append(all, tree[i])
		}
	}
	return all
}

// within returns the nodes of a role in the first list under n.
func within(tree []axNode, n axNode, role, list string) []axNode {
	for _, child := range childrenOf(tree, n) {
		if child.Role.String() != list {
			if found := within(tree, child, role, list); found != nil {
				return found
			}
			continue
		}
		var all []axNode
		for _, item := range childrenOf(tree, child) {
			if item.Role.String() == role {
				all = append(all, item)
			}
		}
		return all
	}
	return nil
}

// aloud returns the text of n and all below it.
func aloud(tree []axNode, n axNode) string {
	if n.Role.String() == "StaticText" {
		return n.Name.String()
	}
	var text strings.Builder
	for _, child := range childrenOf(tree, n) {
		text.WriteString(aloud(tree, child))
		if child.Role.String() != "StaticText" && !child.Ignored {
			text.WriteString(" ")
		}
	}
	return text.String()
}

// showsCode decodes the QR code in a screenshot, or sees that there is none.
func (b *browser) showsCode(t *testing.T, shown bool, link string) {
	t.Helper()
	var box dict
	b.eval(t, `(() => { const e = document.querySelector('.qr'); if (!e) return null; const r = e.getBoundingClientRect();
		return { x: r.left + scrollX, y: r.top + scrollY, width: r.width, height: r.height, scale: 1 }; })()`, &box)
	if shown != (box != nil) {
		t.Errorf("a QR code is shown: %v, want %v", !shown, shown)
		return
	}
	if !shown {
		return
	}
	picture, err := png.Decode(bytes.NewReader(b.screenshot(t, box)))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("reading the QR code from a screenshot: %v", err)
	}
	if read.GetText() != link {
		t.Errorf("the QR code reads %q, want %q", read.GetText(), link)
	}
	if level := read.GetResultMetadata()[gozxing.ResultMetadataType_ERROR_CORRECTION_LEVEL]; fmt.Sprint(level) != "Q" {
		t.Errorf("the QR code has error correction level %v, want Q", level)
	}
}

func (b *browser) text(t *testing.T) string {
	t.Helper()
	var text string
	b.eval(t, "document.body.innerText", &text)
	return text
}

func (b *browser) says(t *testing.T, want ...string) {
	t.Helper()
	text := b.text(t)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page does not say %q:\n%.1500s", w, text)
		}
	}
}

// rows returns the domains of the list.
func (b *browser) rows(t *testing.T) []string {
	t.Helper()
	var rows []string
	b.eval(t, "[...document.querySelectorAll('.sites a')].map(a => a.textContent)", &rows)
	return rows
}

// submit fills a field of the form and sends it.
func (b *browser) submit(t *testing.T, field, value string) {
	t.Helper()
	b.then(t, fmt.Sprintf("(document.getElementById(%q).value = %q, document.querySelector('form button').click(), true)", field, value))
}

// follow clicks on a link.
func (b *browser) follow(t *testing.T, selector string) {
	t.Helper()
	b.then(t, fmt.Sprintf("(document.querySelector(%q).click(), true)", selector))
}
