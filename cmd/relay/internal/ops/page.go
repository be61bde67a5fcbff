package ops

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"runtime"
	"time"
)

//go:embed assets
var assets embed.FS

var pageTemplate = template.Must(template.ParseFS(assets, "assets/page.html"))

// policy lets the page have what comes from its own address, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// A page is what the page shows. What changes while somebody looks is in its
// JSON, all of it as text: the script puts it where the template would have.
type page struct {
	Version string  `json:"-"`
	Go      string  `json:"-"`
	View    view    `json:"-"`
	Orders  []order `json:"-"`
	Refresh bool    `json:"-"` // by itself, without JavaScript

	Start  string            `json:"start"` // tells one run of the relay from the next
	Texts  map[string]string `json:"texts"` // by the ID of their element
	Plots  []plot            `json:"plots"`
	Tables []table           `json:"tables"`
}

// render makes the page of a sample.
func (h *Handler) render(s *sample, v view) page {
	drawn := plots(s.history)
	listed, shown := connectionTable(s, v)
	tables := append([]table{historyTable(drawn)}, totals(&s.stats)...)
	return page{
		Version: h.version,
		Go:      runtime.Version(),
		View:    v,
		Orders:  orders,
		Start:   s.started.UTC().Format(time.RFC3339Nano),
		Texts: map[string]string{
			"state":   states[h.state.Load()],
			"up":      duration(s.at.Sub(s.started)),
			"at":      s.at.UTC().Format("2006-01-02 15:04:05 UTC"),
			"open":    count(uint64(s.stats.Connections)),
			"clients": count(uint64(s.stats.Clients)),
			"shown":   shown,
		},
		Plots:  drawn,
		Tables: append(tables, listed),
	}
}

// Table returns one of the page's tables, for the template.
func (p page) Table(id string) table {
	for _, t := range p.Tables {
		if t.ID == id {
			return t
		}
	}
	panic("ops: no table " + id) // by the template's mistake, which every test sees
}

// page answers with the page as of the latest sample.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	p := h.render(h.sampler.latest.Load(), parseView(query))
	p.Refresh = query.Get("refresh") != ""
	var html bytes.Buffer
	if err := pageTemplate.Execute(&html, p); err != nil {
		h.log.Error("the status page cannot be shown", "error", err)
		answer(w, http.StatusInternalServerError, "The page cannot be shown; the log says why.")
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html.Bytes())
}

// asset serves a file that the page uses.
func asset(name, contentType string) http.HandlerFunc {
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it was not embedded
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content)
	}
}
