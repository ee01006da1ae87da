package admin

import (
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// The functions of draw*.go make HTML of what view chose. Every text and every
// attribute is escaped by the library; what is put in as it stands is our own and
// embedded.

// document draws the whole page. Style and shapes are embedded files.
func document(v pageView, style, shapes string) g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.Meta(h.Name("robots"), h.Content("noindex")),
			h.TitleEl(g.Text(v.Title+" · wellkey")),
			h.Link(h.Rel("icon"), h.Type("image/svg+xml"), h.Href("icon.svg")),
			h.StyleEl(g.Raw(style)), // the policy lets no other in
		),
		h.Body(
			g.Raw(shapes),
			header(v),
			h.Main(
				when(v.Notice != "", h.P(h.Class("notice"), h.Role("status"), shape("waiting"), g.Text(" "+v.Notice))),
				g.Iff(v.Site != nil, func() g.Node { return drawSite(*v.Site, common(v)) }),
				g.Iff(v.List != nil, func() g.Node { return drawList(*v.List, common(v)) }),
				when(v.Missing != "", h.Section(h.Class("hero unsure"), h.Aria("labelledby", "name"),
					h.H1(h.ID("name"), g.Text("Unknown domain")),
					h.P(h.Class("answer"), shape("unsure"), g.Text(" "), h.Span(h.Code(g.Text(v.Missing)), g.Text(" is not hosted here."))),
					h.P(h.Class("todo"), h.A(h.Href("status"), g.Text("See what is"))),
				), common(v)),
			),
			h.Footer(
				h.P(g.Text("wellkey "+v.Version+", started "), clock(v.Started)),
				h.P(g.Text("The same for programs: "), h.A(h.Href(v.JSON), g.Text("JSON")), g.Text(", "), h.A(h.Href("metrics"), g.Text("metrics"))),
			),
		),
	))
}

func header(v pageView) g.Node {
	return h.Header(h.Class("top"),
		h.A(h.Class("brand"), h.Href("status"),
			h.SVG(g.Attr("viewBox", "0 0 32 32"), h.Aria("hidden", "true"), g.El("use", h.Href("#shape-key"))), g.Text("wellkey")),
		when(v.Several && v.List == nil, h.Nav(h.Aria("label", "Domains"), h.A(h.Href("status"), g.Text("All domains")))),
		h.P(h.Class("age"), g.Text("As of "), h.Time(h.DateTime(v.At.Machine), g.Text(v.At.Absolute)), g.Text(" "),
			h.A(h.Class("again"), h.Href(v.Again), g.Text("Look again"))),
	)
}

// common draws what concerns the process, and none of its sites.
func common(v pageView) g.Node {
	return g.Group{when(len(v.Bad) > 0, badSites(v.Bad)), when(len(v.Behind) > 0, troublesBehind(v.Behind))}
}

func badSites(bad []BadSite) g.Node {
	return h.Section(h.Class("bad"), h.Aria("labelledby", "bad"),
		h.H2(h.ID("bad"), g.Text("Sites that cannot be hosted as the settings say")),
		h.Ul(h.Role("list"), h.Class("sites"), g.Map(bad, func(b BadSite) g.Node {
			return h.Li(h.Class("attention"), shape("attention"), h.P(h.Class("site"), g.Text(b.Name)), h.P(h.Class("text"), g.Text(b.Error)))
		})),
	)
}

func troublesBehind(troubles []Check) g.Node {
	return h.Section(h.Class("behind"), h.Aria("labelledby", "behind"),
		h.H2(h.ID("behind"), g.Text("Servers behind wellkey")),
		h.Ol(h.Role("list"), h.Class("checks"), g.Map(troubles, func(c Check) g.Node {
			return drawCheck(checkView{Check: c, Word: conditionWord(c.State)})
		})),
	)
}

// when draws nodes if there is reason to.
func when(reason bool, nodes ...g.Node) g.Node {
	if !reason {
		return nil
	}
	return g.Group(nodes)
}

// shape draws one of the embedded shapes.
func shape(name string) g.Node {
	return h.SVG(h.Class("shape"), g.Attr("viewBox", "0 0 24 24"), h.Aria("hidden", "true"), g.El("use", h.Href("#shape-"+name)))
}

// clock draws a time: from now, and on the clock.
func clock(m moment) g.Node {
	return h.Time(h.DateTime(m.Machine), g.Text(m.Relative),
		h.Span(h.Class("middot"), h.Aria("hidden", "true"), g.Text(" ·")), g.Text(" "), h.Span(h.Class("clock"), g.Text(m.Absolute)))
}
