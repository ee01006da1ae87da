package admin

import (
	"fmt"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// drawSite draws the page of one site, with what is common to all below its head.
func drawSite(v siteView, common g.Node) g.Node {
	pairable := v.Registered && v.Sound
	return g.Group{
		drawSummary(v),
		common,
		h.Div(h.Class("columns"),
			when(pairable, drawPairing(v)),
			h.Section(h.Class("checklist"), h.Aria("labelledby", "checklist"),
				h.H2(h.ID("checklist"), g.Text("Checklist")),
				h.Ol(h.Role("list"), h.Class("checks"), g.Map(v.Checks, drawCheck)),
			),
			when(!pairable, drawPairing(v)),
			drawUpcoming(v.Upcoming),
			drawPortal(v),
			drawFetches(v),
		),
	}
}

func drawSummary(v siteView) g.Node {
	s := v.Summary
	more := "one more point asks"
	if s.More > 1 {
		more = strconv.Itoa(s.More) + " more points ask"
	}
	return h.Section(h.Class("hero "+string(s.State)), h.Aria("labelledby", "name"),
		h.H1(h.ID("name"), g.Text(v.Domain)),
		h.P(h.Class("answer"), shape(string(s.State)), g.Text(" "), h.Span(g.Text(s.Text))),
		when(s.Fix != "", h.P(h.Class("todo"), h.Strong(g.Text("What to do:")), g.Text(" "+s.Fix))),
		when(s.State == Waiting && s.Fix == "", h.P(h.Class("todo"), g.Text("There is nothing for you to do."))),
		when(s.Check != "", h.P(h.Class("more"), h.A(h.Href("#"+s.Check), g.Text("What was seen, and when")),
			when(s.More > 0, g.Text("; "+more+" for you in the checklist")), g.Text("."))),
	)
}

func drawCheck(c checkView) g.Node {
	return h.Li(h.Class("check "+string(c.State)), h.ID(c.ID),
		h.H3(shape(string(c.State)), g.Text(" "), h.Span(h.Class("title"), g.Text(c.Title)), g.Text(" "), h.Span(h.Class("word"), g.Text(c.Word))),
		h.Div(h.Class("body"),
			h.P(h.Class("text"), g.Text(c.Text)),
			when(c.Seen != "" || c.Cause != "" || c.Fix != "", h.Dl(h.Class("why"),
				when(c.Seen != "", h.Div(h.Dt(g.Text("Seen")), h.Dd(g.Text(c.Seen)))),
				when(c.Cause != "", h.Div(h.Dt(g.Text("Cause")), h.Dd(g.Text(c.Cause)))),
				when(c.Fix != "", h.Div(h.Class("fix"), h.Dt(g.Text("What to do")), h.Dd(g.Text(c.Fix)))),
			)),
			g.Map(c.Groups, drawFindings),
			when(len(c.Facts) > 0, h.Dl(h.Class("facts"), g.Map(c.Facts, drawFact))),
			when(len(c.Good) > 0, h.Details(h.Summary(g.Text(c.GoodText)), g.Map(c.Good, drawFindings))),
		),
	)
}

func drawFact(f fact) g.Node {
	value := g.Text(f.Text)
	switch {
	case f.Time.Machine != "":
		value = clock(f.Time)
	case f.Code:
		value = h.Code(value)
	}
	return h.Div(h.Dt(g.Text(f.Name)), h.Dd(value))
}

func drawFindings(group findingGroup) g.Node {
	return g.Group{
		when(group.On != "", h.H4(g.Text("At "), h.Code(g.Text(group.On)))),
		h.Ul(h.Role("list"), h.Class("findings"), g.Map(group.Findings, func(f findingView) g.Node {
			look := string(f.Condition)
			if f.Word == "Skipped" {
				look = "skipped"
			}
			return h.Li(h.Class(string(f.Condition)), shape(look), h.Div(
				h.P(h.Strong(g.Text(f.Title)), g.Text(" "), h.Span(h.Class("word"), g.Text(f.Word))),
				h.P(g.Text(f.Seen)),
				when(f.Cause != "", h.P(h.Span(h.Class("label"), g.Text("Cause")), g.Text(" "+f.Cause))),
				when(f.Fix != "", h.P(h.Span(h.Class("label"), g.Text("What to do")), g.Text(" "+f.Fix))),
			))
		})),
	}
}

// drawPairing draws the pairing link, or why it is not there.
func drawPairing(v siteView) g.Node {
	link := func(p pairing) g.Node {
		return h.P(h.Class("link"), h.A(h.Href(p.Link), h.Rel("noreferrer"), h.Target("_blank"), g.Text(p.Start), h.Wbr(), g.Text(p.Domain)))
	}
	var body g.Group
	switch {
	case v.Registered && v.Sound:
		body = g.Group{
			g.Map(v.Pairings, func(p pairing) g.Node { return g.Group{drawCode(p), link(p)} }),
			h.P(g.Text("An owner scans the code with the phone that has Tesla’s app, or opens the link there, and confirms in the app. It works for every owner and every car. If the phone shows an error, see "),
				h.Code(g.Text("docs/pairing.md")), g.Text(".")),
		}
	case v.Registered:
		body = g.Group{h.P(g.Text("Tesla has this key on record, but no car should be paired now: first settle what the checklist says. The pairing link and its QR code come back then."))}
	default:
		body = g.Group{
			h.P(g.Text("The pairing link and its QR code stand here as soon as Tesla has this key on record in every region. Opened before, the link ends in Tesla’s words that the third party is not registered.")),
			g.Map(v.Pairings, func(p pairing) g.Node {
				return when(len(p.Done) > 0 && v.Sound, h.P(g.Text("It works already for owners in "+strings.Join(p.Done, " and in ")+":")), link(p))
			}),
		}
	}
	return h.Section(h.Class("card pair"), h.Aria("labelledby", "pair"), h.H2(h.ID("pair"), g.Text("Pair a car")), body)
}

func drawCode(p pairing) g.Node {
	if p.Code == nil {
		return nil
	}
	side := fmt.Sprint(p.Code.Side)
	return h.SVG(h.Class("qr"), g.Attr("viewBox", "0 0 "+side+" "+side), h.Role("img"), h.Aria("label", "QR code of "+p.Link), g.Attr("shape-rendering", "crispEdges"),
		g.El("rect", h.Width(side), h.Height(side), g.Attr("fill", "#fff")),
		g.El("path", g.Attr("fill", "#000"), g.Attr("d", p.Code.Path)),
	)
}

func drawUpcoming(events []event) g.Node {
	return h.Section(h.Class("card upcoming"), h.Aria("labelledby", "next"),
		h.H2(h.ID("next"), g.Text("What happens next")),
		when(len(events) > 0, h.Ol(h.Role("list"), h.Class("next"), g.Map(events, func(e event) g.Node {
			return h.Li(clock(e.Time), g.Text(" "), h.Span(g.Text(e.What)))
		}))),
		when(len(events) == 0, h.P(g.Text("Nothing by itself: wellkey goes on as soon as something changes here."))),
	)
}

// drawPortal draws what is to be typed into Tesla's portal.
func drawPortal(v siteView) g.Node {
	value := func(name string, node g.Node) g.Node { return h.Div(h.Dt(g.Text(name)), h.Dd(node)) }
	copied := func(text string) g.Node { return h.Code(h.Class("copy"), g.Text(text)) }
	return h.Section(h.Class("card portal"), h.Aria("labelledby", "portal"),
		h.H2(h.ID("portal"), g.Text("For Tesla’s developer portal")),
		h.P(g.Text("What to type into the application at "), h.A(h.Href(v.Portal.URL), h.Rel("noreferrer"), h.Target("_blank"), g.Text(v.Portal.URL)),
			g.Text(". A click on a value selects all of it.")),
		h.Dl(h.Class("values"),
			value("Allowed origin", copied(v.Portal.AllowedOrigin)),
			value("Grant type", copied(v.Portal.GrantType)),
			value("Redirect URI", g.Text("The address of your own application to which owners return after they agreed: exactly as it sends it, with https, or localhost. wellkey uses none.")),
			value("Public key, to look at", copied(v.KeyAddress)),
		),
	)
}

func drawFetches(v siteView) g.Node {
	caption := "Since the start, by what the client says of itself"
	if v.Several {
		caption += "; all domains together"
	}
	column := func(name string, attributes ...g.Node) g.Node {
		return h.Th(g.Attr("scope", "col"), g.Group(attributes), g.Text(name))
	}
	return h.Section(h.Class("card fetches"), h.Aria("labelledby", "fetches"),
		h.H2(h.ID("fetches"), g.Text("Who fetched the key")),
		h.Table(
			h.Caption(g.Text(caption)),
			h.THead(h.Tr(column("Client"), column("Times", h.Class("number")), column("Last"))),
			h.TBody(g.Map(v.Fetches, func(f fetchView) g.Node {
				last := g.Text("never")
				if f.Last.Machine != "" {
					last = clock(f.Last)
				}
				return h.Tr(h.Th(g.Attr("scope", "row"), g.Text(f.Client)), h.Td(h.Class("number"), g.Text(strconv.FormatUint(f.Count, 10))), h.Td(last))
			})),
		),
	)
}
