package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// metrics answers scrapes. A registry checks, sorts and encodes each series as if it had
// never seen it, which of thousands of sites takes a second. So what is collected of the
// sites is in a registry of its own, which is asked only where somebody wants another
// format than text; as text it is written behind what the other registry gives.
func (a *Admin) metrics() http.Handler {
	options := promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 4, // each takes memory while it is made
		Registry:            a.config.Registry,
	}
	whole := promhttp.HandlerFor(prometheus.Gatherers{a.config.Registry, a.sites}, options)
	options.DisableCompression = true // we do it, for all
	others := promhttp.HandlerFor(a.config.Registry, options)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...).FormatType()
		if format != expfmt.TypeTextPlain && format != expfmt.TypeOpenMetrics {
			whole.ServeHTTP(w, r)
			return
		}
		s := &scrape{ResponseWriter: w, compress: acceptsGzip(r), more: func(to io.Writer) {
			t := &text{to: to, open: format == expfmt.TypeOpenMetrics}
			defer t.flush() // what was collected before a panic is whole lines
			a.panics.Do(func() { a.collector.write(t) })
		}}
		w.Header().Add("Vary", "Accept-Encoding")
		others.ServeHTTP(s, r)
		s.end()
	})
}

// acceptsGzip reports whether a client takes answers that are compressed.
func acceptsGzip(r *http.Request) bool {
	for offer := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(offer, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

// endOfMetrics is what OpenMetrics end with.
const endOfMetrics = "# EOF\n"

// A scrape is an answer that is written by promhttp, with more behind its metrics.
type scrape struct {
	http.ResponseWriter
	compress bool
	more     func(io.Writer)

	zip    *gzip.Writer // nil = not compressed
	begun  bool
	failed bool // it is no metrics that are written
}

// WriteHeader implements http.ResponseWriter. promhttp calls it for errors only.
func (s *scrape) WriteHeader(code int) {
	s.failed = s.failed || code != http.StatusOK
	s.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (s *scrape) Write(p []byte) (int, error) {
	to := s.begin()
	if last, ours := bytes.CutSuffix(p, []byte(endOfMetrics)); ours && !s.failed {
		if _, err := to.Write(last); err != nil {
			return 0, err
		}
		s.tell(to)
		_, err := io.WriteString(to, endOfMetrics)
		return len(p), err
	}
	return to.Write(p)
}

// begin returns where to write.
func (s *scrape) begin() io.Writer {
	if !s.begun && s.compress && !s.failed {
		s.Header().Set("Content-Encoding", "gzip")
		s.zip = gzip.NewWriter(s.ResponseWriter)
	}
	s.begun = true
	if s.zip != nil {
		return s.zip
	}
	return s.ResponseWriter
}

// tell writes what is to be behind the metrics, once.
func (s *scrape) tell(to io.Writer) {
	if s.more != nil {
		s.more(to)
		s.more = nil
	}
}

// end writes what is left.
func (s *scrape) end() {
	if !s.failed {
		s.tell(s.begin())
	}
	if s.zip != nil {
		_ = s.zip.Close() // the visitor is gone, if this fails
	}
}
