package sites

// Update is what follow does when the file of a site changed.
func (s *Set[T]) Update(domain string) { s.update(domain) }

// WaitsFor says what the reading of all sites waits for.
func (s *Set[T]) WaitsFor() string {
	what, _, _ := s.progress.waitsFor()
	return what
}
