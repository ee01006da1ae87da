package server

import "net/http"

// HTTPSHandler returns what answers the requests of the HTTPS listener.
func (s *Server) HTTPSHandler() http.Handler { return s.https }

// HTTPHandler returns what answers the requests of the HTTP listener.
func (s *Server) HTTPHandler() http.Handler { return s.http }

// Complain writes one line to the log of net/http on the HTTPS listener.
func (s *Server) Complain(line string) { s.https.server.ErrorLog.Print(line) }

// Matches is the comparison of If-None-Match.
var Matches = matches

// HostOf is what Config.Key is called with.
var HostOf = hostOf
