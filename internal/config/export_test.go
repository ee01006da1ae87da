package config

// Names returns the names of all settings.
func Names() []string { return names(func(row) bool { return true }) }

// Secrets returns the names of the settings that are secrets.
func Secrets() []string { return names(func(r row) bool { return r.secret }) }

// FileOnly returns the names of the settings that only the file has.
func FileOnly() []string { return names(func(r row) bool { return r.fileOnly }) }

// Samples returns the example of every setting.
func Samples() map[string]string {
	all := map[string]string{}
	for _, r := range table() {
		all[r.name] = r.example
	}
	return all
}

// ExplainFile says why a file could not be read, and what to do.
var ExplainFile = explainFile
