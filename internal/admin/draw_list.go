package admin

import (
	"fmt"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// drawList draws many sites, with a filter, and what is common to all below its head.
func drawList(v listView, common g.Node) g.Node {
	return g.Group{
		h.Section(h.Class("hero "+string(v.State)), h.Aria("labelledby", "name"),
			h.H1(h.ID("name"), g.Text(count(v.Total, "domain"))),
			h.P(h.Class("answer"), shape(string(v.State)), g.Text(" "), h.Span(g.Text(v.Text))),
		),
		common,
		drawFilter(v),
		when(len(v.Rows) > 0, drawRows(v)),
	}
}

func drawFilter(v listView) g.Node {
	options := func(all []option) g.Node {
		return g.Map(all, func(o option) g.Node {
			return h.Option(h.Value(o.Value), when(o.Chosen, h.Selected()), g.Text(o.Word))
		})
	}
	return h.Form(h.Class("filter"), h.Role("search"), h.Aria("label", "Domains"), h.Action("status"), h.Method("get"),
		h.P(h.Label(h.For("q"), g.Text("Domain contains")), g.Text(" "),
			h.Input(h.ID("q"), h.Name("q"), h.Type("search"), h.Value(v.Choice.Text), h.AutoComplete("off"), g.Attr("autocapitalize", "none"), g.Attr("spellcheck", "false"))),
		h.P(h.Label(h.For("state"), g.Text("State")), g.Text(" "), h.Select(h.ID("state"), h.Name("state"),
			h.Option(h.Value(""), g.Text("any")),
			h.OptGroup(g.Attr("label", "Domain"), options(v.Conditions)),
			h.OptGroup(g.Attr("label", "A registration is"), options(v.States)),
		)),
		h.P(h.Button(g.Text("Filter")), when(v.Choice.Text != "" || v.Choice.State != "", g.Text(" "), h.A(h.Href("status"), g.Text("Show all")))),
	)
}

func drawRows(v listView) g.Node {
	title := "Domains found"
	if v.Found == v.Total {
		title = "All domains"
	}
	return h.Section(h.Aria("labelledby", "found"),
		h.H2(h.ID("found"), g.Text(title+" "), h.Span(h.Class("range"), g.Text(fmt.Sprintf("%d to %d of %d", v.From, v.To, v.Found)))),
		h.Ul(h.Role("list"), h.Class("sites"), g.Map(v.Rows, func(r listRow) g.Node {
			return h.Li(h.Class(string(r.Summary.State)), shape(string(r.Summary.State)),
				h.P(h.Class("site"), h.A(h.Href(r.Link), g.Text(r.Domain)), g.Text(" "), h.Span(h.Class("word"), g.Text(r.Word))),
				h.P(h.Class("text"), g.Text(r.Summary.Text)),
				h.Ul(h.Role("list"), h.Class("regions"), g.Map(r.Regions, func(w regionWord) g.Node {
					return h.Li(h.Abbr(h.Title(w.Name), g.Text(w.Region)), g.Text(" "+w.State))
				})),
			)
		})),
		when(v.Previous != "" || v.Next != "", h.Nav(h.Class("pages"), h.Aria("label", "Pages"),
			when(v.Previous != "", h.A(h.Href(v.Previous), h.Rel("prev"), g.Text("Previous"))), g.Text(" "),
			when(v.Next != "", h.A(h.Href(v.Next), h.Rel("next"), g.Text("Next"))),
		)),
	)
}
