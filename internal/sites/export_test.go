package sites

// Update is what follow does when the file of a site changed.
func (s *Set[T]) Update(domain string) { s.update(domain) }
